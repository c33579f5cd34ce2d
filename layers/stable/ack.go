package stable

import (
	"time"

	"maestro/stack"
	"maestro/wire"
)

// heard is what we have told the sender of another's stream.
type heard struct {
	received uint64
	consumed uint64
	window   uint64     // the sender's, as it has told
	owe      bool       // it waits to hear from us
	later    bool       // it will hear from us at ackAt
	seen     uint64     // received, at the last look
	at       stack.Time // when that last grew
}

// patience is how long an acknowledgement by a rank may wait: half of the most, and
// up to as much again by rank.
func (l *layer) patience(rank int) time.Duration {
	if l.N() <= few {
		return 0
	}
	d := min(time.Duration(l.N())*perRank, maxLater)
	return d/2 + d/2*time.Duration(rank+1)/time.Duration(l.N())
}

// announced takes a sender's word of how far it has sent, and its wish to be told
// how far we are. That may wait where so little is missing that no window can be
// full. How far a core stream is stable is waited for.
func (l *layer) announced(m *wire.Mark) {
	h := &l.heard[m.Stream]
	h.window = uint64(m.Window)
	d := l.patience(l.Me())
	if d == 0 || l.stopping || m.Stream >= l.N() || m.Sent >= h.consumed+min(l.share, leastWindow) {
		h.owe, l.dirty = true, true
		return
	}
	h.later = true
	if l.ackAt == stack.Never {
		l.ackAt = l.Now().Add(d)
		l.wake()
	}
}

// tellAll has those told that were to be told later.
func (l *layer) tellAll() {
	l.ackAt = stack.Never
	for s := range l.heard {
		h := &l.heard[s]
		h.owe, h.later = h.owe || h.later, false
	}
	l.dirty = true
}

// hurry has the senders that do not know how far we are told at once: those that
// leave wait for it. All others know, and in a large view they are many.
func (l *layer) hurry() {
	l.stopping = true
	l.holding()
	for s := range l.heard {
		h := &l.heard[s]
		h.owe = h.owe || h.received < l.reach.Recv[s]
	}
	l.tellAll()
}

// acknowledge tells a sender how far we are: when it asks; each quarter of its
// window, or half of one that has not grown; when we have caught up after having held
// it up.
func (l *layer) acknowledge(s, r int) {
	h := &l.heard[s]
	received, consumed := l.reach.Recv[s], min(l.hold.Done[s], l.reach.Passed[s])
	quarter := max(min(l.most, h.window)/4, min(h.window, beginWindow)/2, 1)
	if l.N() > few {
		quarter = max(quarter, min(h.window, leastWindow)*3/4)
	}
	due := h.owe || consumed-min(h.consumed, consumed) >= quarter ||
		l.stopping && received-h.received >= quarter ||
		consumed > h.consumed && h.consumed < h.received && consumed == received
	if !due {
		return
	}
	h.received, h.consumed, h.owe, h.later = received, consumed, false, false
	l.ack = wire.Ack{Stream: s, Received: received, Consumed: consumed,
		Drops: l.Counters().SocketDrops}
	l.buf = l.ack.Append(l.buf[:0])
	l.SendControl(r, wire.KindAck, 0, l.buf)
}
