package request

import (
	"encoding/binary"

	"maestro/clsv"
	"maestro/clsv/once"
)

// DefaultPrefix begins the messages of a Dispatcher: 0xff begins no text, the
// last byte is a version.
const DefaultPrefix = "\xffRQ\x01"

// After the prefix comes, in a request,
//
//	type u8 | number | if flagOnce: once number | acked | base | data
//
// and in a reply
//
//	type u8 | number | clock | status u8 | if statusError: length | error type | data
//
// where data is the error's text if there is one. Numbers are uvarints.
const (
	typeReply   = 0
	typeRequest = 1
	flagOnce    = 2 // of a request: it has an identity
	flagServers = 4 // of a request: it is for servers

	statusData  = 0
	statusError = 1
)

const maxType = 255 // bytes of an error's type

// header is what precedes the bytes of a request or a reply.
type header struct {
	reply   bool
	servers bool
	number  uint64
	id      once.ID // without its client; no number if there is none
	clock   uint64
	err     *Error // of a reply, without its text
}

func (h *header) append(b []byte) []byte {
	if h.reply {
		b = append(b, typeReply)
		b = binary.AppendUvarint(b, h.number)
		b = binary.AppendUvarint(b, h.clock)
		if h.err == nil {
			return append(b, statusData)
		}
		t := h.err.Type[:min(len(h.err.Type), maxType)]
		return append(append(b, statusError, byte(len(t))), t...)
	}
	t := byte(typeRequest)
	if h.id.Number != 0 {
		t |= flagOnce
	}
	if h.servers {
		t |= flagServers
	}
	b = binary.AppendUvarint(append(b, t), h.number)
	if h.id.Number != 0 {
		b = binary.AppendUvarint(b, h.id.Number)
		b = binary.AppendUvarint(b, h.id.Acked)
		b = binary.AppendUvarint(b, h.id.Base)
	}
	return b
}

// parse takes the header off a message from a member, and returns what is
// behind it; ok says that it was well formed.
func (h *header) parse(b []byte, from clsv.Endpoint) (data []byte, ok bool) {
	c := cursor{b: b}
	t := c.u8()
	*h = header{reply: t == typeReply, number: c.uvarint()}
	if h.reply {
		h.clock = c.uvarint()
		switch c.u8() {
		case statusData:
		case statusError:
			h.err = &Error{Type: Type(c.take(int(c.u8())))}
		default:
			c.bad = true
		}
		return c.b, !c.bad
	}
	h.servers = t&flagServers != 0
	if t&flagOnce != 0 {
		h.id = once.ID{Client: from, Number: c.uvarint(), Acked: c.uvarint(), Base: c.uvarint()}
		c.bad = c.bad || h.id.Number == 0 || h.id.Acked >= h.id.Number
	}
	return c.b, !c.bad && t&typeRequest != 0 && t < 2*flagServers
}

// cursor takes values off the front of bytes. After the first one that is not
// there, bad stays set and every value reads as zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.bad, c.b = true, nil
		return nil
	}
	v := c.b[:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) u8() byte {
	if v := c.take(1); len(v) == 1 {
		return v[0]
	}
	return 0
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}
