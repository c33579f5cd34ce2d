package clsv

import (
	"sync/atomic"

	"maestro/stack"
	"maestro/stack/trace"
)

// core is one life of a member, from Join to Exit: a deterministic state
// machine above a stack.Group, whose Runner it is. The group calls it with the
// group locked; it takes note and acts later, in Done, in Expire or at the end
// of a downcall. Only Run is called without the lock.
//
// Of views there are up to three at a time: the one that the group is in (cur),
// the one that the application is in (app, view), and between them those whose
// acceptance waits in the inbox behind older callbacks. Messages go out only
// while cur and app are the same.
type core struct {
	opts  *Options
	h     Handler
	x     Exchanger   // nil if the handler is none
	hash  StateHasher // nil if the handler is none, or nothing is traced
	rec   trace.Recorder
	self  Endpoint
	group *stack.Group
	do    func(func(*stack.Group)) // the driver's, for Run
	begun stack.Time
	event trace.Event

	cur  *intake
	app  *intake
	view *View
	todo todo

	inbox
	outbox
	transfer

	joined  chan struct{} // closed when the first AcceptedView has returned
	exiting chan struct{} // closed when Exit is about to be called
	exited  chan struct{} // closed when Exit has returned

	started, leaving bool
	over, closed     bool    // Exit has been called; buffers are given back
	cause            error   // why this member leaves by itself
	exitErr          error   // a panic of Exit
	joinErr          error   // why joined was closed without a view
	after            Runtime // to be closed after Exit, if not nil
	timers           timers
	hastenAt         stack.Time  // when the handler has had time enough before Exit
	hasten           atomic.Bool // from then on messages are passed over
	beatAt           stack.Time
	gatherAt         stack.Time // when to act on requests for a view
	urgent           []urgent
	room             chan struct{} // closed when there may be room; nil if nobody waits
	composer         composer
	stats            Counts
	weight           []byte
}

// todo is what waits to be done outside of the group's own calls.
type todo uint8

const (
	doStop    todo = 1 << iota // tell the group that sending has stopped
	doLeave                    // leave the group
	doRelease                  // send what waits
	doUrgent                   // send urgent messages
	doRequest                  // ask the coordinator for a new view
	doView                     // make one, as the coordinator
	doSignal                   // wake those who wait for room
)

// urgent is a message of our own that waits to be sent in a view.
type urgent struct {
	epoch uint64
	to    int // rank, or stack.All
	kind  uint8
	data  []byte
}

// newCore makes a life that has not begun.
func newCore(opts *Options, h Handler, x Exchanger) *core {
	c := &core{opts: opts, h: h, x: x, rec: opts.Trace,
		joined: make(chan struct{}), exiting: make(chan struct{}), exited: make(chan struct{}),
		beatAt: stack.Never, gatherAt: stack.Never, hastenAt: stack.Never,
		composer: composer{policy: opts.Merge, lost: opts.SourcesLost, quorum: opts.Quorum}}
	if c.rec != nil {
		c.hash, _ = h.(StateHasher)
	}
	c.transfer.asked = map[Endpoint]uint64{}
	return c
}

// attach is called once, with the group locked, before anything else.
func (c *core) attach(g *stack.Group, do func(func(*stack.Group))) {
	c.group, c.do, c.self, c.begun = g, do, g.Config().Self, g.Now()
	c.composer.self = c.self
	c.record(&trace.Event{Kind: trace.Start, Role: trace.Role(c.opts.Role),
		Xfer: trace.Xfer(c.opts.Xfer)})
}

// join begins to look for the group.
func (c *core) join() error {
	if c.started {
		return ErrJoined
	}
	c.started = true
	return translate(c.group.Join())
}

// leave begins to leave the group. Cause is what Exit will report.
func (c *core) leave(cause error) error {
	if !c.started || c.leaving || c.over {
		return ErrNotJoined
	}
	c.leaving, c.cause = true, cause
	c.timers = nil
	if c.cur != nil && c.cur.stopping {
		c.todo |= doStop // nothing is sent any more, whatever waits before Block
	}
	c.renounce()
	c.abandon(ErrNotJoined)
	return translate(c.group.Leave())
}

// leaves reports whether the member is out of the group, or its last callback
// is running: another life may begin. It may be called without the lock.
func (c *core) leaves() bool {
	select {
	case <-c.exiting:
		return true
	default:
		return false
	}
}

// ended is the error of downcalls that the runtime does not run any more.
func (c *core) ended() error {
	if c.leaves() {
		return ErrNotJoined
	}
	return ErrClosed
}

// state is the member's state now.
func (c *core) state() State {
	switch {
	case !c.started || c.leaves():
		return Initial
	case c.leaving || c.over:
		return Leaving
	case c.view == nil:
		return Joining
	case c.view.State == ServerXfer && c.doneSince == c.app.me.since:
		return ServerXferDone
	}
	return c.view.State
}

// View takes a view of the group.
func (c *core) View(epoch uint64, v *stack.View) {
	c.endView()
	in := newIntake(epoch, v)
	if !in.roles.parse(v.Extra, len(v.Members)) {
		c.stats.BadViews++
	}
	in.me, in.typ = in.roles.places[v.Rank], in.roles.viewType()
	c.cur = in
	c.gatherAt = stack.Never
	c.urgent = c.urgent[:0]
	c.weigh()
	switch {
	case c.leaving: // the view after this one is without us
	case v.Exchange:
		in.exchange = &exchange{until: c.group.Now().Add(c.group.Config().BlockTimeout)}
		c.push(item{op: opChanging, ev: &event{in: in}})
	default:
		c.enter(in, nil)
	}
	c.announce(in)
	if in.me.list == inXfer && c.wants() {
		c.todo |= doRequest
	}
}

// renounce forgets views whose acceptance waits: there is no other after Leave.
func (c *core) renounce() {
	from := c.head + len(c.batch)
	kept := c.in[:from]
	entered := false
	for _, it := range c.in[from:] {
		switch {
		case it.op == opAccept:
			entered = true
			it.ev.in.entered = false
		case !entered || it.op == opDropped || it.op == opHeartbeat || it.op == opCall:
			kept = append(kept, it)
			continue
		case it.op == opBlock && it.ev.in == c.cur:
			c.todo |= doStop
		}
		it.drop()
	}
	clear(c.in[len(kept):])
	c.in = kept
	if in := c.cur; in != nil && !in.entered {
		c.skip(in)
	}
}

// skip gives back what has come in a view that is never entered.
func (c *core) skip(in *intake) {
	for i := range in.held {
		in.held[i].drop()
	}
	in.held = nil
	for i := range in.streams {
		s := &in.streams[i]
		s.waiting = 0
		c.group.Consumed(in.epoch, i, s.seen)
	}
}

// enter queues the acceptance of the group's view, and what has been held back
// for it.
func (c *core) enter(in *intake, viewMsg []byte) {
	in.entered, in.viewMsg = true, viewMsg
	c.push(item{op: opAccept, ev: &event{in: in, data: viewMsg}})
	switch {
	case in.prime:
		c.admit(in)
	case c.flows(in):
		c.in = append(c.in, in.held...)
		in.held = nil
	}
}

// endView finishes the group's view: its Block is due at the latest now, and if
// it was never entered it is forgotten.
func (c *core) endView() {
	in := c.cur
	if in == nil {
		return
	}
	if in.entered {
		if !c.flows(in) {
			c.skip(in)
		}
		c.block(in)
		return
	}
	c.skip(in)
}

// block queues the Block callback of a view, once.
func (c *core) block(in *intake) {
	if !in.blocking {
		in.blocking = true
		c.push(item{op: opBlock, ev: &event{in: in}})
	}
}

// Stop is the group's wish that the application stop sending. A view that is
// not entered yet has no application to ask.
func (c *core) Stop() {
	c.cur.stopping = true
	c.gatherAt = stack.Never
	if c.cur.entered {
		c.block(c.cur)
	}
	if !c.cur.entered || c.leaving {
		c.todo |= doStop // nobody sends
	}
}

// Exit takes the end.
func (c *core) Exit(err error) {
	if c.over {
		return
	}
	if c.cause != nil {
		err = c.cause
	}
	if in := c.cur; in != nil && !in.entered {
		c.endView()
	}
	c.abandon(ErrNotJoined)
	c.over = true
	c.push(item{op: opExit, ev: &event{err: translate(err)}})
	c.hastenAt = c.group.Now().Add(c.group.Config().BlockTimeout)
	c.todo |= doSignal
}

// Writable takes the news that there is room in a send log.
func (c *core) Writable() { c.todo |= doRelease | doSignal }

// Note logs a line.
func (c *core) Note(text string) {
	c.opts.Logger.Info(text, "group", c.opts.Group, "member", c.self.String())
}

// closing begins to leave, after which the runtime ends.
func (c *core) closing(rt Runtime) {
	c.after = rt
	_ = c.leave(nil)
	c.act()
}

// fail has this member leave because its application has panicked.
func (c *core) fail(err error) {
	if c.cause == nil && !c.over {
		c.cause = err
		c.Note(err.Error())
		c.todo |= doLeave
	}
}

// exit runs the last callback. If that panics too, Leave and Close tell.
func (c *core) exit(err error) {
	close(c.exiting)
	c.failure = nil
	c.run(func() { c.h.Exit(err) })
	c.exitErr = c.failure
	var rt Runtime
	c.do(func(*stack.Group) { rt = c.after })
	if rt != nil {
		_ = rt.Close()
	}
}

// left notes that the last callback has returned.
func (c *core) left(err error) {
	c.hastenAt = stack.Never
	c.record(&trace.Event{Kind: trace.Exit})
	c.signal(err)
}

// signal wakes those who wait for the end.
func (c *core) signal(err error) {
	select {
	case <-c.joined:
	default:
		c.joinErr = ErrNotJoined
		if err != nil {
			c.joinErr = err
		}
		close(c.joined)
	}
	close(c.exited)
}

// finish is called, without the lock, when the runtime has ended: if Exit has
// not come, because the group did not let the member go in time, it comes now.
func (c *core) finish() {
	c.do(func(*stack.Group) { c.Close() })
	select {
	case <-c.exiting:
		return
	default:
	}
	c.exit(ErrClosed)
	c.do(func(*stack.Group) { c.record(&trace.Event{Kind: trace.Exit}) })
	c.signal(ErrClosed)
}

// Close gives back all buffers. Nothing is called afterwards.
func (c *core) Close() {
	c.closed = true
	if c.cur != nil {
		for i := range c.cur.held {
			c.cur.held[i].drop()
		}
		c.cur.held = nil
	}
	for i := range c.batch {
		c.batch[i].drop()
	}
	for _, it := range c.in[c.head+len(c.batch):] {
		it.drop()
	}
	c.in, c.batch, c.head = nil, nil, 0
}
