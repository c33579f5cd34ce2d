package clsv

import (
	"bytes"
	"errors"
	"slices"

	"maestro/stack"
	"maestro/stack/trace"
)

// post is a message of this member's application.
type post struct {
	kind   Kind
	state  uint8 // kindAsk or kindState; 0 is a user's message
	safety Safety
	to     Endpoint // of a Send
	dests  []Endpoint
	in     ViewID // see MsgOptions
	wait   bool   // MsgOptions.Queue
	front  []byte // of a state message: what comes before data
	data   []byte
	fill   func([]byte) // writes data when it is sent, see CastFill
	room   int          // that fill needs
	more   bool         // of a state message: another follows at once
	number uint64
	xfer   uint64
}

// postOverhead is what a waiting message counts for beside its bytes.
const postOverhead = 128

func (p *post) size() int { return p.length() + postOverhead + 32*len(p.dests) }

// op is what the caller called, for errors.
func (p *post) op() string {
	switch p.state {
	case kindAsk:
		return "ask state"
	case kindState:
		return "send state"
	}
	return p.kind.String()
}

func (p *post) length() int {
	if p.fill != nil {
		return p.room
	}
	return len(p.front) + len(p.data)
}

// whole is all of the message in one piece.
func (p *post) whole() []byte {
	if len(p.front) == 0 {
		return p.data
	}
	return slices.Concat(p.front, p.data)
}

// outbox is the messages that wait: for the next view, for one that allows
// their safety, or for room. They go out in order, but those that a view allows
// overtake those that it does not.
type outbox struct {
	queue   []post
	bytes   int
	levels  [XferSafe + 1]int // waiting messages by safety
	states  int               // of these, those of state transfers
	number  uint64            // of the last message
	headBuf []byte
	ranks   []int
}

// count counts a message that waits, or not any more.
func (o *outbox) count(p *post, n int) {
	o.bytes += n * p.size()
	o.levels[p.safety] += n
	if p.state != 0 {
		o.states += n
	}
}

// allows reports whether the application's view lets a message go.
func (c *core) allows(p *post) bool {
	return p.state != 0 || p.safety.allowed(c.app.typ) && (c.app.begun || !c.opts.PrimaryOnly)
}

// ready reports whether messages wait that the application's view lets go.
func (c *core) ready() bool {
	for s, n := range c.levels {
		if n > 0 && c.allows(&post{safety: Safety(s)}) {
			return true
		}
	}
	return c.states > 0
}

// open reports whether messages go out at once: the application and the group
// are in the same view, and not about to leave it.
func (c *core) open() bool {
	return c.app != nil && c.app == c.cur && !c.app.blocked && !c.leaving && !c.over
}

// submit sends a message now or later. It borrows the message's memory.
func (c *core) submit(p *post) (SendView, error) {
	switch {
	case c.closed:
		return SendView{}, ErrClosed
	case c.view == nil || c.leaving || c.over:
		return SendView{}, ErrNotJoined
	}
	sv := SendView{ID: c.view.ID}
	if !p.in.IsZero() && !c.inTime(p) {
		return sv, ErrOtherView
	}
	if p.kind == Send {
		if err := c.addressable(p); err != nil {
			return sv, err
		}
	}
	c.number++
	p.number = c.number
	if p.length() > c.group.Config().MaxMessage-postOverhead {
		return sv, ErrTooLarge
	}
	if c.rec != nil { // it records what is sent
		if err := p.materialize(); err != nil {
			return sv, err
		}
	}
	if c.open() && c.allows(p) && !c.ready() {
		switch err := c.transmit(p, true); {
		case err == nil:
			return sv, nil
		case p.wait && errors.Is(err, stack.ErrWouldBlock):
		case !errors.Is(err, stack.ErrBlocked):
			return sv, translate(err)
		}
	}
	if c.bytes > 0 && c.bytes+p.size() > c.opts.QueueBytes {
		return sv, ErrWouldBlock
	}
	if err := p.materialize(); err != nil {
		return sv, err
	}
	c.recordPost(trace.Submit, p)
	c.count(p, 1)
	q := *p
	q.front, q.data, q.dests = bytes.Clone(p.front), bytes.Clone(p.data), slices.Clone(p.dests)
	c.queue = append(c.queue, q)
	sv.Next = true
	return sv, nil
}

// inTime reports whether a message that is for one view only may still go out
// in it.
func (c *core) inTime(p *post) bool {
	return c.open() && p.in == c.view.ID && c.allows(p)
}

// late gives up what was for an earlier view only.
func (c *core) late() {
	c.queue = slices.DeleteFunc(c.queue, func(p post) bool {
		if p.in.IsZero() || p.in == c.view.ID {
			return false
		}
		c.count(&p, -1)
		c.todo |= doSignal
		c.dropped(&p, ErrOtherView)
		return true
	})
}

// addressable checks the destination of a Send.
func (c *core) addressable(p *post) error {
	switch r := c.view.RankOf(p.to); {
	case r < 0:
		return ErrNotMember
	case r == c.view.MyRank && c.opts.NoLocal:
		return ErrSelf
	}
	return nil
}

// transmit sends a message in the view. Fresh says that its submission has not
// been recorded yet.
func (c *core) transmit(p *post, fresh bool) error {
	var err error
	if p.state != 0 {
		err = c.transmitState(p)
	} else {
		err = c.transmitUser(p)
	}
	if err != nil {
		return err
	}
	n := uint64(p.length())
	if p.state == 0 {
		c.stats.Sent[p.kind]++
		c.stats.SentBytes[p.kind] += n
	} else if p.state == kindState {
		c.stats.StateOut += n
	}
	if c.rec != nil {
		if fresh {
			c.recordPost(trace.Submit, p)
		}
		c.recordPost(trace.Send, p)
	}
	return nil
}

func (c *core) transmitUser(p *post) error {
	head := c.headBuf[:0]
	if c.rec != nil {
		head = appendNumber(head, p.number)
	}
	c.ranks = c.ranks[:0]
	listed := p.kind == Lsend || p.kind == Scast && len(p.dests) > 0
	if listed {
		c.ranks = ranksOf(c.view, p.dests, c.ranks)
		head = appendRanks(head, c.ranks)
	}
	if c.forNobody(p) {
		return nil
	}
	c.headBuf = head
	kind := userKind(p.kind, p.safety, c.rec != nil, listed)
	switch {
	case p.kind == Send:
		to := c.view.RankOf(p.to)
		if to < 0 {
			return ErrNotMember
		}
		return c.group.Send(to, kind, head, p.data)
	case p.fill != nil:
		return c.castFill(kind, head, p)
	case p.kind == Cast || !c.forCore():
		return c.group.Cast(kind, head, p.data)
	}
	return c.group.CastCore(kind, head, p.data)
}

// forNobody reports whether a multicast without destinations would reach no one.
func (c *core) forNobody(p *post) bool {
	switch {
	case len(c.ranks) > 0:
		return false
	case p.kind == Scast:
		return len(c.view.Servers)+len(c.view.XferServers) == 0
	}
	return p.kind == Lsend
}

// forCore reports whether all destinations of a multicast get what is cast to
// the core, to which servers belong.
func (c *core) forCore() bool {
	v := c.cur.view
	for _, r := range c.ranks {
		if !v.InCore(r) {
			return false
		}
	}
	return true
}

// transmitState sends a message of a state transfer, if both sides still are
// what they were.
func (c *core) transmitState(p *post) error {
	var err error
	if p.state == kindAsk {
		err = c.mayAsk(p.to)
		if err == nil && p.xfer != c.app.me.since {
			err = ErrNotInTransfer
		}
	} else {
		err = c.maySend(p.to)
		if err == nil && p.xfer != c.asked[p.to] {
			err = ErrNotTransferring
		}
	}
	if err != nil {
		return err
	}
	c.headBuf = append(stateHead(c.headBuf[:0], p.xfer), p.front...)
	return c.group.Send(c.view.RankOf(p.to), p.state, c.headBuf, p.data)
}

// roomy is closed when there may be room again.
func (c *core) roomy() <-chan struct{} {
	if c.room == nil {
		c.room = make(chan struct{})
	}
	return c.room
}

// release sends what waits and may go, in order, as far as there is room.
func (c *core) release() {
	if !c.open() || len(c.queue) == 0 {
		return
	}
	kept := c.queue[:0]
	stuck := false
	for i := range c.queue {
		p := &c.queue[i]
		if stuck || !c.allows(p) {
			kept = append(kept, *p)
			continue
		}
		err := c.transmit(p, false)
		if errors.Is(err, stack.ErrWouldBlock) || errors.Is(err, stack.ErrBlocked) {
			stuck = true
			kept = append(kept, *p)
			continue
		}
		c.count(p, -1)
		if err != nil {
			c.dropped(p, err)
		}
	}
	if len(kept) < len(c.queue) {
		c.todo |= doSignal
	}
	clear(c.queue[len(kept):])
	c.queue = kept
}

// abandon gives up everything that waits.
func (c *core) abandon(err error) {
	for i := range c.queue {
		c.dropped(&c.queue[i], err)
	}
	c.queue, c.bytes, c.levels, c.states = nil, 0, [XferSafe + 1]int{}, 0
	c.todo |= doSignal
}

// dropped reports a message that will not be sent.
func (c *core) dropped(p *post, err error) {
	c.stats.Dropped++
	if p.state == 0 {
		c.record(&trace.Event{Kind: trace.Drop, Msg: trace.MsgID{Origin: c.self, N: p.number}})
	}
	c.push(item{op: opDropped, ev: &event{drop: Dropped{Kind: p.kind, To: p.to, Msg: p.whole(),
		State: p.state != 0, Err: translate(err)}}})
}

// recordPost records the submission or the transmission of a user's message.
func (c *core) recordPost(kind trace.Kind, p *post) {
	if c.rec == nil || p.state != 0 {
		return
	}
	c.event = trace.Event{Kind: kind, Msg: trace.MsgID{Origin: c.self, N: p.number},
		MsgKind: trace.MsgKind(p.kind), Safety: trace.Safety(p.safety) + 1,
		Hash: trace.Hash(p.data), Peer: p.to, Dests: p.dests}
	c.record(&c.event)
}

// recordDeliver records a delivery: when its callback has returned, if the
// application shows its state.
func (c *core) recordDeliver(it *item, origin Endpoint) {
	e := trace.Event{Kind: trace.Deliver, Msg: trace.MsgID{Origin: origin, N: it.head.number},
		MsgKind: trace.MsgKind(it.head.kind), Safety: trace.Safety(it.head.safety) + 1,
		Hash: trace.Hash(it.data)}
	if c.hash != nil {
		e.AppState = c.hash.StateHash()
	}
	c.recordAt(&e, c.batchAt)
}
