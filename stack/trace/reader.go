package trace

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"maestro/wire"
)

// Reader gives back the events of a file. It takes nothing in the file on
// trust: whatever the bytes are, it neither panics nor allocates more than a
// small multiple of what it has read.
type Reader struct {
	r      *bufio.Reader
	offset int64 // of the next record
	long   bytes.Buffer
	ends   []wire.Endpoint
	last   []uint64
	p      wire.Endpoint
	time   int64
	done   bool
	whole  bool // the end mark was there
	cut    bool // the last record was not whole
}

// NewReader reads and checks the header.
func NewReader(r io.Reader) (*Reader, error) {
	t := &Reader{
		r: bufio.NewReader(r), offset: int64(headerLen),
		ends: []wire.Endpoint{{}}, last: []uint64{0},
	}
	var h [headerLen]byte
	if _, err := io.ReadFull(t.r, h[:]); err != nil {
		return nil, fmt.Errorf("%w: no header: %w", ErrFormat, err)
	}
	if string(h[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: not a trace", ErrFormat)
	}
	if v := binary.BigEndian.Uint16(h[len(magic):]); v != version {
		return nil, fmt.Errorf("%w: version %d, this program reads %d", ErrFormat, v, version)
	}
	return t, nil
}

// Complete reports whether the writer was closed. False after the last event
// means that the process was killed and that what it did last may be missing.
func (t *Reader) Complete() bool { return t.whole }

// Truncated reports whether the file ends in the middle of a record.
func (t *Reader) Truncated() bool { return t.cut }

// Next fills e with the next event; e.Dests is reused. At the end it returns
// io.EOF, also where the last record is cut off; ErrFormat is a damaged file.
func (t *Reader) Next(e *Event) error {
	for !t.done {
		body, err := t.record()
		if err != nil {
			t.done = true
			return err
		}
		ok := false
		switch body[0] {
		case bodyEnd:
			t.done, t.whole = true, true
			return io.EOF
		case bodyDefine:
			ok = t.define(body[1:])
		default:
			d := decoder{b: body, r: t}
			if d.event(e); !d.bad && len(d.b) == 0 {
				return nil
			}
		}
		if !ok {
			t.done = true
			return fmt.Errorf("%w: bad record before offset %d", ErrFormat, t.offset)
		}
	}
	return io.EOF
}

// record is the body of the next record, valid until the next call.
func (t *Reader) record() ([]byte, error) {
	n, err := binary.ReadUvarint(t.r)
	if err != nil {
		t.cut = errors.Is(err, io.ErrUnexpectedEOF)
		if t.cut || errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("%w: offset %d: %w", ErrFormat, t.offset, err)
	}
	if n == 0 || n > maxRecord {
		return nil, fmt.Errorf("%w: offset %d: record of %d bytes", ErrFormat, t.offset, n)
	}
	t.offset += int64(n) + int64(bits.Len64(n)+6)/7
	if n <= uint64(t.r.Size()) {
		b, err := t.r.Peek(int(n))
		if err != nil {
			t.cut = errors.Is(err, io.EOF)
			return nil, err
		}
		_, err = t.r.Discard(int(n)) // leaves b alone: it is all buffered
		return b, err
	}
	t.long.Reset()
	if _, err = io.CopyN(&t.long, t.r, int64(n)); err != nil {
		t.cut = errors.Is(err, io.EOF)
		return nil, err
	}
	return t.long.Bytes(), nil
}

// define learns an endpoint.
func (t *Reader) define(b []byte) bool {
	inc, k := binary.Uvarint(b)
	if k <= 0 {
		return false
	}
	t.ends = append(t.ends, wire.Endpoint{Name: string(b[k:]), Incarnation: inc})
	t.last = append(t.last, 0)
	return true
}
