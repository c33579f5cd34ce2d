package rsm

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"

	"maestro/clsv"
)

// Codec turns values into bytes. The zero value is for types that are []byte,
// string or struct{}, or that implement encoding.BinaryMarshaler (or
// encoding.BinaryAppender) and, by pointer, encoding.BinaryUnmarshaler.
type Codec[T any] struct {
	// Append appends a value to b.
	Append func(b []byte, v T) ([]byte, error)
	// Parse returns what Append has written; it must not keep b.
	Parse func(b []byte) (T, error)
}

// fill completes a codec, and reports whether it could be.
func (c *Codec[T]) fill(field string) error {
	if c.Append != nil && c.Parse != nil {
		return nil
	}
	var zero T
	switch any(zero).(type) {
	case []byte:
		c.Append = func(b []byte, v T) ([]byte, error) { return append(b, any(v).([]byte)...), nil }
		c.Parse = func(b []byte) (T, error) { return any(bytes.Clone(b)).(T), nil }
		return nil
	case string:
		c.Append = func(b []byte, v T) ([]byte, error) { return append(b, any(v).(string)...), nil }
		c.Parse = func(b []byte) (T, error) { return any(string(b)).(T), nil }
		return nil
	case struct{}:
		c.Append = func(b []byte, _ T) ([]byte, error) { return b, nil }
		c.Parse = func([]byte) (v T, err error) { return v, nil }
		return nil
	}
	_, read := any(&zero).(encoding.BinaryUnmarshaler)
	_, write := any(&zero).(encoding.BinaryMarshaler)
	if !read || !write {
		return fmt.Errorf("rsm: %w: %s: no codec for %T", clsv.ErrOptions, field, zero)
	}
	c.Append = func(b []byte, v T) ([]byte, error) {
		if a, ok := any(&v).(encoding.BinaryAppender); ok {
			return a.AppendBinary(b)
		}
		data, err := any(&v).(encoding.BinaryMarshaler).MarshalBinary()
		return append(b, data...), err
	}
	c.Parse = func(b []byte) (v T, err error) {
		return v, any(&v).(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
	}
	return nil
}

// The messages. Numbers are uvarints unless a size is given.
const (
	// tagCommand begins an Scast: id (see once.ID.Append) | op (byte) | command.
	tagCommand = 1
	// tagReply begins, after a zero byte, a Send:
	// identity (4 bytes) | number | clock | status (byte) | result
	tagReply = 2
)

// op is what is to be done with a command.
type op byte

const (
	opApply op = iota
	opBarrier
)

// status begins a reply.
type status byte

const (
	statusOK status = iota
	statusBad
	statusForgotten
	statusCopy // applied; the result comes from another
)

var errFormat = errors.New("rsm: malformed")
