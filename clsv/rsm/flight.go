package rsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"maestro/clsv"
	"maestro/clsv/once"
	"maestro/wire"
)

// proposer sends this member's commands. With Replica.mu held.
type proposer[C, R any] struct {
	client   *once.Client
	identity wire.Endpoint
	lives    int        // identities that there were
	queue    []*Call[R] // without a number
	flight   []*Call[R] // with, by number
	out      []*Call[R] // of flight, to be sent
	posting  bool
	lineage  uint64 // of the state, in the view
}

// number gives numbers to what waits, and has it sent. Called with r.mu held.
func (r *Replica[C, R]) number() {
	if r.view == nil {
		return
	}
	if r.client == nil {
		r.identity = r.view.Me
		if r.lives++; r.lives > 1 { // not one that was used before
			name := fmt.Sprintf("%d~%s", r.lives, r.identity.Name)
			r.identity.Name = name[:min(len(name), wire.MaxName)]
		}
		r.client = once.NewClient(r.identity, r.o.Limits.Window)
	}
	for len(r.queue) > 0 {
		id, err := r.client.Next()
		if err != nil {
			return
		}
		c := r.queue[0]
		r.queue[0], r.queue = nil, r.queue[1:]
		c.id = id
		r.flight = append(r.flight, c)
		r.out = append(r.out, c)
	}
}

// post sends what is to be sent, in order.
func (r *Replica[C, R]) post() {
	r.mu.Lock()
	busy := r.posting
	r.posting = true
	r.mu.Unlock()
	if !busy {
		r.deliver(false)
	}
}

func (r *Replica[C, R]) deliver(wait bool) {
	var msg []byte
	for {
		r.mu.Lock()
		if len(r.out) == 0 {
			r.posting = false
			r.mu.Unlock()
			return
		}
		c := r.out[0]
		gone := c.over
		if !gone {
			c.sends++
			c.beats = 0
			msg = append(c.id.Append(append(msg[:0], tagCommand)), byte(c.op))
			msg = append(msg, c.body...)
		}
		r.mu.Unlock()
		var err error
		switch {
		case gone:
		case wait:
			_, err = r.Scast(context.Background(), msg)
		default:
			_, err = r.TryScast(msg)
		}
		if errors.Is(err, clsv.ErrWouldBlock) && !wait && r.Go(func() { r.deliver(true) }) == nil {
			return
		}
		r.mu.Lock()
		if len(r.out) > 0 && r.out[0] == c {
			r.out = r.out[1:]
		}
		if errors.Is(err, clsv.ErrTooLarge) {
			r.drop(c, clsv.ErrTooLarge)
		}
		r.mu.Unlock()
	}
}

// drop ends a call that is in flight. Called with r.mu held.
func (r *Replica[C, R]) drop(c *Call[R], err error) {
	for i, d := range r.flight {
		if c == d {
			r.flight = append(r.flight[:i:i], r.flight[i+1:]...)
			r.client.Done(c.id.Number)
			break
		}
	}
	c.fail(err)
	r.number()
}

// giveUp forgets a call that nobody waits for any more.
func (r *Replica[C, R]) giveUp(c *Call[R]) {
	r.mu.Lock()
	if !c.over {
		c.over = true // and not done
		for i, d := range r.queue {
			if c == d {
				r.queue = append(r.queue[:i:i], r.queue[i+1:]...)
				break
			}
		}
		r.drop(c, context.Canceled)
	}
	r.mu.Unlock()
	r.post()
}

// complete takes a reply: from another server, or because the command has just
// been applied here.
func (r *Replica[C, R]) complete(from clsv.Endpoint, who uint32, number, clock uint64,
	reply []byte) {
	r.mu.Lock()
	if r.client == nil || r.view == nil || who != brief(r.identity) {
		r.mu.Unlock()
		return
	}
	i := slices.IndexFunc(r.flight, func(c *Call[R]) bool { return c.id.Number == number })
	if i < 0 {
		r.mu.Unlock()
		return
	}
	c := r.flight[i]
	r.client.Learn(clock)
	here := from == r.view.Me
	switch {
	case status(reply[0]) == statusNoQuorum:
		// It may have been applied another time that it was sent. A server hears
		// of each refusal twice, from itself and from another, and counts one.
		if here || !r.serves() {
			c.refused++
		}
		if c.refused < c.sends {
			r.mu.Unlock()
			return
		}
	case here:
		c.here = bytes.Clone(reply)
	default:
		if status(reply[0]) != statusCopy {
			c.there = bytes.Clone(reply)
		}
		if !slices.Contains(c.copies, from) {
			c.copies = append(c.copies, from)
		}
	}
	r.mu.Unlock()
	r.settle(c)
}

// serves reports whether this member gets commands itself. Called with r.mu held.
func (r *Replica[C, R]) serves() bool {
	return r.view.MyMbrshipType == clsv.Server && r.view.State != clsv.BecomingServer
}

// settle ends a call if all who have to have applied it.
func (r *Replica[C, R]) settle(c *Call[R]) {
	r.mu.Lock()
	reply := r.reply(c)
	r.mu.Unlock()
	if reply != nil {
		r.finish(c, status(reply[0]), reply[1:])
	}
}

// reply is what a call ends with, nil if it has to wait. Called with r.mu held.
func (r *Replica[C, R]) reply(c *Call[R]) []byte {
	v := r.view
	switch {
	case v == nil || c.over:
		return nil
	case c.refused > 0 && c.refused >= c.sends:
		return []byte{byte(statusNoQuorum)}
	case !v.Primary:
		return nil // nobody knows what the others have
	}
	have := 0
	for _, s := range v.Servers {
		if s == v.Me && c.here != nil || slices.Contains(c.copies, s) {
			have++
		}
	}
	switch {
	case have < r.o.copies(v):
		return nil
	case r.serves():
		return c.here
	}
	return c.there
}

// finish ends a call.
func (r *Replica[C, R]) finish(c *Call[R], s status, result []byte) {
	var res R
	var err error
	switch {
	case s == statusNoQuorum:
		err = ErrNoQuorum
	case s == statusForgotten:
		err = ErrForgotten
	case s != statusOK:
		err = ErrCommand
	case c.f != nil && !r.has():
		err = ErrNotServer
	case c.f != nil:
		c.f()
	case c.op == opApply:
		if res, err = r.o.Result.Parse(result); err != nil {
			err = fmt.Errorf("%w: %w", ErrCommand, err)
		}
	}
	r.mu.Lock()
	if !c.over {
		c.res = res
	}
	r.drop(c, err)
	if s == statusForgotten {
		r.reborn()
	}
	r.mu.Unlock()
	r.post()
}

// brief tells the identities of one member apart.
func brief(e wire.Endpoint) uint32 {
	return uint32(xxhash.Sum64String(e.Name) ^ e.Incarnation*0x9e3779b97f4a7c15>>32)
}

// reborn begins as another client, since the one that this was is not known
// any more: what is in flight may have been applied. Called with r.mu held.
func (r *Replica[C, R]) reborn() {
	for _, c := range r.flight {
		c.fail(ErrForgotten)
	}
	r.flight, r.out, r.client = nil, nil, nil
	r.number()
}

// entered sends again, in a new view, what may have been lost.
func (r *Replica[C, R]) entered(v *clsv.View) {
	r.mu.Lock()
	void := v.StartXfer || v.State == clsv.BecomingServer || v.Lineage != r.lineage
	r.lineage = v.Lineage
	for _, c := range r.flight {
		if void { // what was applied is lost
			c.here, c.there, c.copies = nil, nil, nil
		}
		// Who is gone may have applied it in another order than those who go on.
		if len(v.DepartedServers) > 0 {
			c.there = nil
		}
		// Whoever comes back as a server may have got another state meanwhile.
		c.copies = slices.DeleteFunc(c.copies, func(e clsv.Endpoint) bool {
			return !v.IsServer(e) || slices.Contains(v.NewServers, e)
		})
	}
	if void || len(v.NewServers)+len(v.DepartedServers) > 0 || v.State != v.OldState {
		r.again() // other servers are to tell that they have it
	}
	r.number()
	calls := slices.Clone(r.flight)
	r.mu.Unlock()
	for _, c := range calls {
		r.settle(c) // perhaps nobody is left to wait for
	}
	r.post()
}

// again sends everything again that is in flight. Called with r.mu held.
func (r *Replica[C, R]) again() {
	r.out = append(r.out[:0:0], r.flight...)
}

// patience is after how many heartbeats without an answer commands are sent
// again.
const patience = 2

// beaten has what waits too long be sent again.
func (r *Replica[C, R]) beaten() {
	r.mu.Lock()
	if len(r.flight) > 0 && r.view != nil && r.view.ViewType <= clsv.FreeXfer && len(r.out) == 0 {
		if r.flight[0].beats++; r.flight[0].beats > patience {
			r.again()
		}
	}
	r.mu.Unlock()
	r.post()
}

// ended ends all calls: this life is over.
func (r *Replica[C, R]) ended() {
	r.mu.Lock()
	for _, list := range [][]*Call[R]{r.flight, r.queue} {
		for _, c := range list {
			c.fail(ErrClosed)
		}
	}
	r.flight, r.queue, r.out, r.client = nil, nil, nil, nil
	r.mu.Unlock()
}
