package clsv

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"maestro/stack"
	"maestro/stack/trace"
	"maestro/wire"
)

// inbox is the callbacks that wait and those that are being run.
type inbox struct {
	in      []item
	head    int    // first of in that has not been run
	batch   []item // part of in: taken
	next    int    // next of batch to run; used by Run
	batchAt stack.Time
	running bool
	beating bool    // a heartbeat waits
	failure error   // a panic; used by Run
	one     item    // of a batch; used by Run
	touched []int32 // streams; used by Done
	current *item   // the callback that runs, or ran last; used by Run
}

func (c *core) push(it item) { c.in = append(c.in, it) }

// Deliver takes a message of the group's view.
func (c *core) Deliver(epoch uint64, m *stack.Msg) {
	in := c.cur
	if in == nil || in.epoch != epoch || c.closed {
		return
	}
	s := &in.streams[m.Stream]
	s.seen = m.Seq
	if m.Count > 0 {
		c.batched(in, m)
	} else {
		c.single(in, m, m.Kind, m.Data, m.Seq)
	}
	if s.waiting == 0 {
		c.group.Consumed(epoch, m.Stream, m.Seq)
	}
}

// single takes one message.
func (c *core) single(in *intake, m *stack.Msg, kind uint8, data []byte, seq uint64) {
	it := itemOf(m, data)
	it.seq = seq
	take := c.receive
	if kind >= kindUser {
		take = c.internal
	}
	if take(in, kind, &it) {
		c.enqueue(in, &it)
	}
}

// enqueue queues what came in a view.
func (c *core) enqueue(in *intake, it *item) {
	if c.leaving && !in.entered {
		return
	}
	in.streams[it.stream].waiting++
	if it.buf != nil {
		it.buf.Keep()
	}
	if c.flows(in) {
		c.push(*it)
	} else {
		in.held = append(in.held, *it)
	}
}

// maxItem bounds how many messages one item stands for, so that what a slow
// handler has consumed is told now and then.
const maxItem = 64

// batched takes a batch. Runs of messages that are for this member without more
// ado stay together.
func (c *core) batched(in *intake, m *stack.Msg) {
	run := m.Data
	n := 0
	for f := wire.Frames(m.Data); ; {
		before := len(f)
		kind, data, ok := f.Next()
		mine := ok && n < maxItem && c.plain(in, kind, data, !m.Multicast())
		if mine {
			n++
			continue
		}
		if n > 0 {
			it := itemOf(m, run[:len(run)-before])
			it.op, it.count = opBatch, int32(n)
			it.seq = m.SeqAt(len(m.Data) - before)
			c.enqueue(in, &it)
		}
		if !ok {
			return
		}
		if n == maxItem {
			run, n = run[len(run)-before:], 0
			f = run
			continue
		}
		c.single(in, m, kind, data, m.SeqAt(len(m.Data)-len(f)))
		run, n = f, 0
	}
}

// plain reports whether a message is for the application whatever its head says
// more, and counts it if it is.
func (c *core) plain(in *intake, kind uint8, data []byte, sends bool) bool {
	k, s := Kind(kind&3), Safety(kind>>2&3)
	if kind&^kindNumbered >= kindListed || s > XferSafe || !s.allowed(in.typ) ||
		c.opts.PrimaryOnly || (k == Send) != sends || k == Lsend ||
		k == Scast && in.me.list == inClients {
		return false
	}
	if kind&kindNumbered != 0 {
		var h userHead
		var ok bool
		if data, ok = h.parse(kind, data, in.view.Rank); !ok {
			return false
		}
	}
	if k != Send {
		in.apply()
	}
	c.stats.Received[k]++
	c.stats.ReceivedBytes[k] += uint64(len(data))
	return true
}

// receive decides whether a user's message is for this member, before anything
// else is done with it.
func (c *core) receive(in *intake, kind uint8, it *item) bool {
	h := &it.head
	var ok bool
	it.data, ok = h.parse(kind, it.data, in.view.Rank)
	switch {
	case !ok || (h.kind == Send) != it.sends:
		c.stats.Malformed++
		return false
	case !h.safety.allowed(in.typ), c.opts.PrimaryOnly && !c.candidate(in):
		c.stats.Unsafe++
		return false
	case h.kind == Scast && in.me.list == inClients && !h.mine,
		h.kind == Lsend && !h.mine:
		c.stats.NotForUs++
		return false
	case h.kind == Cast, h.kind == Scast:
		in.apply()
	}
	it.op = opMessage
	c.stats.Received[h.kind]++
	c.stats.ReceivedBytes[h.kind] += uint64(len(it.data))
	return true
}

// maxBatch bounds how many callbacks are run in one go, since what they have
// consumed is told at the end. With this many even handlers that take 50 ms are
// not taken for stuck within the stack's StallLimit.
const maxBatch = 128

// Take takes callbacks up to the next one that ends a stretch: before it
// accepts a view, the application has done with the one before; after Block,
// and after each step of an exchange, the group is told at once.
func (c *core) Take() bool {
	if c.running || c.closed {
		return false
	}
	q := c.in[c.head:]
	n := 0
	for size := int32(0); n < len(q) && (size < maxBatch || c.hasten.Load()); {
		it := &q[n]
		size += max(it.count, 1)
		if it.op == opAccept {
			if n > 0 {
				break
			}
			c.accept(it.ev)
		}
		n++
		if c.prepare(it) {
			break
		}
	}
	c.batch, c.next, c.batchAt = q[:n:n], 0, c.group.Now()
	c.running = n > 0 || c.todo != 0
	return c.running
}

// prepare readies a callback that is about to be run, and reports whether it
// ends the stretch.
func (c *core) prepare(it *item) bool {
	switch it.op {
	case opBlock, opExit:
		return true
	case opChanging, opPropose:
		if it.ev.in != c.cur || c.over || c.leaving {
			it.op = opNone // another view has come, or none will
			return false
		}
		it.ev.view = c.build(it.ev.in)
		return true
	case opPrimary:
		c.begin(it.ev.in)
	case opHeartbeat:
		c.beating = false
	}
	return false
}

// Run runs the callbacks taken. A handler that panics has seen its last one but
// Exit.
func (c *core) Run() {
	for c.next < len(c.batch) {
		c.runSome()
	}
}

// runSome runs callbacks until one panics.
func (c *core) runSome() {
	c.run(func() {
		for c.next < len(c.batch) {
			it := &c.batch[c.next]
			c.next++
			if c.failure == nil || it.op == opExit {
				c.call(it)
			}
		}
	})
}

// run runs f and notes a panic. It is what inCallback looks for.
//
//go:noinline
func (c *core) run(f func()) {
	defer func() {
		if r := recover(); r != nil {
			c.failure = panicked(r)
		}
	}()
	f()
}

// panicked is the error of an application that has panicked with r.
func panicked(r any) error { return fmt.Errorf("%w: %v\n%s", ErrPanic, r, debug.Stack()) }

// call runs one callback.
func (c *core) call(it *item) {
	ev := it.ev
	if c.current = it; it.isMessage() && c.hasten.Load() {
		return
	}
	switch it.op {
	case opMessage:
		c.deliver(it)
	case opBatch:
		c.one = *it // the queue may move meanwhile
		for f := wire.Frames(it.data); ; {
			kind, data, ok := f.Next()
			if !ok || c.hasten.Load() {
				return
			}
			c.one.data, _ = c.one.head.parse(kind, data, c.view.MyRank)
			c.deliver(&c.one)
		}
	case opAsk:
		c.callAsk(it)
	case opState:
		c.callState(it)
	case opBlock:
		c.h.Block()
		c.do(func(*stack.Group) { c.blockReturned(ev.in) })
	case opChanging:
		if c.x != nil {
			ev.data = bytes.Clone(c.x.ChangingView(ev.view))
		}
	case opPropose:
		if c.x != nil {
			ev.data = bytes.Clone(c.x.ProposeView(ev.view, ev.msgs))
		}
	case opAccept:
		if ev.degraded != nil {
			c.h.Degraded(*ev.degraded)
		}
		if ev.view.StartXfer {
			c.do(func(*stack.Group) { c.toldSince = ev.in.me.since })
		}
		c.h.AcceptedView(ev.view, ev.data)
	case opExit:
		if ev.err == nil {
			ev.err = c.failure // of a callback after the end was certain
		}
		c.exit(ev.err)
	case opDropped:
		c.h.Dropped(ev.drop)
	case opPrimary:
		c.callPrimary(ev)
	case opCall:
		ev.call()
	case opHeartbeat:
		c.h.Heartbeat(time.Duration(c.batchAt.Sub(c.begun)))
	}
}

// deliver hands a message to the handler.
func (c *core) deliver(it *item) {
	origin := c.view.Members[it.from]
	if c.rec != nil && c.hash == nil {
		c.recordDeliver(it, origin)
	}
	switch it.head.kind {
	case Cast:
		c.h.ReceiveCast(origin, it.data)
	case Scast:
		c.h.ReceiveScast(origin, it.data)
	case Lsend:
		c.h.ReceiveLsend(origin, it.data)
	case Send:
		c.h.ReceiveSend(origin, it.data)
	}
	if c.rec != nil && c.hash != nil {
		c.recordDeliver(it, origin)
	}
}

// blockReturned notes that the application has stopped sending in a view.
func (c *core) blockReturned(in *intake) {
	if in.blocked {
		return
	}
	in.blocked = true
	c.record(&trace.Event{Kind: trace.Block})
	if in == c.cur && !c.over {
		c.todo |= doStop
	}
}

// Done tells the group what has been handled and acts on what callbacks have
// returned.
func (c *core) Done() {
	c.running = false
	if c.closed {
		return
	}
	for i := range c.batch {
		it := &c.batch[i]
		it.drop()
		c.handled(it)
	}
	clear(c.in[c.head : c.head+len(c.batch)])
	c.head += len(c.batch)
	c.batch = nil
	c.consumed()
	if c.head == len(c.in) {
		c.in, c.head = c.in[:0], 0
	} else if c.head > len(c.in)/2 {
		c.in = slices.Delete(c.in, 0, c.head)
		c.head = 0
	}
	if c.failure != nil {
		c.fail(c.failure)
	}
	c.act()
}

// handled does what is due after a callback, also if it panicked.
func (c *core) handled(it *item) {
	switch it.op {
	case opMessage, opBatch, opAsk, opState:
		s := &c.app.streams[it.stream]
		s.waiting--
		s.done = it.seq
		if !s.touched {
			s.touched = true
			c.inbox.touched = append(c.inbox.touched, it.stream)
		}
	case opBlock:
		c.blockReturned(it.ev.in)
	case opChanging:
		c.changed(it.ev)
	case opPropose:
		c.proposed(it.ev)
	case opAccept:
		if c.failure == nil {
			c.accepted()
		}
	case opExit:
		c.left(it.ev.err)
	}
}
