package rsm

import (
	"context"
	"fmt"

	"maestro/clsv"
	"maestro/clsv/once"
)

// Call is a command that is under way.
type Call[R any] struct {
	op   op
	body []byte
	f    func() // of a read
	done chan struct{}
	res  R
	err  error

	id    once.ID
	loose int // how often it has been sent where it may have been applied
	beats int
	over  bool
	// The reply of this server, when it has applied the command, and of another.
	here, there []byte
	copies      []clsv.Endpoint // who else has applied it
}

// Done is closed when the result is there.
func (c *Call[R]) Done() <-chan struct{} { return c.done }

// Result is the result, after Done.
func (c *Call[R]) Result() (R, error) { return c.res, c.err }

// Propose proposes a command, and returns its result when it has been applied by
// as many servers as Options.Copies says, and here, if this is a server. When ctx
// is done first, it is not known whether it will be.
//
// Errors: ErrNoQuorum, ErrCommand, ErrForgotten, ErrBusy, ErrClosed, ctx's,
// clsv.ErrWouldDeadlock within a callback, clsv.ErrTooLarge.
func (r *Replica[C, R]) Propose(ctx context.Context, command C) (R, error) {
	return r.wait(ctx, r.Start(command))
}

// Start is Propose, but does not wait.
func (r *Replica[C, R]) Start(command C) *Call[R] {
	b, err := r.o.Command.Append(nil, command)
	if err != nil {
		c := &Call[R]{done: make(chan struct{}), over: true,
			err: fmt.Errorf("%w: %w", ErrCommand, err)}
		close(c.done)
		return c
	}
	return r.start(&Call[R]{op: opApply, body: b})
}

// Barrier waits until everything that was acknowledged to anybody before the
// call has been applied: here, if this is a server. Errors as of Propose.
func (r *Replica[C, R]) Barrier(ctx context.Context) error {
	_, err := r.wait(ctx, r.StartBarrier())
	return err
}

// StartBarrier is Barrier, but does not wait.
func (r *Replica[C, R]) StartBarrier() *Call[R] { return r.start(&Call[R]{op: opBarrier}) }

// Read runs f, which may look at the machine, at a moment when everything that
// was acknowledged to anybody before the call has been applied here. F is a
// callback; it must not change the machine nor keep parts of it that change.
// Errors as of Propose, and ErrNotServer; f is not run then, unless ctx is done
// meanwhile.
func (r *Replica[C, R]) Read(ctx context.Context, f func()) error {
	if r.o.Role != clsv.Server {
		return ErrNotServer
	}
	_, err := r.wait(ctx, r.start(&Call[R]{op: opBarrier, f: f}))
	return err
}

// Peek is Read without waiting for what others know: f sees the state as it is
// here, which may be old. ErrNotServer says that there is none.
func (r *Replica[C, R]) Peek(ctx context.Context, f func()) error {
	c := &Call[R]{f: f, done: make(chan struct{})}
	r.mu.Lock()
	r.peeks = append(r.peeks, c)
	r.mu.Unlock()
	if err := r.Post(func() { r.peek(c) }); err != nil {
		r.giveUp(c)
		return err
	}
	_, err := r.wait(ctx, c)
	return err
}

// peek runs the f of a Peek, unless it has been given up.
func (r *Replica[C, R]) peek(c *Call[R]) {
	r.mu.Lock()
	gone, err := c.over, error(ErrNotServer)
	r.mu.Unlock()
	if gone {
		return
	}
	if r.has() {
		err = nil
		c.f()
	}
	r.mu.Lock()
	unqueue(&r.peeks, c)
	c.fail(err)
	r.mu.Unlock()
}

// wait waits for a call.
func (r *Replica[C, R]) wait(ctx context.Context, c *Call[R]) (R, error) {
	if err := r.Wait(ctx, c.done); err != nil {
		r.giveUp(c)
		select {
		case <-c.done: // at the last moment
		default:
			var zero R
			return zero, err
		}
	}
	return c.res, c.err
}

// start queues a call.
func (r *Replica[C, R]) start(c *Call[R]) *Call[R] {
	c.done = make(chan struct{})
	r.mu.Lock()
	switch {
	case len(r.queue)+len(r.flight) >= r.o.Pending:
		c.fail(ErrBusy)
	default:
		r.queue = append(r.queue, c)
	}
	r.number()
	r.mu.Unlock()
	if s := r.State(); s == clsv.Initial || s == clsv.Leaving {
		r.ended() // whatever has been queued since the last life ended
	}
	r.post()
	return c
}

func (c *Call[R]) fail(err error) {
	if !c.over {
		c.over, c.err = true, err
		close(c.done)
	}
}
