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
	peeks    []*Call[R] // Peeks that wait
	posting  bool
	lineage  uint64 // of the state, in the view
	primary  bool   // the view
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

// deliver sends each command in the view that this member knows, or not at all. So
// what is refused is certain: nobody applies what is sent in a view that is not
// primary.
func (r *Replica[C, R]) deliver(wait bool) {
	var msg []byte
	for {
		r.mu.Lock()
		c := r.pick()
		if c == nil {
			r.posting = false
			r.mu.Unlock()
			return
		}
		c.loose++
		c.beats = 0
		msg = append(c.id.Append(append(msg[:0], tagCommand)), byte(c.op))
		msg = append(msg, c.body...)
		in := clsv.MsgOptions{In: r.view.ID}
		r.mu.Unlock()
		var err error
		if wait {
			_, err = r.Scast(context.Background(), msg, in)
		} else {
			_, err = r.TryScast(msg, in)
		}
		if !r.posted(c, in.In, err) {
			return
		}
		if errors.Is(err, clsv.ErrWouldBlock) && !wait && r.Go(func() { r.deliver(true) }) == nil {
			return
		}
	}
}

// pick is the next call to be sent, nil if none can. Called with r.mu held.
func (r *Replica[C, R]) pick() *Call[R] {
	for r.view != nil && len(r.out) > 0 {
		if !r.view.Primary {
			r.refuse()
			return nil
		}
		if c := r.out[0]; !c.over {
			return c
		}
		r.out = r.out[1:]
	}
	return nil
}

// refuse ends what certainly has not been applied, in a view in which nothing is.
// The rest waits for another view. Called with r.mu held.
func (r *Replica[C, R]) refuse() {
	for {
		i := slices.IndexFunc(r.flight, func(c *Call[R]) bool { return c.loose == 0 })
		if i < 0 {
			break
		}
		r.drop(r.flight[i], ErrNoQuorum) // others may take its place
	}
	r.out = nil
}

// posted notes what has become of an attempt, and reports whether to go on.
func (r *Replica[C, R]) posted(c *Call[R], view clsv.ViewID, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		c.loose--
	}
	switch {
	case errors.Is(err, clsv.ErrWouldBlock):
		return true
	case errors.Is(err, clsv.ErrOtherView) && r.view != nil:
		r.posting = r.view.ID != view // if not, there is a next view to wait for
		return r.posting
	case errors.Is(err, clsv.ErrTooLarge):
		r.drop(c, clsv.ErrTooLarge)
	}
	if len(r.out) > 0 && r.out[0] == c {
		r.out = r.out[1:]
	}
	return true
}

// dropped takes back a command of ours that will not be sent: its view has ended.
func (r *Replica[C, R]) dropped(msg []byte) {
	if len(msg) == 0 || msg[0] != tagCommand {
		return
	}
	id, _, err := once.ParseID(msg[1:])
	if err != nil {
		return
	}
	r.mu.Lock()
	if r.client != nil && id.Client == r.identity {
		if c := r.find(id.Number); c != nil {
			c.loose--
			r.out = append(r.out, c)
		}
	}
	r.mu.Unlock()
	r.post()
}

// find is the call that is in flight with a number, nil if none is. Called with
// r.mu held.
func (r *Replica[C, R]) find(number uint64) *Call[R] {
	i := slices.IndexFunc(r.flight, func(c *Call[R]) bool { return c.id.Number == number })
	if i < 0 {
		return nil
	}
	return r.flight[i]
}

// drop ends a call that is in flight. Called with r.mu held.
func (r *Replica[C, R]) drop(c *Call[R], err error) {
	if unqueue(&r.flight, c) {
		r.client.Done(c.id.Number)
	}
	c.fail(err)
	r.number()
}

// unqueue takes a call off a list, and reports whether it was there.
func unqueue[R any](list *[]*Call[R], c *Call[R]) bool {
	i := slices.Index(*list, c)
	if i < 0 {
		return false
	}
	*list = append((*list)[:i:i], (*list)[i+1:]...)
	return true
}

// giveUp forgets a call that nobody waits for any more.
func (r *Replica[C, R]) giveUp(c *Call[R]) {
	r.mu.Lock()
	if !c.over {
		c.over = true // and not done
		unqueue(&r.queue, c)
		unqueue(&r.peeks, c)
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
	var c *Call[R]
	if r.client != nil && r.view != nil && who == brief(r.identity) {
		c = r.find(number)
	}
	if c == nil {
		r.mu.Unlock()
		return
	}
	r.client.Learn(clock)
	if from == r.view.Me {
		c.here = bytes.Clone(reply)
	} else {
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
	was := r.primary
	r.lineage, r.primary = v.Lineage, v.Primary
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
	switch {
	case !v.Primary:
		r.refuse()
	case void || len(v.NewServers)+len(v.DepartedServers) > 0 || v.State != v.OldState || !was:
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
	for _, list := range [][]*Call[R]{r.flight, r.queue, r.peeks} {
		for _, c := range list {
			c.fail(ErrClosed)
		}
	}
	r.flight, r.queue, r.peeks, r.out, r.client = nil, nil, nil, nil, nil
	r.mu.Unlock()
}
