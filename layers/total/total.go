// Package total delivers the casts of all members in one order: a sequencer
// that orders whole batches of messages which their senders multicast.
//
// Guarantee: members that go together from one view to the next deliver the
// same casts in the same order in it. The order keeps each sender's. It is not
// uniform: a member that crashes or is cut off may have delivered otherwise.
//
// Needs: messages in FIFO order; at the end of the view, the same messages at
// all survivors (Sync).
//
// Header: none on messages. The sequencer, the lowest rank, casts messages of
// KindOrder: runs of (rank u16, count u32), meaning that the next count
// messages of that rank come next.
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

	"maestro/stack"
)

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "total", Needs: stack.Messages | stack.Fifo, Gives: stack.Total,
		New: func(p *stack.Port) stack.Layer {
			return &layer{Port: p, sequencer: p.Me() == 0, pending: make([]queue, p.N())}
		}}
}

// run says that the next count messages of a rank come next.
type run struct {
	rank  int
	count uint32
}

const runLen = 2 + 4

// queue is a first-in-first-out list of kept messages.
type queue struct {
	msgs []stack.Msg
	head int
}

func (q *queue) len() int { return len(q.msgs) - q.head }

func (q *queue) push(m *stack.Msg) {
	if m.Buf != nil {
		m.Buf.Keep()
	}
	q.msgs = append(q.msgs, *m)
}

func (q *queue) pop() stack.Msg {
	m := q.msgs[q.head]
	q.msgs[q.head] = stack.Msg{}
	q.head++
	if q.head == len(q.msgs) {
		q.msgs, q.head = q.msgs[:0], 0
	}
	return m
}

type layer struct {
	*stack.Port
	sequencer bool  // this member orders, until it has reported
	batch     []run // ordered and not announced yet
	pending   []queue
	order     []run // the announced order, not delivered yet
	next      int   // first run of order
	over      bool
	buf       []byte
	msg       stack.Msg
}

func (l *layer) Up(m *stack.Msg) {
	switch {
	case m.To != stack.All || l.over:
		l.PassUp(m)
	case m.Kind == stack.KindOrder:
		l.ordered(m)
	case m.From == 0 && l.next == len(l.order):
		l.PassUp(m) // the sequencer's own come where they are in its stream
	case m.From == 0:
		l.order = append(l.order, run{0, 1})
		l.pending[0].push(m)
	case l.sequencer:
		l.sequence(m.From)
		l.pending[m.From].push(m)
	default:
		// The common case: it is this message's turn already.
		if l.pending[m.From].len() == 0 && l.next < len(l.order) && l.order[l.next].rank == m.From {
			l.take()
			l.PassUp(m)
			l.deliver()
			return
		}
		l.pending[m.From].push(m)
		l.deliver()
	}
}

// sequence gives the next place in the order to a message of rank r.
func (l *layer) sequence(r int) {
	if n := len(l.batch); n > 0 && l.batch[n-1].rank == r {
		l.batch[n-1].count++
		return
	}
	l.batch = append(l.batch, run{r, 1})
}

// Flush announces what has been ordered in this turn.
func (l *layer) Flush() {
	const most = 1000
	for len(l.batch) > 0 {
		n := min(len(l.batch), most)
		l.buf = l.buf[:0]
		for _, r := range l.batch[:n] {
			l.buf = binary.LittleEndian.AppendUint16(l.buf, uint16(r.rank))
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
	if m.From != 0 || len(m.Data)%runLen != 0 {
		l.Counters().Malformed++
		return
	}
	for b := m.Data; len(b) > 0; b = b[runLen:] {
		r := run{int(binary.LittleEndian.Uint16(b)), binary.LittleEndian.Uint32(b[2:])}
		if r.rank == 0 || r.rank >= l.N() || r.count == 0 {
			l.Counters().Malformed++
			return
		}
		l.order = append(l.order, r)
	}
	l.deliver()
}

// take uses up one place of the order.
func (l *layer) take() {
	r := &l.order[l.next]
	r.count--
	if r.count > 0 {
		return
	}
	l.next++
	if l.next == len(l.order) {
		l.order, l.next = l.order[:0], 0
	}
}

// deliver passes up what is in turn.
func (l *layer) deliver() {
	for l.next < len(l.order) {
		q := &l.pending[l.order[l.next].rank]
		if q.len() == 0 {
			return
		}
		l.take()
		l.pass(q)
	}
}

func (l *layer) pass(q *queue) {
	l.msg = q.pop()
	buf := l.msg.Buf
	l.PassUp(&l.msg)
	if buf != nil {
		buf.Drop()
	}
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

// rest delivers what the order says nothing of, the same way at all survivors.
func (l *layer) rest() {
	l.deliver()
	for r := range l.pending {
		for l.pending[r].len() > 0 {
			l.pass(&l.pending[r])
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
	for r := range l.pending {
		if p := &l.pending[r]; p.len() > 0 {
			h.Done[r] = min(h.Done[r], p.msgs[p.head].Seq-1)
		}
	}
}

// Close gives back what is held.
func (l *layer) Close() {
	for r := range l.pending {
		for l.pending[r].len() > 0 {
			if m := l.pending[r].pop(); m.Buf != nil {
				m.Buf.Drop()
			}
		}
	}
}

// Dump prints how much waits.
func (l *layer) Dump() string {
	n := 0
	for r := range l.pending {
		n += l.pending[r].len()
	}
	return fmt.Sprintf("sequencer %v waiting %d runs %d", l.sequencer, n, len(l.order)-l.next)
}
