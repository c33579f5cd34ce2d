// Package stable is stability and flow control of multicast streams, which
// share one cumulative acknowledgement per receiver, and the announcements that
// show a lost tail.
//
// Guarantee: a sender has no more than a window of segments out that some
// receiver's application has not consumed; a segment is freed when all live
// members have received it; every receiver learns of the last segment of a
// burst within about a round trip even if it is lost.
//
// Needs: reliable multicast.
//
// Header: an acknowledgement (wire.Ack) goes to the sender of the stream; an
// announcement (wire.Mark) to all. How far a stream is stable also travels in
// every segment (Low).
//
// Timers: an announcement follows half a Retry after the last transmission,
// then at doubling distances up to maxAnnounce until all is acknowledged, and
// once more when all is stable.
//
// Source: Ensemble's stable and mflow; credit by bytes consumed as in JGroups'
// MFC; the slowest receiver governs, as in Aeron's min flow control. The window
// halves when receivers' sockets overflow and recovers by eighths.
package stable

import (
	"fmt"
	"math"
	"time"

	"maestro/stack"
	"maestro/wire"
)

const (
	maxAnnounce = 100 * time.Millisecond
	maxWindow   = 4 << 20 // bytes of one sender out at a time, at most
	minWindow   = 12 << 10
	maxSpan     = 1 << 15 // segments that are not stable; receivers keep twice as many
)

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "stable", Needs: stack.Reliable, Gives: stack.Stable,
		Kinds: []wire.Kind{wire.KindAnnounce, wire.KindAck},
		New:   func(p *stack.Port) stack.Layer { return newLayer(p) }}
}

// peer is what we know of one receiver of our stream, and what it knows of us
// as a receiver of its own.
type peer struct {
	received uint64 // of our stream
	consumed uint64
	drops    uint64
	known    bool // drops has been heard

	toldReceived uint64 // of its stream, as we told it last
	toldConsumed uint64
	owe          bool // it waits to hear from us
}

type layer struct {
	*stack.Port
	peers   []peer
	failed  stack.Set
	window  uint64 // segments
	most    uint64 // what window recovers to
	sent    uint64 // as of the last announcement timer
	stable  uint64 // all live members have our stream up to here
	told    uint64 // stable, as announced
	slowest uint64 // all live members have consumed up to here
	moved   stack.Time
	wait    time.Duration
	ending  bool // a member has failed
	closing bool // what is left to send is sent whether or not it is consumed
	ack     wire.Ack
	buf     []byte
	hold    stack.Holding
	reach   stack.Reached
}

func newLayer(p *stack.Port) *layer {
	l := &layer{Port: p, peers: make([]peer, p.N()), failed: make(stack.Set, p.N()), moved: p.Now()}
	l.hold.Done = make([]uint64, p.N())
	smallest := uint32(math.MaxUint32)
	for i := range p.View().Members {
		smallest = min(smallest, p.View().Members[i].RecvBuf)
	}
	// All senders share a receiver's buffer, half of which is the kernel's own.
	bytes := min(max(int(smallest)/2/max(p.N()-1, 1), minWindow), maxWindow)
	l.most = uint64(max(bytes/p.Config().Segment, 4))
	l.window = l.most
	return l
}

func (l *layer) Receive(d *stack.Datagram) {
	from := int(d.Sender)
	switch d.Kind {
	case wire.KindAck:
		if l.ack.Parse(d.Body) != nil || l.ack.Origin != l.Me() ||
			l.ack.Received > l.Log().Last() || l.ack.Consumed > l.ack.Received {
			l.Counters().Malformed++
			return
		}
		l.acked(&l.peers[from], &l.ack)
	case wire.KindAnnounce:
		var m wire.Mark
		if m.Parse(d.Body) != nil || m.Stable > m.Sent {
			l.Counters().Malformed++
			return
		}
		l.peers[from].owe = true
		l.Tell(stack.Marked{Origin: from, Sent: m.Sent, Stable: m.Stable})
	}
}

// acked takes what a receiver says of our stream.
func (l *layer) acked(p *peer, a *wire.Ack) {
	p.received = max(p.received, a.Received)
	p.consumed = max(p.consumed, a.Consumed)
	if a.Drops > p.drops {
		if p.known {
			l.window = max(l.window/2, min(l.most, 8))
		}
		p.drops = a.Drops
	}
	p.known = true
	l.progress()
}

// progress recomputes the slowest receiver, frees and opens.
func (l *layer) progress() {
	stable, slowest := l.Log().Sent(), l.Log().Sent()
	for r := range l.peers {
		if l.failed[r] || r == l.Me() {
			continue
		}
		stable = min(stable, l.peers[r].received)
		if l.closing {
			slowest = min(slowest, l.peers[r].received)
		} else {
			slowest = min(slowest, l.peers[r].consumed)
		}
	}
	if !l.Config().NoLocal && !l.closing {
		slowest = min(slowest, l.mine())
	}
	if slowest > l.slowest {
		if l.window < l.most && slowest/l.window > l.slowest/l.window {
			l.window = min(l.most, l.window+l.most/8+1)
		}
		l.slowest, l.moved = slowest, l.Now()
	}
	// Receivers free what we call stable. Once a member has failed, in our eyes
	// but perhaps not in theirs, it may go on with some of them and need it.
	if stable > l.stable && !l.ending {
		l.stable = stable
		l.Log().Free(stable)
	}
}

// mine is how far our own application has consumed our own stream.
func (l *layer) mine() uint64 {
	l.holding()
	return l.hold.Done[l.Me()]
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
		l.progress()
		// While stability is frozen the span must not outgrow the receivers'
		// windows; what is left at the end still has to fit.
		span := uint64(maxSpan)
		if l.closing {
			span = 2*maxSpan - 1
		}
		q.Limit = min(l.slowest+l.window, l.stable+span)
		q.Stable = l.stable
	case *stack.Drained:
		q.Casts = true
		for r := range l.peers {
			if !l.failed[r] && r != l.Me() && l.peers[r].received < l.Log().Last() {
				q.Casts = false
			}
		}
	}
}

// Flush acknowledges what has come far enough, and notices what was sent.
func (l *layer) Flush() {
	if l.N() > 1 {
		l.holding()
		for r := range l.peers {
			if r != l.Me() && !l.failed[r] {
				l.acknowledge(r)
			}
		}
	}
	if sent := l.Log().Sent(); sent > l.sent {
		if l.slowest >= l.sent {
			l.moved = l.Now() // nobody held anything up until now
		}
		l.sent = sent
		if l.N() > 1 {
			l.wait = l.Config().Retry / 2
			l.SetDeadline(l.Now().Add(l.wait))
		} else {
			l.progress()
		}
	}
}

// acknowledge tells a sender how far we are: when it asks, each quarter of a
// window, and when we have caught up after having held it up.
func (l *layer) acknowledge(r int) {
	p := &l.peers[r]
	received, consumed := l.reach.Recv[r], min(l.hold.Done[r], l.reach.Passed[r])
	due := p.owe ||
		consumed-min(p.toldConsumed, consumed) >= max(l.most/4, 1) ||
		consumed > p.toldConsumed && p.toldConsumed < p.toldReceived && consumed == received
	if !due {
		return
	}
	p.owe = false
	p.toldReceived, p.toldConsumed = received, consumed
	l.ack = wire.Ack{Origin: r, Received: received, Consumed: consumed,
		Drops: l.Counters().SocketDrops}
	l.buf = l.ack.Append(l.buf[:0])
	l.SendControl(r, wire.KindAck, 0, l.buf)
}

// Expire announces how far our stream goes until everybody has it.
func (l *layer) Expire() {
	l.progress()
	if l.N() == 1 {
		return
	}
	sent := l.Log().Sent()
	done := l.stable == sent && l.slowest == sent
	if done && l.told == l.stable {
		return
	}
	l.told = l.stable
	l.Counters().Announces++
	m := wire.Mark{Sent: sent, Stable: l.stable}
	l.buf = m.Append(l.buf[:0])
	l.CastControl(wire.KindAnnounce, 0, l.buf)
	if done {
		return
	}
	l.stalled(sent)
	l.wait = min(max(l.wait, l.Config().Retry/2)*2, maxAnnounce)
	l.SetDeadline(l.Now().Add(l.wait))
}

// stalled removes a member that has held everybody up for too long.
func (l *layer) stalled(sent uint64) {
	if l.Now().Sub(l.moved) < l.Config().StallLimit || l.slowest+l.window > sent {
		return
	}
	for r := range l.peers {
		if r != l.Me() && !l.failed[r] && l.peers[r].consumed == l.slowest {
			l.Tell(stack.Suspect{Rank: r, Why: "holds up all senders"})
		}
	}
}

func (l *layer) Event(e stack.Event) {
	switch e := e.(type) {
	case stack.Fail:
		copy(l.failed, e.Failed)
		l.ending = true
		l.progress()
	case stack.Closing:
		l.closing = true
		l.progress()
	case stack.Stop:
		for r := range l.peers {
			l.peers[r].owe = true
		}
	}
}

// Dump prints the window and the slowest receiver.
func (l *layer) Dump() string {
	return fmt.Sprintf("sent %d stable %d slowest %d window %d/%d", l.Log().Sent(), l.stable,
		l.slowest, l.window, l.most)
}
