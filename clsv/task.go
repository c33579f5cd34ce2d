package clsv

import (
	"context"
	"time"

	"maestro/stack"
)

// What helpers above a member need to have goroutines of their own, over real
// sockets and in simulations alike.

// Go runs f on a goroutine of its own, which should wait by Wait only: then it
// also runs in a simulation, in virtual time and always in the same way. There,
// f ends at its next Wait when the member's process has crashed. Errors:
// ErrNotJoined before Join, ErrClosed.
func (m *GroupMember) Go(f func()) error {
	l := m.current()
	if l == nil {
		return m.fail("go", ErrNotJoined)
	}
	l.rt.Go(f)
	return nil
}

// Wait waits until done is closed or ctx is done, and returns ctx's error in
// that case. Within a callback it does not wait, but returns ErrWouldDeadlock.
func (m *GroupMember) Wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	l := m.current()
	switch {
	case l == nil:
		return m.fail("wait", ErrNotJoined)
	case inCallback():
		return m.fail("wait", ErrWouldDeadlock)
	}
	return l.rt.Wait(ctx, done, 0)
}

// Post has f run as a callback, after those that wait. It never runs if the
// member's last callback comes first. Errors: ErrNotJoined, ErrClosed.
func (m *GroupMember) Post(f func()) error {
	return m.try("post", func(c *core) error {
		if !c.started || c.leaving || c.over {
			return ErrNotJoined
		}
		c.push(item{op: opCall, ev: &event{call: f}})
		return nil
	})
}

// Now is the member's time since some moment in the past: of the driver's
// clock, which in a simulation is the virtual one. It is 0 before Join and
// after Close.
func (m *GroupMember) Now() time.Duration {
	var now stack.Time
	_ = m.try("now", func(c *core) error { now = c.group.Now(); return nil })
	return time.Duration(now)
}
