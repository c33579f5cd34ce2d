package kv

import (
	"encoding/binary"
	"errors"
	"slices"
)

// The tags of messages, all of them sends. Zero is package rsm's.
const (
	tagAsk    = 'Q' // id, what, key
	tagAnswer = 'R' // id, status, body
)

// MaxKey and MaxValue bound an entry, in bytes.
const MaxKey, MaxValue = 4 << 10, 16 << 20

var errFormat = errors.New("kv: malformed message")

// op is one command: to set a key or to delete it.
type op struct {
	del        bool
	key, value string
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendOp and parseOp are the commands' codec, appendBool and parseBool that of
// their results: whether the key was there.
func appendOp(b []byte, o op) ([]byte, error) {
	if o.del {
		return appendString(append(b, 'd'), o.key), nil
	}
	return appendString(appendString(append(b, 's'), o.key), o.value), nil
}

func parseOp(b []byte) (o op, err error) {
	r := reader{b: b}
	switch r.byte() {
	case 's':
		o.key, o.value = r.string(), r.string()
	case 'd':
		o.del, o.key = true, r.string()
	default:
		return o, errFormat
	}
	return o, r.end()
}

func appendBool(b []byte, was bool) ([]byte, error) {
	if was {
		return append(b, 1), nil
	}
	return append(b, 0), nil
}

func parseBool(b []byte) (bool, error) {
	if len(b) != 1 || b[0] > 1 {
		return false, errFormat
	}
	return b[0] == 1, nil
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

func (r *reader) string() string { return string(r.take(r.uvarint())) }

// end is the error of the whole message.
func (r *reader) end() error {
	if r.bad || len(r.b) > 0 {
		return errFormat
	}
	return nil
}

type status uint8

const (
	statusOK       status = iota
	statusTooLarge        // the answer would be
)

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
