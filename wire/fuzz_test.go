package wire_test

import (
	"bytes"
	"testing"

	"maestro/wire"
)

func FuzzHeader(f *testing.F) {
	f.Add(make([]byte, wire.HeaderLen))
	h := wire.Header{Kind: wire.KindCast, Sender: 1, Low: 2, Conn: 3, Seq: 4}
	b := make([]byte, wire.HeaderLen+5)
	h.Put(b)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var h wire.Header
		if !h.Parse(b) {
			return
		}
		c := make([]byte, wire.HeaderLen)
		h.Put(c)
		if !bytes.Equal(b[:wire.HeaderLen], c) {
			t.Errorf("%x became %x", b[:wire.HeaderLen], c)
		}
	})
}

// decode parses bytes as one message, and holds it against what they cost and
// what it is encoded as.
func decode(t *testing.T, c codec, b []byte) {
	if c.Parse(b) != nil {
		return
	}
	if again := c.Append(nil); !bytes.Equal(again, b) {
		t.Errorf("%+v: %x became %x", c, b, again)
	}
	size := 0
	switch m := c.(type) {
	case *wire.Decision:
		size = cap(m.Next.Members) + cap(m.Parties)
	case *wire.Merge:
		size = cap(m.Members)
	case *wire.Nak:
		size = cap(m.Spans)
	}
	if size > len(b) {
		t.Errorf("room for %d parts in a message of %d bytes", size, len(b))
	}
}

// FuzzControl gives bytes to the decoders of all control messages, or to the one
// that the first byte selects.
func FuzzControl(f *testing.F) {
	for i, c := range codecs {
		f.Add(uint8(i), c.example.Append(nil))
		f.Add(uint8(i), c.empty().Append(nil))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		c := &codecs[int(which)%len(codecs)]
		decode(t, c.empty(), b)
		if n := testing.AllocsPerRun(1, func() { _ = c.empty().Parse(b) }); int(n) > 64+len(b)/10 {
			t.Errorf("%v allocations for %d bytes", n, len(b))
		}
	})
}

func fuzzOne(f *testing.F, make func() codec, examples ...codec) {
	for _, e := range examples {
		f.Add(e.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) { decode(t, make(), b) })
}

func FuzzNak(f *testing.F) {
	many := &wire.Nak{Stream: 1}
	for i := range uint64(wire.MaxSpans) {
		many.Spans = append(many.Spans, wire.Span{From: 3*i + 1, To: 3*i + 2})
	}
	fuzzOne(f, func() codec { return new(wire.Nak) }, codecs[7].example, many)
}

func FuzzDecision(f *testing.F) {
	fuzzOne(f, func() codec { return new(wire.Decision) }, codecs[2].example)
}

func FuzzMerge(f *testing.F) {
	fuzzOne(f, func() codec { return new(wire.Merge) }, codecs[4].example)
}

// FuzzView is about what a view change sends: block, report, presence, view.
func FuzzView(f *testing.F) {
	for i := range 4 {
		f.Add(codecs[i].example.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for i := range 6 {
			decode(t, codecs[i].empty(), b)
		}
	})
}

// FuzzWindow runs a program against a Window and the model of it: each two
// bytes are a command and a number near the window's edge.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{0, 1, 0, 3, 3, 9, 2, 9, 4, 9})
	f.Add([]byte{0, 0, 0, 1, 0, 2, 2, 3, 4, 2, 1, 40, 0, 30, 3, 90})
	f.Fuzz(func(t *testing.T, program []byte) {
		m := newWindowModel(24)
		if len(program) > 400 {
			program = program[:400]
		}
		for ; len(program) >= 2; program = program[2:] {
			seq := uint64(program[1]) % 64
			if program[0] >= 128 {
				seq += m.first
			}
			var err error
			switch program[0] % 5 {
			case 0:
				err = m.insert(max(seq, 1), 1+int(program[0])/5%4, 5)
			case 1:
				err = m.saw(seq)
			case 2:
				err = m.readUpTo(seq)
			case 3:
				err = m.check(seq)
			case 4:
				m.free(seq)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := m.check(1 << 40); err != nil {
			t.Fatal(err)
		}
		if err := m.close(); err != nil {
			t.Fatal(err)
		}
	})
}
