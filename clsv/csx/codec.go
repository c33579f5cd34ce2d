package csx

import "encoding/binary"

// The messages of this package: the requests and portions that AskState and
// SendState of clsv carry. The first byte is the kind; numbers are uvarints,
// hashes 8 bytes, little endian.
const (
	// askOpen begins an answer, or goes on with one elsewhere:
	// id | try | whole (byte) | start | cut | offset | hash | credit | request
	askOpen = 1
	askMore = 2 // id | try | credit
	askStop = 3 // id | try

	stateChunk = 4 // id | try | flags (byte) | cut | offset | hash | length | bytes
	stateAgain = 5 // id | try: the source's bytes are others, ask from the beginning
	stateError = 6 // id | try | text
)

// The flags of a chunk.
const (
	flagLast   = 1 << iota // the answer ends here
	flagPacked             // bytes are compressed
)

// maxText bounds the text of an error.
const maxText = 512

// cursor takes values off the front of bytes. After the first one that is not
// there, bad stays set and every value reads as zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) byte() byte {
	if len(c.b) == 0 {
		c.bad = true
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
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

func (c *cursor) hash() uint64 {
	if len(c.b) < 8 {
		c.bad, c.b = true, nil
		return 0
	}
	v := binary.LittleEndian.Uint64(c.b)
	c.b = c.b[8:]
	return v
}

func (c *cursor) rest() []byte {
	b := c.b
	c.b = nil
	return b
}

// ask is a message to a source.
type ask struct {
	kind    byte
	id, try uint64
	whole   bool   // all of the state: a snapshot, and not an answer of the handler
	start   uint64 // the transfer: when it began
	cut     uint64 // of what has come so far; 0 if nothing
	offset  uint64 // bytes that have come so far, with this hash
	hash    uint64
	credit  uint64 // chunks that may be sent in this try
	request []byte
}

func (a *ask) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, a.kind), a.id)
	b = binary.AppendUvarint(b, a.try)
	switch a.kind {
	case askMore:
		b = binary.AppendUvarint(b, a.credit)
	case askOpen:
		whole := byte(0)
		if a.whole {
			whole = 1
		}
		b = binary.AppendUvarint(append(b, whole), a.start)
		b = binary.AppendUvarint(b, a.cut)
		b = binary.AppendUvarint(b, a.offset)
		b = binary.LittleEndian.AppendUint64(b, a.hash)
		b = binary.AppendUvarint(b, a.credit)
		b = append(b, a.request...)
	}
	return b
}

// parse decodes what append wrote; request is part of b.
func (a *ask) parse(b []byte) bool {
	c := cursor{b: b}
	*a = ask{kind: c.byte(), id: c.uvarint(), try: c.uvarint()}
	switch a.kind {
	case askMore:
		a.credit = c.uvarint()
	case askOpen:
		w := c.byte()
		c.bad = c.bad || w > 1
		a.whole = w == 1
		a.start, a.cut, a.offset = c.uvarint(), c.uvarint(), c.uvarint()
		a.hash, a.credit = c.hash(), c.uvarint()
		a.request = c.rest()
	case askStop:
	default:
		return false
	}
	return !c.bad && len(c.b) == 0
}

// portion is a message from a source.
type portion struct {
	kind    byte
	id, try uint64
	last    bool
	packed  bool
	cut     uint64
	offset  uint64 // of the first byte
	hash    uint64 // of all bytes up to the end of this chunk
	length  uint64 // of the chunk when it is not packed
	body    []byte // or text
}

// appendHead appends all of it but the body.
func (p *portion) appendHead(b []byte) []byte {
	b = binary.AppendUvarint(append(b, p.kind), p.id)
	b = binary.AppendUvarint(b, p.try)
	if p.kind != stateChunk {
		return b
	}
	flags := byte(0)
	if p.last {
		flags |= flagLast
	}
	if p.packed {
		flags |= flagPacked
	}
	b = binary.AppendUvarint(append(b, flags), p.cut)
	b = binary.AppendUvarint(b, p.offset)
	b = binary.LittleEndian.AppendUint64(b, p.hash)
	return binary.AppendUvarint(b, p.length)
}

// maxHead is the longest head of a chunk.
const maxHead = 2 + 5*binary.MaxVarintLen64 + 8

// parse decodes what appendHead wrote and the body behind it, a part of b.
func (p *portion) parse(b []byte) bool {
	c := cursor{b: b}
	*p = portion{kind: c.byte(), id: c.uvarint(), try: c.uvarint()}
	switch p.kind {
	case stateChunk:
		f := c.byte()
		p.last, p.packed = f&flagLast != 0, f&flagPacked != 0
		p.cut, p.offset, p.hash, p.length = c.uvarint(), c.uvarint(), c.hash(), c.uvarint()
		p.body = c.rest()
		c.bad = c.bad || f > flagLast|flagPacked || p.length > maxChunk ||
			!p.packed && uint64(len(p.body)) != p.length || uint64(len(p.body)) > p.length
	case stateAgain:
	case stateError:
		p.body = c.rest()
		c.bad = c.bad || len(p.body) > maxText
	default:
		return false
	}
	return !c.bad && len(c.b) == 0
}
