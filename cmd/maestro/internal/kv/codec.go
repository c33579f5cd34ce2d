package kv

import (
	"encoding/binary"
	"errors"
	"slices"
)

// The tags of messages.
const (
	tagUpdate = 'U' // scast: session (8 bytes), number, count, operations
	tagAck    = 'A' // send: number, status, results
	tagAsk    = 'Q' // send: id, what, key
	tagAnswer = 'R' // send: id, status, body
	tagWant   = 'W' // AskState: attempt, index
	tagChunk  = 'C' // SendState: attempt, index, total, records
)

// The limits of one message of updates.
const (
	maxBatch      = 512
	maxBatchBytes = 256 << 10
	// MaxKey and MaxValue bound an entry, in bytes.
	MaxKey, MaxValue = 4 << 10, 16 << 20
)

var errFormat = errors.New("kv: malformed message")

// op is one operation of an update: to set, to delete, or, with sync, nothing.
type op struct {
	del, sync  bool
	key, value string
}

// update is a message of updates.
type update struct {
	session, seq uint64
	ops          []op
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (u *update) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, tagUpdate), u.session)
	b = binary.AppendUvarint(b, u.seq)
	b = binary.AppendUvarint(b, uint64(len(u.ops)))
	for i := range u.ops {
		switch o := &u.ops[i]; {
		case o.sync:
			b = append(b, 'n')
		case o.del:
			b = appendString(append(b, 'd'), o.key)
		default:
			b = appendString(appendString(append(b, 's'), o.key), o.value)
		}
	}
	return b
}

// reader takes a message apart. After a mistake it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) byte() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint64() uint64 {
	if p := r.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

func (r *reader) string() string { return string(r.take(r.uvarint())) }

// end is the error of the whole message.
func (r *reader) end() error {
	if r.bad || len(r.b) > 0 {
		return errFormat
	}
	return nil
}

func decodeUpdate(b []byte) (*update, error) {
	r := reader{b: b}
	if r.byte() != tagUpdate {
		return nil, errFormat
	}
	u := &update{session: r.uint64(), seq: r.uvarint()}
	n := r.uvarint()
	if n > maxBatch {
		return nil, errFormat
	}
	for range n {
		o := op{}
		switch r.byte() {
		case 's':
			o.key, o.value = r.string(), r.string()
		case 'd':
			o.del, o.key = true, r.string()
		case 'n':
			o.sync = true
		default:
			return nil, errFormat
		}
		u.ops = append(u.ops, o)
	}
	return u, r.end()
}

// ack is the answer to an update.
type ack struct {
	seq     uint64
	status  status
	results []byte // by operation: 1 if the key was there before
}

type status uint8

const (
	statusOK       status = iota
	statusNoQuorum        // refused: the view is not primary
	statusTooLarge        // the answer would be
)

func (a *ack) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, tagAck), a.seq)
	return append(append(b, byte(a.status)), a.results...)
}

func decodeAck(b []byte) (a ack, err error) {
	r := reader{b: b}
	if r.byte() != tagAck {
		return a, errFormat
	}
	a.seq, a.status = r.uvarint(), status(r.byte())
	a.results = slices.Clone(r.take(uint64(len(r.b))))
	return a, r.end()
}

// The questions that a client asks a server.
const (
	askGet = iota
	askDump
	askDigest
)

type question struct {
	id   uint64
	what uint8
	key  string
}

func (q *question) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, tagAsk), q.id)
	return appendString(append(b, q.what), q.key)
}

func decodeQuestion(b []byte) (q question, err error) {
	r := reader{b: b}
	if r.byte() != tagAsk {
		return q, errFormat
	}
	q.id, q.what, q.key = r.uvarint(), r.byte(), r.string()
	return q, r.end()
}

type answer struct {
	id     uint64
	status status
	body   []byte
}

func (a *answer) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, tagAnswer), a.id)
	return append(append(b, byte(a.status)), a.body...)
}

func decodeAnswer(b []byte) (a answer, err error) {
	r := reader{b: b}
	if r.byte() != tagAnswer {
		return a, errFormat
	}
	a.id, a.status = r.uvarint(), status(r.byte())
	a.body = slices.Clone(r.take(uint64(len(r.b))))
	return a, r.end()
}

// want asks for a portion of the state.
type want struct{ attempt, index uint64 }

func (w want) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, tagWant), w.attempt)
	return binary.AppendUvarint(b, w.index)
}

func decodeWant(b []byte) (w want, err error) {
	r := reader{b: b}
	if r.byte() != tagWant {
		return w, errFormat
	}
	w.attempt, w.index = r.uvarint(), r.uvarint()
	return w, r.end()
}

// chunk is a portion of the state: whole records.
type chunk struct {
	want
	total   uint64
	records []byte
}

func (c *chunk) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, tagChunk), c.attempt)
	b = binary.AppendUvarint(b, c.index)
	return append(binary.AppendUvarint(b, c.total), c.records...)
}

func decodeChunk(b []byte) (c chunk, err error) {
	r := reader{b: b}
	if r.byte() != tagChunk {
		return c, errFormat
	}
	c.attempt, c.index, c.total = r.uvarint(), r.uvarint(), r.uvarint()
	c.records = r.take(uint64(len(r.b)))
	return c, r.end()
}
