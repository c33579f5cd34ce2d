package sim

import (
	"fmt"

	"maestro/stack"
	"maestro/stack/trace"
	"maestro/wire"
)

// Recorder is an application for tests: it sends numbered messages, and records
// what it does and sees as the events of a trace. What cannot be sent at once
// waits.
type Recorder struct {
	// Out gets the events; nil records nothing.
	Out trace.Recorder
	// OnDeliver, if set, is called with each message delivered.
	OnDeliver func(id trace.MsgID, data []byte)
	// OnView, if set, is called with each view accepted.
	OnView func(v *stack.View)
	// OnStop, if set, is called when the application is asked to stop sending.
	OnStop func()
	// Rank, if set, is what the member weighs in a merge.
	Rank []byte
	// Exchanges has the member ask for state messages before each view.
	Exchanges bool
	// InCore, if set, says who is in the core of a view: the same at all members.
	// Core casts are recorded as messages to those who are.
	InCore func(e wire.Endpoint) bool
	// Self has sends to the member itself allowed.
	Self bool

	Current   *stack.View // the view accepted last
	Accepted  int         // views
	Delivered int         // messages
	Sent      int         // messages
	Blocked   bool        // between Stop and the next view
	Gone      bool        // Exit has been called

	m      *Member
	epoch  uint64
	number uint64 // of the last message made
	queue  []upcall
	taken  []upcall
	answer bool // Stopped is owed to the group
	full   bool // a send would have blocked
	outbox []outgoing
	event  trace.Event
	done   []uint64 // consumed, by stream
	text   []byte
	last   []uint64 // number of the last cast delivered, by rank
}

// upcall is a call of the group that waits for Run.
type upcall struct {
	what   callKind
	epoch  uint64
	from   int
	to     int
	stream int
	seq    uint64
	data   []byte
	buf    *wire.Buf
	view   *stack.View
	err    error
}

type callKind uint8

const (
	callDeliver callKind = iota
	callStop
	callView
	callExit
	callWritable
)

// outgoing is a message that waits to be sent; to is zero for a cast.
type outgoing struct {
	to   wire.Endpoint
	core bool
	n    uint64
	size int
}

// Attach takes the member that the application is for.
func (r *Recorder) Attach(m *Member) {
	r.m = m
	r.record(&trace.Event{Kind: trace.Start})
}

// Epoch is the group's count of views at the view accepted last.
func (r *Recorder) Epoch() uint64 { return r.epoch }

// Number is that of the message submitted last.
func (r *Recorder) Number() uint64 { return r.number }

// LastOf is the number of the last cast of a member that was delivered in the
// current view.
func (r *Recorder) LastOf(e wire.Endpoint) uint64 {
	if r.Current != nil {
		if k := r.Current.RankOf(e); k >= 0 {
			return r.last[k]
		}
	}
	return 0
}

// Discard gives up what waits to be sent.
func (r *Recorder) Discard() { r.outbox = nil }

// Attr is the member's name and the number of views it has seen.
func (r *Recorder) Attr() []byte { return fmt.Appendf(nil, "%s/%d", r.m.Name, r.epoch) }

// Exchange tells whether state messages are wanted.
func (r *Recorder) Exchange() bool { return r.Exchanges }

// Weight is Rank.
func (r *Recorder) Weight() []byte { return r.Rank }

// Compose describes the views that end, so that all members of the next one
// can be compared.
func (r *Recorder) Compose(p *stack.Proposal) {
	var b []byte
	for _, q := range p.Parties {
		b = fmt.Appendf(b, "%v", q.View)
		for _, m := range q.Members {
			b = fmt.Appendf(b, " %s=%s", m.ID, m.Attr)
		}
		b = append(b, ';')
	}
	h := trace.Hash(b)
	p.Next.Extra = fmt.Appendf(nil, "%016x", h)
}

// Deliver takes a message.
func (r *Recorder) Deliver(epoch uint64, m *stack.Msg) {
	if m.Buf != nil {
		m.Buf.Keep()
	}
	r.queue = append(r.queue, upcall{what: callDeliver, epoch: epoch, from: m.From, to: m.To,
		stream: m.Stream, seq: m.Seq, data: m.Data, buf: m.Buf})
	if len(m.Head) > 0 {
		r.m.world.Fail("%v was delivered a message with a head", r.m.Self)
	}
}

// Core is who is in the core of a view.
func (r *Recorder) Core(v *stack.View) stack.Set {
	if r.InCore == nil {
		return nil
	}
	set := make(stack.Set, len(v.Members))
	for i := range set {
		set[i] = r.InCore(v.Members[i].ID)
	}
	return set
}

// Stop takes the wish that it stop sending.
func (r *Recorder) Stop() { r.queue = append(r.queue, upcall{what: callStop}) }

// View takes a view.
func (r *Recorder) View(epoch uint64, v *stack.View) {
	r.queue = append(r.queue, upcall{what: callView, epoch: epoch, view: v})
}

// Exit takes the end.
func (r *Recorder) Exit(err error) { r.queue = append(r.queue, upcall{what: callExit, err: err}) }

// Writable takes the news that there is room again.
func (r *Recorder) Writable() { r.queue = append(r.queue, upcall{what: callWritable}) }

// Note prints a line into the readable trace.
func (r *Recorder) Note(text string) { r.m.world.trace(r.m, "note: %s", text) }

// Take takes the waiting calls.
func (r *Recorder) Take() bool {
	if len(r.queue) == 0 {
		return false
	}
	r.taken, r.queue = r.queue, r.taken[:0]
	return true
}

// Run does what the calls ask for.
func (r *Recorder) Run() {
	for i := range r.taken {
		c := &r.taken[i]
		switch c.what {
		case callDeliver:
			r.deliver(c)
		case callStop:
			r.Blocked, r.answer = true, true
			r.record(&trace.Event{Kind: trace.Block})
			if r.OnStop != nil {
				r.OnStop()
			}
		case callView:
			r.accept(c)
		case callExit:
			r.Gone = true
			r.record(&trace.Event{Kind: trace.Exit})
		case callWritable:
			r.full = false
		}
	}
	r.pump()
}

// Done tells the group what has been consumed, and that sending has stopped.
func (r *Recorder) Done() {
	g := r.m.Group
	if r.Current != nil {
		n := len(r.Current.Members)
		r.done = append(r.done[:0], make([]uint64, 3*n)...)
	}
	for i := range r.taken {
		c := &r.taken[i]
		if c.buf != nil {
			c.buf.Drop()
		}
		if c.what == callDeliver && c.epoch == r.epoch {
			r.done[c.stream] = max(r.done[c.stream], c.seq)
		}
		*c = upcall{}
	}
	r.taken = r.taken[:0]
	for s, seq := range r.done {
		if seq > 0 {
			g.Consumed(r.epoch, s, seq)
		}
	}
	if r.answer {
		r.answer = false
		g.Stopped()
	}
}

// Close gives back all buffers.
func (r *Recorder) Close() {
	for _, q := range [][]upcall{r.queue, r.taken} {
		for i := range q {
			if q[i].buf != nil {
				q[i].buf.Drop()
			}
		}
	}
	r.queue, r.taken = nil, nil
}

// record stamps an event and hands it on.
func (r *Recorder) record(e *trace.Event) {
	w := r.m.world
	e.Time, e.P = int64(w.now), r.m.Self
	w.Mix(uint64(e.Time), uint64(e.Kind), e.Msg.N, e.Hash, r.m.Self.Incarnation)
	if r.Out != nil {
		r.Out.Record(e)
	}
}

// accept takes a view into use.
func (r *Recorder) accept(c *upcall) {
	v := c.view
	old := r.Current
	r.Current, r.epoch, r.Blocked, r.full, r.answer = v, c.epoch, false, false, false
	r.Accepted++
	r.last = make([]uint64, len(v.Members))
	t := &trace.View{ID: v.ID, Members: v.Endpoints(), ViewMsg: viewHash(v), ServerRank: -1,
		OldServerRank: -1}
	for i, with := range v.Together {
		if with {
			t.Trans = append(t.Trans, t.Members[i])
		}
	}
	for _, p := range t.Members {
		if old == nil || old.RankOf(p) < 0 {
			t.MemberChange.New = append(t.MemberChange.New, p)
		}
	}
	if old != nil {
		for _, p := range old.Endpoints() {
			if v.RankOf(p) < 0 {
				t.MemberChange.Departed = append(t.MemberChange.Departed, p)
			}
		}
	}
	r.m.world.trace(r.m, "VIEW %v prev %v", v, v.Prev)
	r.record(&trace.Event{Kind: trace.ViewEvent, View: t})
	if r.OnView != nil {
		r.OnView(v)
	}
}

// viewHash is over all of a view that its members must agree on.
func viewHash(v *stack.View) uint64 {
	var b []byte
	for i := range v.Members {
		m := &v.Members[i]
		b = fmt.Appendf(b, "%s %v %d %x;", m.ID, m.Addr, m.RecvBuf, m.Attr)
	}
	return trace.Hash(fmt.Appendf(b, "%t %t %x", v.Exchange, v.Primary, v.Extra))
}

// deliver checks and records a message.
func (r *Recorder) deliver(c *upcall) {
	id, ok := parse(c.data)
	if !ok {
		r.m.world.Fail("%v was delivered %d bytes that nobody sent", r.m.Self, len(c.data))
		return
	}
	r.Delivered++
	r.event = trace.Event{Kind: trace.Deliver, Msg: id, Hash: hash(c.data)}
	switch {
	case c.to == stack.Core:
		r.event.MsgKind = trace.Lsend
	case c.to != stack.All:
		r.event.MsgKind = trace.Pt2pt
	case c.from < len(r.last):
		r.last[c.from] = id.N
	}
	if r.Current != nil && c.epoch == r.epoch && c.from < len(r.Current.Members) &&
		r.Current.Members[c.from].ID != id.Origin {
		r.m.world.Fail("%v was delivered %v as a message of rank %d", r.m.Self, id, c.from)
	}
	if r.m.world.column != nil && r.m.world.column.data {
		r.m.world.trace(r.m, "deliver %v kind %v", id, r.event.MsgKind)
	}
	r.record(&r.event)
	if r.OnDeliver != nil {
		r.OnDeliver(id, c.data)
	}
}
