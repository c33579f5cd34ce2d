package request

import (
	"bytes"
	"errors"
	"maps"
	"slices"

	"maestro/clsv"
	"maestro/clsv/once"
	"maestro/stack"
)

// maxRenewals is how often a call gets another identity, when the service says
// that it cannot know the first.
const maxRenewals = 3

// core is what a Dispatcher knows in the member's callbacks: nobody else
// touches it, and it needs no lock.
type core struct {
	view   *clsv.View // accepted last
	alone  bool       // this member does not get its own messages
	sent   map[uint64]*Pending
	held   []*Pending // that wait for a view, or for an identity
	number uint64     // of the last attempt
	ids    *once.Client
	server clsv.Endpoint // that AnyServer asked last
	buf    []byte
}

func (c *core) reset() { *c = core{sent: map[uint64]*Pending{}, number: c.number, buf: c.buf} }

// begin sends a new call.
func (d *Dispatcher) begin(p *Pending) {
	switch {
	case d.over(p):
	case d.view == nil:
		d.end(p, clsv.ErrNotJoined)
	default:
		d.hold(p)
	}
}

// hold sends a call, or keeps it until it can be sent.
func (d *Dispatcher) hold(p *Pending) {
	delete(d.sent, p.number)
	p.number = 0
	if !d.send(p) {
		d.held = append(d.held, p)
	}
}

// flush sends what is held and may go.
func (d *Dispatcher) flush() {
	kept := d.held[:0]
	for _, p := range d.held {
		if !d.over(p) && !d.send(p) {
			kept = append(kept, p)
		}
	}
	clear(d.held[len(kept):])
	d.held = kept
}

// send sends a call, or ends it; false means that it has to wait.
func (d *Dispatcher) send(p *Pending) bool {
	if p.repeats() && p.id.Number == 0 {
		id, err := d.ids.Next()
		if err != nil {
			return false
		}
		p.id = id
	}
	first := p.attempts == 0
	who := d.whom(p)
	p.ask(who)
	switch {
	case len(who) == 0 && first && p.servers():
		d.finish(p, ErrNoServers)
		return true
	case p.wanted > len(who) || len(who) == 0:
		if first {
			d.finish(p, ErrTooFew)
		}
		return first
	}
	d.number++
	p.number = d.number
	switch err := d.transmit(p, who); {
	case err == nil:
		d.transmitted(p)
	case errors.Is(err, clsv.ErrOtherView), errors.Is(err, clsv.ErrWouldBlock) && !first:
		p.number = 0
		return false
	default:
		d.finish(p, err)
	}
	return true
}

// whom lists those whom a call is for, in the view.
func (d *Dispatcher) whom(p *Pending) []clsv.Endpoint {
	v := d.view
	var who []clsv.Endpoint
	switch p.To.kind {
	case listed:
		return p.To.list
	case allMembers:
		who = v.Members
	default:
		who = v.Servers
	}
	if d.alone {
		who = slices.DeleteFunc(slices.Clone(who), func(e clsv.Endpoint) bool { return e == v.Me })
	}
	if p.To.kind == anyServer && len(who) > 0 {
		switch {
		case slices.Contains(who, d.server):
		case slices.Contains(who, v.Me):
			d.server = v.Me
		default: // others choose others
			d.server = who[v.MyRank%len(who)]
		}
		who = []clsv.Endpoint{d.server}
	}
	return who
}

// transmit hands an attempt to the member.
func (d *Dispatcher) transmit(p *Pending, who []clsv.Endpoint) error {
	h := header{number: p.number, id: p.id, servers: p.servers()}
	d.buf = append(h.append(append(d.buf[:0], d.prefix...)), p.Data...)
	o := clsv.MsgOptions{Safety: p.Safety, Queue: true}
	var err error
	switch p.To.kind {
	case allServers:
		o.In = d.view.ID
		_, err = d.m.TryScast(d.buf, o)
	case allMembers:
		o.In = d.view.ID
		_, err = d.m.TryCast(d.buf, o)
	case anyServer:
		_, err = d.m.TrySend(who[0], d.buf, o)
	default:
		o.Dests = who
		_, err = d.m.TryLsend(d.buf, o)
	}
	if cap(d.buf) > 1<<16 {
		d.buf = nil
	}
	return err
}

// transmitted notes that an attempt is on its way.
func (d *Dispatcher) transmitted(p *Pending) {
	p.attempts++
	d.stats.Sent.Add(1)
	if p.attempts > 1 {
		d.stats.Retries.Add(1)
	}
	d.mu.Lock()
	if !p.ended {
		p.replies = nil
	}
	d.mu.Unlock()
	d.sent[p.number] = p
	if p.To.kind == listed {
		d.lose(p)
	}
}

// lose notes who is not there any more of those that a call waits for, and goes
// on with it if that changes anything.
func (d *Dispatcher) lose(p *Pending) {
	lost := false
	for i := range p.asked {
		a := &p.asked[i]
		gone := d.view.RankOf(a.who) < 0 || p.servers() && !d.view.IsServer(a.who) ||
			d.alone && a.who == d.view.Me
		if gone && !a.over {
			lost = true
			d.stats.Lost.Add(1)
			p.answer(a, Reply{From: a.who, Err: ErrMemberLeft})
		}
	}
	if lost {
		d.settle(p)
	}
}

// settle ends a call that has what it wants, or does what is to be done with
// one that cannot get it any more.
func (d *Dispatcher) settle(p *Pending) {
	switch {
	case p.answered >= p.wanted:
		d.finish(p, nil)
	case p.open > 0:
	case p.repeats():
		d.hold(p)
	default:
		d.finish(p, ErrMemberLeft)
	}
}

// finish ends a call.
func (d *Dispatcher) finish(p *Pending, err error) {
	d.drop(p)
	d.end(p, err)
}

// drop forgets a call that has ended or is about to.
func (d *Dispatcher) drop(p *Pending) {
	delete(d.sent, p.number)
	if p.id.Number != 0 && d.view != nil && p.id.Client == d.view.Me {
		d.ids.Done(p.id.Number)
	}
	p.id.Number = 0
}

// canceled forgets a call that somebody has ended.
func (d *Dispatcher) canceled(p *Pending) {
	d.drop(p)
	d.flush() // an identity may be free
}

// replied takes a reply.
func (d *Dispatcher) replied(from clsv.Endpoint, h *header, data []byte) {
	p := d.sent[h.number]
	var a *asked
	if p != nil && !d.over(p) {
		a = p.waitsFor(from)
	}
	if a == nil {
		d.stats.Late.Add(1)
		return
	}
	if p.id.Number != 0 { // others may be of services with tables of their own
		d.ids.Learn(h.clock)
	}
	d.stats.Replies.Add(1)
	r := Reply{From: from}
	if h.err == nil {
		r.Data = bytes.Clone(data)
	} else {
		h.err.Text = string(data)
		r.Err = h.err
		if d.again(p, h.err) {
			return
		}
	}
	p.answer(a, r)
	d.settle(p)
	d.flush() // an identity may be free
}

// again repeats a call that has been refused, if it certainly has not been
// executed.
func (d *Dispatcher) again(p *Pending, err *Error) bool {
	switch {
	case p.renewals == maxRenewals:
		return false
	case p.To.kind == anyServer && errors.Is(err, errNotServer):
	case p.id.Number != 0 && p.attempts == 1 && errors.Is(err, ErrForgotten):
		// The only attempt was refused: it may be made anew, with another
		// identity and the clock that has come with the refusal.
		p.attempts = 0
		d.drop(p)
	default:
		return false
	}
	p.renewals++
	d.hold(p)
	return true
}

// enter notes a new view.
func (d *Dispatcher) enter(v *clsv.View) {
	d.view, d.alone = v, v.Properties&stack.NoLocal != 0
	if d.ids == nil {
		d.ids = once.NewClient(v.Me, d.opts.Window)
	}
}

// accepted goes on in a new view, after the application has accepted it.
func (d *Dispatcher) accepted(v *clsv.View) {
	if len(v.DepartedMembers)+len(v.DepartedServers) > 0 {
		for _, n := range slices.Sorted(maps.Keys(d.sent)) {
			if p := d.sent[n]; p != nil {
				d.lose(p)
			}
		}
	}
	d.flush()
}

// unsent takes back a message of ours that the member has dropped.
func (d *Dispatcher) unsent(msg []byte, err error) {
	var h header
	if _, ok := h.parse(msg, clsv.Endpoint{}); !ok {
		return
	}
	if h.reply {
		d.stats.Unsent.Add(1)
		return
	}
	// Others, whose receiver has gone, or this member, are found by views.
	if p := d.sent[h.number]; p != nil && errors.Is(err, clsv.ErrOtherView) {
		p.attempts--
		d.hold(p)
	}
}

// exit ends all calls.
func (d *Dispatcher) exit() {
	d.core.reset()
	d.mu.Lock()
	all := slices.SortedFunc(maps.Keys(d.calls), func(a, b *Pending) int {
		return int(a.seq - b.seq)
	})
	d.mu.Unlock()
	for _, p := range slices.Backward(all) {
		defer d.end(p, clsv.ErrNotJoined) // all of them, even if one panics
	}
}
