package wire_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"maestro/wire"
)

// FuzzFrames takes frames apart: what comes out, put together again, is a prefix
// of what was put in, but for lengths that are written longer than need be.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x00\x03one\x01\x05fi-ve\x02\x00"))
	f.Add([]byte("\x00\x80\x01" + string(make([]byte, 200))))
	f.Add([]byte("\x07\x83\x00one"))
	f.Add([]byte("\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		rest := wire.Frames(in)
		var out []byte
		for {
			before := len(rest)
			kind, msg, ok := rest.Next()
			if !ok {
				break
			}
			head := before - len(rest) - len(msg)
			size, n := binary.Uvarint(in[len(in)-before+1:])
			if int(size) != len(msg) || 1+n != head || cap(msg) != len(msg) {
				t.Fatalf("%d bytes after a head of %d, length %d of %d", len(msg), head, size, n)
			}
			out = append(append(out, in[len(in)-before:len(in)-before+head]...), msg...)
			if out[len(out)-len(msg)-head] != kind {
				t.Fatal(kind)
			}
		}
		if !bytes.Equal(out, in[:len(in)-len(rest)]) {
			t.Fatalf("%q of %q", out, in)
		}
	})
}
