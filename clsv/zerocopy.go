package clsv

import (
	"bytes"
	"context"
	"fmt"

	"maestro/stack"
	"maestro/wire"
)

// CastFill is Cast of n bytes that fill writes where they are sent from, so that
// they need not be copied: into the send log, if they fit what is left of a
// datagram, and into memory of the member's own otherwise. What is in the memory
// before is anything.
//
// Fill is called once if the error is nil, and not at all or once if not. The
// group is locked meanwhile: it must be short, make no downcalls and not keep the
// bytes. If it panics nothing is sent.
//
// Errors: those of Cast, ErrPanic, and ErrNoFill if fill is nil or n negative.
func (m *GroupMember) CastFill(ctx context.Context, n int, fill func([]byte)) (SendView, error) {
	if fill == nil || n < 0 {
		return SendView{}, m.fail(Cast.String(), ErrNoFill)
	}
	return m.send(ctx, &post{kind: Cast, fill: fill, room: n})
}

// TryCastFill is CastFill, but never waits: when too much waits already, it
// returns ErrWouldBlock.
func (m *GroupMember) TryCastFill(n int, fill func([]byte)) (SendView, error) {
	if fill == nil || n < 0 {
		return SendView{}, m.fail(Cast.String(), ErrNoFill)
	}
	return m.trySend(&post{kind: Cast, fill: fill, room: n})
}

// materialize writes a message that fill was to write to memory of its own.
func (p *post) materialize() error {
	if p.fill == nil {
		return nil
	}
	b := make([]byte, p.room)
	if err := try(p.fill, b); err != nil {
		return err
	}
	p.data, p.fill = b, nil
	return nil
}

// castFill casts a message that is written in the send log.
func (c *core) castFill(kind uint8, head []byte, p *post) error {
	b, err := c.group.Claim(len(head) + p.room)
	if err != nil {
		return err
	}
	if err := try(p.fill, b[copy(b, head):]); err != nil {
		c.group.Unclaim()
		return err
	}
	return c.group.Commit(kind, len(b))
}

// try runs an application's f under the lock of the group.
func try(f func([]byte), b []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrPanic, r)
		}
	}()
	f(b)
	return nil
}

// Retained is a message that is kept beyond its callback.
type Retained struct {
	// Data is the message, valid until Release.
	Data []byte

	buf *wire.Buf
	do  func(func(*stack.Group))
}

// retainPart is how much of its buffer a message must be to be kept where it was
// received: a shorter one would keep a buffer of several times its size.
const retainPart = 4

// Retain keeps a message, or a part of it, beyond the callback that it was handed
// to, without copying it if it is long. It must be called within that callback,
// with bytes of that message. Release must be called when they are not needed any
// more, from anywhere: until then memory that others wait for may be bound.
func (m *GroupMember) Retain(msg []byte) *Retained {
	l := m.current()
	if l == nil {
		return &Retained{Data: bytes.Clone(msg)}
	}
	switch it := l.core.current; {
	case it == nil || !it.isMessage():
		return &Retained{Data: bytes.Clone(msg)}
	case it.buf == nil: // memory that nobody uses again
		return &Retained{Data: msg}
	case len(msg) < len(it.buf.B)/retainPart:
		return &Retained{Data: bytes.Clone(msg)}
	default:
		r := &Retained{Data: msg, buf: it.buf, do: l.rt.Do}
		r.do(func(*stack.Group) { r.buf.Lend() })
		return r
	}
}

// Release gives a message back that was kept. Further calls do nothing, nor does
// that of a nil Retained.
func (r *Retained) Release() {
	if r == nil {
		return
	}
	if r.do != nil {
		do, buf := r.do, r.buf
		r.do, r.buf = nil, nil
		do(func(*stack.Group) { buf.Return() })
	}
	r.Data = nil
}
