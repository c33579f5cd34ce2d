// Package total delivers the casts of all members in one order: a sequencer
// that orders whole batches of messages which their senders multicast.
//
// Guarantee: members that go together from one view to the next deliver the
// same casts in the same order in it, core casts included as far as they get
// them. The order keeps each sender's. It is not uniform: a member that crashes
// or is cut off may have delivered otherwise.
//
// Needs: messages in FIFO order; at the end of the view, the same messages at
// all survivors (Sync).
//
// Header: none on messages. The sequencer, the lowest rank that gets everything,
// casts messages of KindOrder: runs of (rank u16, count u32), meaning that the
// next count messages of that rank come next; with the highest bit of the rank
// set, core casts, which members outside of the core pass over.
//
// Timers: none. The sequencer announces its order at the end of each turn.
// When it has reported for the flush it orders no more: what is left then is
// delivered at the cut, rank by rank.
//
// Source: the sequencer of Kaashoek's Amoeba in its BB form; the flush decides
// what is left, as in Ensemble's seqbb.
package total

import (
	"encoding/binary"
	"fmt"
	"math"

	"maestro/stack"
)

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "total", Needs: stack.Messages | stack.Fifo, Gives: stack.Total,
		Answers: []stack.Query{(*stack.Holding)(nil)},
		New: func(p *stack.Port) stack.Layer {
			l := &layer{Port: p, pending: make([]pending, p.N())}
			for l.lead = range p.N() {
				if p.View().InCore(l.lead) {
					l.sequencer = l.lead == p.Me()
					return l
				}
			}
			l.lead = 0 // nobody is in the core: there are only casts
			l.sequencer = p.Me() == 0
			return l
		}}
}

// run says that the next count messages of a rank come next: casts or core casts.
type run struct {
	rank  int
	to    int
	count uint32
}

const (
	runLen  = 2 + 4
	coreBit = 1 << 15
)

// pending is what has come of a member and waits for its turn.
type pending struct {
	stack.Queue
	core int // of them, core casts
}

func (p *pending) push(m *stack.Msg) {
	p.Push(m)
	if m.To == stack.Core {
		p.core++
	}
}

// first is the first message of a kind, nil if there is none.
func (p *pending) first(to int) *stack.Msg {
	if to == stack.Core && p.core == 0 || to == stack.All && p.core == p.Len() {
		return nil
	}
	for i := range p.All() {
		if m := &p.All()[i]; m.To == to {
			return m
		}
	}
	return nil
}

type layer struct {
	*stack.Port
	lead      int   // the sequencer's rank
	sequencer bool  // this member orders, until it has reported
	batch     []run // ordered and not announced yet
	pending   []pending
	order     []run // the announced order, not delivered yet
	next      int   // first run of order
	over      bool
	buf       []byte
	msg       stack.Msg
}

func (l *layer) Up(m *stack.Msg) {
	switch {
	case !m.Multicast() || l.over:
		l.PassUp(m)
	case m.Kind == stack.KindOrder:
		l.ordered(m)
	case m.From == l.lead && l.next == len(l.order):
		l.PassUp(m) // the sequencer's own come where they are in its stream
	case m.From == l.lead:
		l.order = append(l.order, run{m.From, m.To, uint32(m.Messages())})
		l.pending[m.From].push(m)
	case l.sequencer:
		l.sequence(m)
		l.pending[m.From].push(m)
	default:
		// The common case: it is this message's turn already.
		if l.pending[m.From].Len() == 0 && l.turn(m) && l.whole(m) {
			l.take(m)
			l.PassUp(m)
			l.deliver()
			return
		}
		l.pending[m.From].push(m)
		l.deliver()
	}
}

// turn reports whether a message is the next in the order.
func (l *layer) turn(m *stack.Msg) bool {
	return l.next < len(l.order) && l.order[l.next].rank == m.From && l.order[l.next].to == m.To
}

// whole reports whether the run in turn is as long as a batch, or longer. Batches are
// not the same at all members.
func (l *layer) whole(m *stack.Msg) bool {
	return m.Messages() <= int(l.order[l.next].count)
}

// sequence gives the next places in the order to a message, or a batch of them.
func (l *layer) sequence(m *stack.Msg) {
	count := uint32(m.Messages())
	if n := len(l.batch); n > 0 && l.batch[n-1].rank == m.From && l.batch[n-1].to == m.To &&
		l.batch[n-1].count < math.MaxUint32/2 {
		l.batch[n-1].count += count
		return
	}
	l.batch = append(l.batch, run{m.From, m.To, count})
}

// Flush announces what has been ordered in this turn.
func (l *layer) Flush() {
	const most = 1000
	for len(l.batch) > 0 {
		n := min(len(l.batch), most)
		l.buf = l.buf[:0]
		for _, r := range l.batch[:n] {
			rank := uint16(r.rank)
			if r.to == stack.Core {
				rank |= coreBit
			}
			l.buf = binary.LittleEndian.AppendUint16(l.buf, rank)
			l.buf = binary.LittleEndian.AppendUint32(l.buf, r.count)
		}
		l.batch = append(l.batch[:0], l.batch[n:]...)
		l.msg = stack.Msg{Kind: stack.KindOrder, From: l.Me(), To: stack.All, Data: l.buf}
		l.PassDown(&l.msg)
		l.Again()
	}
}

// ordered takes an announcement, the sequencer its own like everybody's.
func (l *layer) ordered(m *stack.Msg) {
	if m.From != l.lead || len(m.Data)%runLen != 0 {
		l.Counters().Malformed++
		return
	}
	for b := m.Data; len(b) > 0; b = b[runLen:] {
		rank := binary.LittleEndian.Uint16(b)
		r := run{int(rank &^ coreBit), stack.All, binary.LittleEndian.Uint32(b[2:])}
		if rank&coreBit != 0 {
			r.to = stack.Core
		}
		if r.rank == l.lead || r.rank >= l.N() || r.count == 0 {
			l.Counters().Malformed++
			return
		}
		if r.to == stack.All || l.View().InCore(l.Me()) {
			l.order = append(l.order, r)
		}
	}
	l.deliver()
}

// take uses up the places of a message in the order.
func (l *layer) take(m *stack.Msg) {
	r := &l.order[l.next]
	if n := uint32(m.Messages()); n < r.count {
		r.count -= n
		return
	}
	l.pass()
}

// pass goes on to the next run of the order.
func (l *layer) pass() {
	l.next++
	if l.next == len(l.order) {
		l.order, l.next = l.order[:0], 0
	}
}

// deliver passes up what is in turn.
func (l *layer) deliver() {
	for l.next < len(l.order) {
		p := &l.pending[l.order[l.next].rank]
		if p.Len() == 0 || !l.turn(p.First()) {
			return
		}
		if m := p.First(); !l.whole(m) {
			front := m.Cut(int(l.order[l.next].count))
			l.pass()
			l.PassUp(&front)
			continue
		}
		l.take(p.First())
		l.release(p)
	}
}

func (l *layer) release(p *pending) {
	if p.First().To == stack.Core {
		p.core--
	}
	l.PassUp(p.First())
	p.Drop()
}

func (l *layer) Event(e stack.Event) {
	switch e.(type) {
	case stack.Closing:
		// What comes in later could not be announced any more.
		l.Flush()
		l.sequencer = false
	case stack.CutReached:
		l.rest()
	}
}

// rest delivers what the order says, but for what was lost with its sender, and
// then what it says nothing of, the same way at all survivors.
func (l *layer) rest() {
	for l.deliver(); l.next < len(l.order); l.deliver() {
		l.pass()
	}
	for r := range l.pending {
		for p := &l.pending[r]; p.Len() > 0; {
			l.release(p)
		}
	}
	l.over = true
}

// Answer says which messages wait for their turn.
func (l *layer) Answer(q stack.Query) {
	h, ok := q.(*stack.Holding)
	if !ok || h.Sends {
		return
	}
	for i := range h.Done {
		s := h.From + i
		if m := l.pending[s%l.N()].first(stack.All - s/l.N()); m != nil {
			h.Done[i] = min(h.Done[i], m.First()-1)
		}
	}
}

// Close gives back what is held.
func (l *layer) Close() {
	for r := range l.pending {
		l.pending[r].Clear()
	}
}

// Dump prints how much waits.
func (l *layer) Dump() string {
	n := 0
	for r := range l.pending {
		n += l.pending[r].Len()
	}
	return fmt.Sprintf("sequencer %v waiting %d runs %d", l.sequencer, n, len(l.order)-l.next)
}
