package request

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"maestro/clsv"
	"maestro/clsv/once"
)

// The defaults of Options.
const (
	DefaultCalls   = 1024
	DefaultBytes   = 4 << 20
	DefaultTimeout = time.Minute
)

// Options are the options of a Dispatcher. The zero value serves nothing.
type Options struct {
	// Serve answers a request, in the member's callbacks. The error travels to
	// the caller as an *Error.
	Serve func(r *Request) ([]byte, error)
	// ServeLater, instead of Serve, is also called in the member's callbacks;
	// somebody calls r.Reply then or later.
	ServeLater func(r *Request)
	// Prefix begins the Dispatcher's messages. No message of the application's
	// own may begin with it, and all members must have the same. Default
	// DefaultPrefix.
	Prefix string
	// Calls and Bytes bound the calls that have not ended and the requests in
	// them. Default 1024, and 4 MiB.
	Calls, Bytes int
	// Window is how many calls with an identity may be under way; at most
	// once.Limits.Window of the tables. Default once.DefaultWindow.
	Window int
	// Timeout is the Call.Timeout of those that Start gets without one. Default
	// 1 min; clsv.NoTimeout for none.
	Timeout time.Duration
}

// Dispatcher sends requests for one member and serves those of others.
type Dispatcher struct {
	opts   Options
	prefix []byte
	m      *clsv.Member
	stats  counters

	mu    sync.Mutex
	seq   uint64
	calls map[*Pending]struct{} // those that have not ended
	bytes int                   // of their requests
	room  chan struct{}         // closed when one ends; nil if nobody waits

	core // used in callbacks only
}

// New makes a Dispatcher. Its Wrap makes the handler that its member needs, and
// Bind tells it the member. Errors: ErrOptions.
func New(o Options) (*Dispatcher, error) {
	switch {
	case o.Serve != nil && o.ServeLater != nil:
		return nil, fmt.Errorf("%w: both Serve and ServeLater", ErrOptions)
	case o.Calls < 0 || o.Bytes < 0 || o.Window < 0 || o.Timeout < clsv.NoTimeout:
		return nil, fmt.Errorf("%w: a bound is negative", ErrOptions)
	}
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.Calls = cmp.Or(o.Calls, DefaultCalls)
	o.Bytes = cmp.Or(o.Bytes, DefaultBytes)
	o.Window = cmp.Or(o.Window, once.DefaultWindow)
	o.Prefix = cmp.Or(o.Prefix, DefaultPrefix)
	d := &Dispatcher{opts: o, prefix: []byte(o.Prefix), calls: map[*Pending]struct{}{}}
	d.core.reset()
	return d, nil
}

// Bind tells the Dispatcher its member, before that joins.
func (d *Dispatcher) Bind(m *clsv.Member) { d.m = m }

// Do makes a call and waits until it ends or ctx is done. The replies are in
// the order in which they came, then come those who have left; also after an
// error there may be some. It waits too while too many calls are under way.
//
// Errors: ErrMemberLeft, ErrNoServers, ErrTooFew, ErrOptions, ctx's, and those
// of clsv: ErrNotJoined, also when the member leaves before the call has ended,
// ErrTooLarge, ErrWouldBlock if there is no room to send, ErrWouldDeadlock
// within a callback.
func (d *Dispatcher) Do(ctx context.Context, c Call) ([]Reply, error) {
	var replies []Reply
	var result error
	done := make(chan struct{})
	for {
		p, room, err := d.start(c, func(r []Reply, err error) {
			replies, result = r, err
			close(done)
		})
		if err == nil {
			if err = d.m.Wait(ctx, done); err == nil {
				return replies, result
			}
			if d.forget(p) {
				_ = d.m.Post(func() { d.canceled(p) })
				return p.replies, err
			}
			<-done // it ends at this moment
			return replies, result
		}
		if room == nil {
			return nil, err
		}
		if err := d.m.Wait(ctx, room); err != nil {
			return nil, err
		}
	}
}

// Server asks any server, or another if that one departs, and returns the
// reply. Errors are those of Do, and the *Error of the service's.
func (d *Dispatcher) Server(ctx context.Context, request []byte) ([]byte, error) {
	return d.one(ctx, Call{Data: request})
}

// Member asks one member; otherwise it is like Server.
func (d *Dispatcher) Member(ctx context.Context, who clsv.Endpoint,
	request []byte) ([]byte, error) {
	return d.one(ctx, Call{To: Members(who), Data: request})
}

func (d *Dispatcher) one(ctx context.Context, c Call) ([]byte, error) {
	r, err := d.Do(ctx, c)
	if err != nil {
		return nil, err
	}
	return r[0].Data, r[0].Err
}

// Start makes a call and does not wait: done is called, once, as a callback of
// the member, when the call has ended, with what Do returns. As long as those who
// were asked are there and do not answer, it ends by Cancel, or after its Timeout.
//
// Errors: ErrWouldBlock if too many calls are under way, ErrOptions, ErrTooFew,
// ErrNotJoined. done is not called then.
func (d *Dispatcher) Start(c Call, done func([]Reply, error)) (*Pending, error) {
	c.Timeout = cmp.Or(c.Timeout, d.opts.Timeout)
	p, _, err := d.start(c, done)
	return p, err
}

// start registers a call and has the core send it. If there is no room for it,
// the channel is closed when there may be.
func (d *Dispatcher) start(c Call,
	done func([]Reply, error)) (*Pending, <-chan struct{}, error) {
	if err := c.validate(); err != nil {
		return nil, nil, err
	}
	p := &Pending{d: d, Call: c, done: done}
	d.mu.Lock()
	if n := len(d.calls); n > 0 && (n >= d.opts.Calls || d.bytes+len(c.Data) > d.opts.Bytes) {
		if d.room == nil {
			d.room = make(chan struct{})
		}
		room := d.room
		d.mu.Unlock()
		return nil, room, fmt.Errorf("request: too many calls: %w", clsv.ErrWouldBlock)
	}
	p.Data = append([]byte(nil), c.Data...)
	d.seq++
	p.seq = d.seq
	d.calls[p] = struct{}{}
	d.bytes += len(p.Data)
	d.mu.Unlock()
	if err := d.m.Post(func() { d.begin(p) }); err != nil {
		if !d.forget(p) {
			err = nil // it has ended, because the member has
		}
		return p, nil, err
	}
	d.stats.Calls.Add(1)
	if c.Timeout > 0 {
		d.arm(p)
	}
	return p, nil, nil
}

// arm has a call end after its Timeout.
func (d *Dispatcher) arm(p *Pending) {
	disarm, err := d.m.After(p.Timeout, func() {
		if !d.over(p) {
			d.stats.TimedOut.Add(1)
			d.canceled(p)
			d.end(p, context.DeadlineExceeded)
		}
	})
	d.mu.Lock()
	if !p.ended && err == nil {
		p.disarm, disarm = disarm, nil
	}
	d.mu.Unlock()
	if disarm != nil {
		disarm() // it has ended already
	}
}

// forget takes a call off the list, and reports whether it was there.
func (d *Dispatcher) forget(p *Pending) bool {
	disarm := func() {}
	defer func() { disarm() }() // without the lock
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.ended {
		return false
	}
	p.ended = true
	if p.disarm != nil {
		disarm = p.disarm
	}
	delete(d.calls, p)
	d.bytes -= len(p.Data)
	if d.room != nil {
		close(d.room)
		d.room = nil
	}
	return true
}

// end ends a call.
func (d *Dispatcher) end(p *Pending, err error) {
	if d.forget(p) {
		p.done(p.replies, err) // nobody changes them any more
	}
}

// Cancel ends a call with context.Canceled, if it has not ended: done is called
// with the replies that have come, before Cancel returns. The request may be
// executed all the same. Cancel may be called from anywhere.
func (p *Pending) Cancel() {
	_ = p.d.m.Post(func() { p.d.canceled(p) })
	p.d.end(p, context.Canceled)
}

// over reports whether a call has ended.
func (d *Dispatcher) over(p *Pending) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return p.ended
}

// Stats are counts since the Dispatcher was made.
type Stats struct {
	Calls     uint64 // made
	Sent      uint64 // requests sent, repeats included
	Retries   uint64 // of these, repeats
	Replies   uint64 // received and wanted
	Late      uint64 // replies received and not wanted any more, or never
	Lost      uint64 // members that left before they answered
	TimedOut  uint64 // calls that took longer than their Timeout
	Pending   uint64 // calls that have not ended now
	Requests  uint64 // received
	Refused   uint64 // of these, by this package
	Answers   uint64 // sent
	Unsent    uint64 // answers that could not be sent
	Malformed uint64
}

// Stats is a snapshot of the counts.
func (d *Dispatcher) Stats() Stats {
	s := &d.stats
	d.mu.Lock()
	pending := uint64(len(d.calls))
	d.mu.Unlock()
	return Stats{Calls: s.Calls.Load(), Sent: s.Sent.Load(), Retries: s.Retries.Load(),
		Replies: s.Replies.Load(), Late: s.Late.Load(), Lost: s.Lost.Load(),
		TimedOut: s.TimedOut.Load(), Pending: pending,
		Requests: s.Requests.Load(), Refused: s.Refused.Load(), Answers: s.Answers.Load(),
		Unsent: s.Unsent.Load(), Malformed: s.Malformed.Load()}
}

type counters struct {
	Calls, Sent, Retries, Replies, Late, Lost, Requests, Refused, Answers, Unsent,
	TimedOut, Malformed atomic.Uint64
}
