package check

import (
	"fmt"
	"slices"

	"maestro/stack/trace"
	"maestro/wire"
)

// Checker judges one trace. It is used from one goroutine.
type Checker struct {
	opts  Options
	procs map[wire.Endpoint]*proc
	list  []*proc // by proc.idx
	views map[wire.ViewID]*view
	order []*view // open views, in order of first acceptance
	prim  map[uint64]*primary
	xfers map[xferKey]*xferMsg
	heal  *trace.Event
	fault int64 // time of the last event that is a fault
	end   int64 // latest time seen

	found  []*Violation
	counts map[string]int
	stats  Stats
}

// Stats counts what has been observed.
type Stats struct {
	Events     int
	Members    int
	Views      int
	Sent       int
	Deliveries int
}

// proc is one process: one life of one member.
type proc struct {
	id  wire.Endpoint
	idx int32

	seen    bool // it has events of its own
	started bool
	role    trace.Role
	xfer    trace.Xfer
	exited  bool
	crashed bool
	lost    bool
	crashAt int64

	cur      *view
	rank     int // in cur
	accepted int // number of views accepted
	viewTime int64
	own      *trace.View // as accepted last
	ltime    int64       // of its last event

	blocks   int // in the current view
	blockAt  int64
	changing *trace.View // proposed since the last acceptance
	proposed *trace.Event
	gone     map[int32]bool // whom it saw removed
	prim     uint64         // last primary view

	sent      numbers // messages sent
	delivered numbers // its messages delivered in views already judged

	delay delay
	xf    xferState
}

// dead reports whether p cannot be expected to do anything more.
func (p *proc) dead() bool { return p.exited || p.crashed || p.lost || !p.seen }

// New makes a checker.
func New(o Options) *Checker {
	return &Checker{
		opts: o.withDefaults(), procs: map[wire.Endpoint]*proc{},
		views: map[wire.ViewID]*view{}, prim: map[uint64]*primary{},
		xfers: map[xferKey]*xferMsg{}, counts: map[string]int{},
	}
}

// Stats is what has been observed so far.
func (c *Checker) Stats() Stats {
	s := c.stats
	for _, p := range c.list {
		if p.seen {
			s.Members++
		}
	}
	return s
}

// Violations are those found so far, in the order in which they were found.
func (c *Checker) Violations() []*Violation { return c.found }

// Counts is the number of violations found so far by property, including those
// that were not kept.
func (c *Checker) Counts() map[string]int { return c.counts }

// proc is the record of endpoint e.
func (c *Checker) proc(e wire.Endpoint) *proc {
	if p, ok := c.procs[e]; ok {
		return p
	}
	p := &proc{id: e, idx: int32(len(c.list)), rank: -1}
	c.procs[e] = p
	c.list = append(c.list, p)
	return p
}

// Observe takes the next event. It borrows e for the call.
func (c *Checker) Observe(e *trace.Event) {
	c.stats.Events++
	c.end = max(c.end, e.Time)
	if e.Kind.Harness() {
		c.harness(e)
		return
	}
	p := c.proc(e.P)
	if p.exited || p.crashed && e.Time > p.crashAt {
		c.local("M0", p, e, "%s after its end", e.Kind)
		return
	}
	p.seen = true
	p.ltime = e.Time
	switch e.Kind {
	case trace.Deliver:
		c.deliver(p, e)
	case trace.Send:
		c.send(p, e)
	case trace.Submit:
		if c.opts.ClSv {
			p.delay.submit(e)
		}
	case trace.Stable:
		c.stable(p, e)
	default:
		c.control(p, e)
	}
}

// control takes the events that are rare.
func (c *Checker) control(p *proc, e *trace.Event) {
	switch e.Kind {
	case trace.Start:
		c.start(p, e)
		return
	case trace.ViewEvent:
		if e.View != nil {
			c.accept(p, e)
		}
		return
	}
	p.note(e)
	switch e.Kind {
	case trace.Block:
		c.block(p, e)
	case trace.Changing, trace.Propose:
		c.proposal(p, e)
	case trace.Drop:
		c.drop(p, e)
	case trace.Exit:
		c.unreported(p, e)
		p.exited = true
		c.leaves(p)
	case trace.Ask, trace.AskCb, trace.SendState, trace.RcvState, trace.XferDone:
		c.transfer(p, e)
	}
}

// note keeps an event for the printed neighbourhood.
func (p *proc) note(e *trace.Event) {
	if p.cur == nil {
		return
	}
	s := p.seat()
	s.hist = append(s.hist, uint32(len(s.misc))<<tagBits|tagMisc)
	s.misc = append(s.misc, e.Clone())
}

// seat is p's seat in its current view.
func (p *proc) seat() *seat { return &p.cur.seats[p.rank] }

func (c *Checker) start(p *proc, e *trace.Event) {
	if p.started || p.cur != nil {
		c.local("M6", p, e, "started twice as one endpoint")
	}
	p.started, p.role, p.xfer = true, e.Role, e.Xfer
}

func (c *Checker) harness(e *trace.Event) {
	switch e.Kind {
	case trace.Crash:
		p := c.proc(e.P)
		if !p.crashed {
			p.crashed, p.crashAt = true, e.Time
		}
		c.fault = max(c.fault, e.Time)
		c.leaves(p)
	case trace.Lost:
		c.proc(e.P).lost = true
		c.leaves(c.proc(e.P))
	case trace.Link:
		if !e.Up {
			c.fault = max(c.fault, e.Time)
		}
	case trace.Heal:
		if c.heal == nil || e.Time >= c.heal.Time {
			h := e.Clone()
			c.heal = &h
		}
	}
}

// Finish judges everything that is still open and returns the violations. The
// checker must not be fed any more.
func (c *Checker) Finish() []*Violation {
	c.liveness()
	for _, v := range c.order {
		c.judge(v)
	}
	c.order = nil
	c.finishTransfers()
	c.finishPrimaries()
	return c.found
}

// report keeps a violation.
func (c *Checker) report(x *Violation) *Violation {
	c.counts[x.Prop]++
	x.around = c.opts.Around
	if len(c.found) < c.opts.Max {
		c.found = append(c.found, x)
	}
	return x
}

// local reports what event e of p shows by itself.
func (c *Checker) local(prop string, p *proc, e *trace.Event, format string, a ...any) {
	x := &Violation{
		Prop: prop, Text: fmt.Sprintf(format, a...), Members: []wire.Endpoint{p.id},
		Msg: e.Msg, Time: e.Time,
	}
	if p.cur != nil {
		x.View = p.cur.id()
		x.places = []place{{v: p.cur, rank: p.rank, at: len(p.seat().hist)}}
	}
	c.report(x)
}

// inView reports what a view shows when it is judged: the message (or -1) and,
// for each member concerned, a place in its history, which may be -1 to stand
// for where the member delivered the message or else for its last event.
func (c *Checker) inView(prop string, v *view, m int32, where []place,
	format string, a ...any) {
	x := &Violation{Prop: prop, Text: fmt.Sprintf(format, a...), View: v.id(), places: where}
	if m >= 0 {
		x.Msg = v.msgID(m)
	}
	if len(c.found) < c.opts.Max { // what follows is work
		for i := range where {
			w := &where[i]
			w.v = v
			s := &v.seats[w.rank]
			x.Members = append(x.Members, s.p.id)
			if w.at >= 0 {
				continue
			}
			w.at = slices.Index(s.hist, entry(int(m), tagDeliver))
			if m < 0 || w.at < 0 {
				w.at = max(0, len(s.hist)-1)
			}
		}
	}
	c.report(x)
}

// at is a place for inView.
func at(rank, index int) place { return place{rank: rank, at: index} }
