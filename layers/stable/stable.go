// Package stable is stability and flow control of multicast streams, which
// share one cumulative acknowledgement per receiver, and the announcements that
// show a lost tail.
//
// Guarantee: a sender has no more than a window of segments out that some
// receiver's application has not consumed, over its streams together, of which
// none starves another; a segment is freed when all live receivers have got it;
// every receiver learns of the last segment of a burst within about a round trip
// even if it is lost.
//
// Needs: reliable multicast.
//
// Header: an acknowledgement (wire.Ack) goes to the sender of the stream; an
// announcement (wire.Mark) to all whom it is for. How far a stream is stable also travels in
// every segment (Low).
//
// Timers: an announcement follows half a Retry after the last transmission,
// then at doubling distances up to maxAnnounce until all is acknowledged, of a core
// stream that other messages wait for up to maxAwaited, and once more when all is
// stable. In views of more than few members an acknowledgement
// that nobody can be held up by waits, the longer the larger the view is and the
// higher the rank, so that a sender does not get all of them for each message, nor
// all at once.
//
// Source: Ensemble's stable and mflow; credit by bytes consumed as in JGroups'
// MFC; the slowest receiver governs, as in Aeron's min flow control. The window
// grows and shrinks as in TCP Vegas, by how long it takes to be consumed, and halves
// when receivers' sockets overflow: see flow.go.
package stable

import (
	"fmt"
	"time"

	"maestro/stack"
	"maestro/wire"
)

const (
	maxAnnounce = 100 * time.Millisecond
	maxAwaited  = 10 * time.Millisecond // while messages wait for it
	maxWindow   = 4 << 20               // bytes of one sender out at a time, at most
	minWindow   = 12 << 10
	maxSpan     = 1 << 15 // segments that are not stable; receivers keep twice as many

	few      = 16 // members, of whom none waits before it acknowledges
	perRank  = 100 * time.Microsecond
	maxLater = 50 * time.Millisecond
	active   = 100 * time.Millisecond // how long a sender counts after its last
)

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "stable", Needs: stack.Reliable, Gives: stack.Stable,
		Kinds:   []wire.Kind{wire.KindAnnounce, wire.KindAck},
		Answers: []stack.Query{(*stack.Credit)(nil), (*stack.Drained)(nil)},
		New:     func(p *stack.Port) stack.Layer { return newLayer(p) }}
}

type layer struct {
	*stack.Port
	flows   []flow  // as Port.Logs
	heard   []heard // by stream
	drops   []uint64
	known   []bool // by rank: drops has been heard
	awaited uint64 // of the core stream: others wait until it is stable up to here
	failed  stack.Set

	window  uint64     // segments
	told    uint64     // window, as receivers have been told
	shrunk  bool       // it has been too large
	share   uint64     // of each if all members send at once
	most    uint64     // what window grows to: the share of one of those that do
	all     uint64     // bytes to be shared
	senders int        // that are active
	ackAt   stack.Time // when those are told that are told later

	ending   bool // a member has failed
	stopping bool // a view change is under way
	closing  bool // what is left to send is sent whether or not it is consumed

	ack   wire.Ack
	buf   []byte
	dirty bool // something came up, or is owed, since the last Flush
	hold  stack.Holding
	one   stack.Holding // of one stream
	own1  [1]uint64

	consumptions uint64 // as of the last Flush
	reach        stack.Reached
}

func newLayer(p *stack.Port) *layer {
	n := p.N()
	l := &layer{Port: p, heard: make([]heard, p.Streams()), drops: make([]uint64, n),
		known: make([]bool, n), failed: make(stack.Set, n), ackAt: stack.Never}
	l.hold.Done = make([]uint64, p.Streams())
	for k, log := range p.Logs() {
		f := flow{log: log, stream: p.Me() + k*n, to: stack.All - k, peers: make([]peer, n),
			away: make([]bool, n), moved: p.Now(), at: stack.Never}
		for r := range f.away {
			f.away[r] = r == p.Me() || k > 0 && !p.View().InCore(r)
		}
		l.flows = append(l.flows, f)
		l.survey(&l.flows[k])
	}
	l.setWindow()
	return l
}

// Up notes that a stream has moved.
func (l *layer) Up(m *stack.Msg) {
	l.dirty = true
	l.PassUp(m)
}

func (l *layer) Receive(d *stack.Datagram) {
	from := int(d.Sender)
	switch d.Kind {
	case wire.KindAck:
		f := l.own(&l.ack, d.Body)
		if f == nil || f.away[from] || l.ack.Received > f.log.Last() ||
			l.ack.Consumed > l.ack.Received {
			l.Counters().Malformed++
			return
		}
		l.acked(f, from, &l.ack)
	case wire.KindAnnounce:
		var m wire.Mark
		if m.Parse(d.Body) != nil || m.Stable > m.Sent || m.Stream >= len(l.heard) ||
			m.Stream%l.N() != from {
			l.Counters().Malformed++
			return
		}
		l.announced(&m)
		l.Tell(stack.Marked{Stream: m.Stream, Sent: m.Sent, Stable: m.Stable, Core: m.Core})
	}
}

// own reads an acknowledgement, and returns the stream of ours that it is of.
func (l *layer) own(a *wire.Ack, body []byte) *flow {
	if a.Parse(body) != nil {
		return nil
	}
	for k := range l.flows {
		if l.flows[k].stream == a.Stream {
			return &l.flows[k]
		}
	}
	return nil
}

// mine is how far this member has consumed its own stream.
func (l *layer) mine(f *flow) uint64 {
	l.own1[0] = f.log.Sent() // passed up as it is transmitted
	l.one = stack.Holding{From: f.stream, Done: l.own1[:]}
	l.Ask(&l.one)
	return l.own1[0]
}

// holding finds how far each stream has been consumed here.
func (l *layer) holding() {
	l.Ask(&l.reach)
	copy(l.hold.Done, l.reach.Passed)
	l.Ask(&l.hold)
}

// Answer tells what may be transmitted.
func (l *layer) Answer(q stack.Query) {
	switch q := q.(type) {
	case *stack.Credit:
		f := &l.flows[q.Log]
		l.progress(f)
		q.Limit, q.Stable = l.limit(f), f.stable
		q.Wide = l.Wide(l.window)
	case *stack.Drained:
		q.Casts = true
		for k := range l.flows {
			f := &l.flows[k]
			for r := range f.peers {
				if !l.failed[r] && !f.away[r] && f.peers[r].received < f.log.Last() {
					q.Casts = false
				}
			}
		}
	}
}

// Flush acknowledges what has come far enough, and notices what was sent.
func (l *layer) Flush() {
	if c := l.Consumptions(); l.dirty || c != l.consumptions {
		l.dirty, l.consumptions = false, c
		l.holding()
		l.divide()
		for s := range l.heard {
			if r := s % l.N(); r != l.Me() && !l.failed[r] && l.Hears(s) {
				l.acknowledge(s, r)
			}
		}
	}
	for k := range l.flows {
		l.noticed(&l.flows[k])
	}
	l.tellWindow()
	if l.awaited > 0 && l.flows[1].stable >= l.awaited {
		l.awaited = 0
		l.mark(&l.flows[0])
		l.soon(&l.flows[0]) // again, for those who have not heard
	}
}

// noticed has the end of what was sent announced soon.
func (l *layer) noticed(f *flow) {
	sent := f.log.Sent()
	if sent <= f.sent {
		return
	}
	if f.slowest >= f.sent {
		f.moved = l.Now() // nobody held anything up until now
	}
	f.sent = sent
	if f.probe == 0 {
		f.probe, f.probeAt, f.telling = sent, stack.Never, 4*l.out() >= l.window
	}
	if l.N() > 1 {
		l.soon(f)
	} else {
		l.progress(f)
	}
}

// soon has a stream announced half a Retry from now.
func (l *layer) soon(f *flow) {
	f.wait = l.Config().Retry / 2
	f.at = l.Now().Add(f.wait)
	l.wake()
}

func (l *layer) wake() {
	at := l.ackAt
	for k := range l.flows {
		at = min(at, l.flows[k].at)
	}
	l.SetDeadline(at)
}

// Expire announces how far our streams go until everybody has them.
func (l *layer) Expire() {
	if l.ackAt <= l.Now() {
		l.tellAll()
	}
	for k := range l.flows {
		if f := &l.flows[k]; f.at <= l.Now() {
			f.at = stack.Never
			l.announce(f)
		}
	}
	l.wake()
}

func (l *layer) announce(f *flow) {
	l.progress(f)
	if l.N() == 1 {
		return
	}
	sent := f.log.Sent()
	done := f.stable == sent && f.slowest == sent
	if done && f.told == f.stable {
		return
	}
	l.mark(f)
	if done {
		return
	}
	l.stalled(f, sent)
	// The next one is of use only when the answers to this have had time to come.
	most := maxAnnounce
	if l.awaited > 0 && f.to == stack.Core {
		most = maxAwaited
	}
	f.wait = max(min(max(f.wait, l.Config().Retry/2)*2, most), l.patience(l.N()-1))
	f.at = l.Now().Add(f.wait)
}

// mark announces how far a stream goes and is stable.
func (l *layer) mark(f *flow) {
	f.told = f.stable
	l.Counters().Announces++
	m := wire.Mark{Stream: f.stream, Sent: f.log.Sent(), Stable: f.stable,
		Window: uint32(l.window)}
	if len(l.flows) > 1 && f.to == stack.All {
		l.progress(&l.flows[1])
		m.Core = l.flows[1].stable
	}
	l.buf = m.Append(l.buf[:0])
	l.MultiControl(f.to, wire.KindAnnounce, 0, l.buf)
}

// stalled removes a member that has held everybody up for too long.
func (l *layer) stalled(f *flow, sent uint64) {
	if l.Now().Sub(f.moved) < l.Config().StallLimit || l.limit(f) > sent {
		return
	}
	for r := range f.peers {
		if !f.away[r] && !l.failed[r] && f.peers[r].consumed == f.slowest {
			l.Tell(stack.Suspect{Rank: r, Why: "holds up all senders"})
		}
	}
}

func (l *layer) Event(e stack.Event) {
	switch e := e.(type) {
	case stack.Fail:
		copy(l.failed, e.Failed)
		l.ending = true
		for k := range l.flows {
			l.survey(&l.flows[k])
		}
		l.progressAll()
	case stack.Closing:
		l.closing = true
		l.progressAll()
	case stack.Awaited:
		l.awaited = e.Seq
	case stack.Stop:
		l.hurry()
	}
}

// Dump prints the window and the slowest receiver.
func (l *layer) Dump() string {
	s := ""
	for k := range l.flows {
		f := &l.flows[k]
		s += fmt.Sprintf("sent %d stable %d slowest %d ", f.log.Sent(), f.stable, f.slowest)
	}
	return s + fmt.Sprintf("window %d/%d", l.window, l.most)
}
