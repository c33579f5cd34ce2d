// Package mnak is reliable FIFO multicast by negative acknowledgement.
//
// Guarantee: each member passes up the segments of each sender in the order
// sent, without gaps or duplicates, as long as a member that has them lives;
// its own segments included. At the end of the view exactly the segments up to
// the agreed cut are passed up.
//
// Needs: datagrams. Whoever loses the last segments of a burst must be told how
// far the stream goes (Marked), and somebody must open the window (Credit).
//
// Header: segments are datagrams of kind cast with their number in Seq. A
// segment sent again is of kind repair, with its origin's rank in Low. A nak
// (wire.Nak) lists all gaps of one stream.
//
// Timers: Reorder after a gap is first seen it is asked for; Retry, growing by
// half each time up to maxRetry, after it was asked for in vain.
//
// Source: Ensemble's mnak; all gaps at once and any-holder repair as lessons
// from Aeron and JGroups.
package mnak

import (
	"fmt"
	"math"
	"time"

	"maestro/stack"
	"maestro/wire"
)

const (
	maxRetry   = 40 * time.Millisecond
	maxAnswer  = 256 << 10 // bytes sent again for one nak
	windowSpan = 1 << 16   // segments that a receive window can span
)

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "mnak", Needs: stack.Datagrams, Gives: stack.Reliable,
		Kinds: []wire.Kind{wire.KindCast, wire.KindRepair, wire.KindNak},
		New:   func(p *stack.Port) stack.Layer { return newLayer(p) }}
}

// stream is what is known of one member's multicast stream.
type stream struct {
	win    *wire.Window
	limit  uint64     // nothing beyond is passed up
	asked  uint64     // gaps up to here have been asked for
	newAt  stack.Time // when to ask for gaps beyond asked
	oldAt  stack.Time // when to ask again for the others
	tries  int
	holder int // whom to ask when the origin is gone
	next   uint64
}

type layer struct {
	*stack.Port
	streams []stream // by rank; our own is unused
	failed  stack.Set
	own     uint64   // our last segment passed up
	cut     []uint64 // nil until it is known
	done    bool     // the cut has been reached
	retired bool
	nak     wire.Nak
	credit  stack.Credit
	msg     stack.Msg
	buf     []byte // an answer in the making
}

func newLayer(p *stack.Port) *layer {
	l := &layer{Port: p, streams: make([]stream, p.N()), failed: make(stack.Set, p.N())}
	for i := range l.streams {
		l.streams[i] = stream{win: wire.NewWindow(windowSpan), limit: math.MaxUint64,
			newAt: stack.Never, oldAt: stack.Never, holder: i}
	}
	return l
}

// Retired keeps the layer answering naks when the view is over.
func (l *layer) Retired() []wire.Kind { return []wire.Kind{wire.KindNak} }

func (l *layer) Receive(d *stack.Datagram) {
	switch d.Kind {
	case wire.KindCast:
		origin := int(d.Sender)
		l.segment(origin, d)
		if d.Low < math.MaxUint16 && uint64(d.Low) < d.Seq {
			l.streams[origin].win.Free(d.Seq - uint64(d.Low))
		}
	case wire.KindRepair:
		if int(d.Low) >= l.N() || int(d.Low) == l.Me() {
			l.Counters().Malformed++
			return
		}
		l.segment(int(d.Low), d)
	case wire.KindNak:
		if l.nak.Parse(d.Body) != nil || l.nak.Origin >= l.N() {
			l.Counters().Malformed++
			return
		}
		l.Counters().NaksIn++
		l.repair(int(d.Sender), &l.nak)
	}
}

// segment takes one segment of a stream, and passes up what is in order now.
func (l *layer) segment(origin int, d *stack.Datagram) {
	s := &l.streams[origin]
	if l.cut != nil && d.Seq > l.cut[origin] {
		return
	}
	if !s.win.Insert(d.Seq, d.Buf, d.Body) {
		if d.Seq > s.win.Received() {
			l.Counters().Window++
		} else {
			l.Counters().Duplicates++
		}
		return
	}
	l.deliver(origin)
	if s.win.Open() {
		l.arm(s, l.Config().Reorder)
	}
	l.checkCut()
}

func (l *layer) deliver(origin int) {
	s := &l.streams[origin]
	for {
		seq, buf, body, ok := s.win.Read(s.limit)
		if !ok {
			return
		}
		l.msg = stack.Msg{From: origin, To: stack.All, Seq: seq, Data: body, Buf: buf}
		l.PassUp(&l.msg)
	}
}

// arm sees to it that what is missing will be asked for.
func (l *layer) arm(s *stream, allowance time.Duration) {
	if s.win.Received() > s.next {
		s.next, s.tries = s.win.Received(), 0
	}
	if s.win.High() > s.asked && s.newAt == stack.Never {
		s.newAt = l.Now().Add(max(allowance, 1))
		l.wake(s.newAt)
	}
}

func (l *layer) wake(t stack.Time) { l.SetDeadline(min(t, l.Deadline())) }

// Expire asks for what is missing.
func (l *layer) Expire() {
	if l.retired {
		return
	}
	now := l.Now()
	for r := range l.streams {
		s := &l.streams[r]
		if s.newAt <= now || s.oldAt <= now {
			l.ask(r, s.oldAt <= now)
		}
		if !s.win.Open() {
			s.newAt, s.oldAt = stack.Never, stack.Never
		}
		l.wake(min(s.newAt, s.oldAt))
	}
}

// ask sends one nak with all gaps of a stream, or only those not asked for yet.
func (l *layer) ask(origin int, again bool) {
	s := &l.streams[origin]
	limit := s.win.High()
	if l.cut != nil {
		limit = min(limit, l.cut[origin])
	}
	l.nak.Origin = origin
	l.nak.Spans = s.win.Gaps(l.nak.Spans[:0], limit)
	if !again {
		l.nak.Spans = beyond(l.nak.Spans, s.asked)
	}
	s.newAt = stack.Never
	s.asked = s.win.High()
	wait := l.Config().Retry
	for range min(s.tries, 12) {
		wait = min(wait*3/2, maxRetry)
	}
	if again || s.oldAt == stack.Never {
		s.oldAt = l.Now().Add(wait)
	}
	if len(l.nak.Spans) == 0 {
		return
	}
	to := l.target(origin)
	if again {
		s.tries++
	}
	if to < 0 {
		return
	}
	l.Counters().NaksOut++
	l.buf = l.nak.Append(l.buf[:0])
	l.SendControl(to, wire.KindNak, 0, l.buf)
}

// beyond cuts off what spans hold up to number seq.
func beyond(spans []wire.Span, seq uint64) []wire.Span {
	kept := spans[:0]
	for _, s := range spans {
		if s.To > seq {
			kept = append(kept, wire.Span{From: max(s.From, seq+1), To: s.To})
		}
	}
	return kept
}

// target is whom to ask: the origin while it lives and answers, then others.
func (l *layer) target(origin int) int {
	s := &l.streams[origin]
	if s.tries < 3 && !l.failed[s.holder] && s.holder != l.Me() {
		return s.holder
	}
	live := l.failed.Clone()
	live[l.Me()] = true
	n := 0
	for _, out := range live {
		if !out {
			n++
		}
	}
	if n == 0 {
		return -1
	}
	k := l.Rand().IntN(n)
	for r, out := range live {
		if out {
			continue
		}
		if k == 0 {
			return r
		}
		k--
	}
	return -1
}

func (l *layer) Event(e stack.Event) {
	switch e := e.(type) {
	case stack.Marked:
		s := &l.streams[e.Origin]
		s.win.Free(e.Stable)
		if s.win.Saw(e.Sent) || s.win.Open() {
			l.arm(s, 0)
		}
	case stack.Fail:
		// What arrives of the failed from now on waits for the cut.
		for r := range e.Failed {
			if e.Failed[r] && !l.failed[r] && l.cut == nil {
				l.streams[r].limit = l.streams[r].win.Passed()
			}
		}
		copy(l.failed, e.Failed)
	case stack.Decided:
		l.decided(e.Party)
	case stack.Reopened:
		l.cut, l.done = nil, false
		for r := range l.streams {
			s := &l.streams[r]
			s.limit = math.MaxUint64
			if l.failed[r] {
				s.limit = s.win.Passed()
			}
		}
	}
}

// decided takes the cut: it is passed up to all of it and not beyond.
func (l *layer) decided(p *wire.Party) {
	l.cut = p.Cut
	for r := range l.streams {
		s := &l.streams[r]
		if r == l.Me() {
			continue
		}
		s.limit = p.Cut[r]
		s.holder = int(p.Holder[r])
		s.win.Saw(p.Cut[r])
		l.deliver(r)
		if s.win.Received() < p.Cut[r] {
			s.tries, s.asked, s.newAt = 0, 0, stack.Never
			l.arm(s, 0)
		}
	}
	l.checkCut()
}

func (l *layer) checkCut() {
	if l.cut == nil || l.done {
		return
	}
	for r := range l.streams {
		if r != l.Me() && l.streams[r].win.Passed() < l.cut[r] {
			return
		}
	}
	l.done = true
	l.Tell(stack.CutReached{})
}

// Answer tells how far the streams have got.
func (l *layer) Answer(q stack.Query) {
	r, ok := q.(*stack.Reached)
	if !ok {
		return
	}
	r.Sent = l.Log().Sent()
	r.Unsent = l.Log().Pending()
	r.Recv, r.Passed = r.Recv[:0], r.Passed[:0]
	for i := range l.streams {
		r.Recv = append(r.Recv, l.streams[i].win.Received())
		r.Passed = append(r.Passed, l.streams[i].win.Passed())
	}
	r.Recv[l.Me()], r.Passed[l.Me()] = r.Sent, l.own
}

// Flush transmits what the window allows, and passes up our own segments.
func (l *layer) Flush() {
	if !l.Log().Pending() {
		return
	}
	l.Ask(&l.credit)
	for l.burst() {
	}
	if l.Log().Pending() {
		l.Counters().FlowLimited++
	}
}

// burst transmits one run of segments and passes it up here. It reports false
// when there is nothing that the window allows.
func (l *layer) burst() bool {
	b, seg, first, last := l.Log().Burst(l.credit.Limit, l.credit.Stable)
	if b == nil {
		return false
	}
	if l.N() > 1 {
		l.Wire().Burst(stack.All, b, seg)
	}
	for q := first; q <= last; q++ {
		l.own = q
		l.msg = stack.Msg{From: l.Me(), To: stack.All, Seq: q,
			Data: l.Log().Segment(q)[wire.HeaderLen:], Buf: l.Log().Holder(q)}
		l.PassUp(&l.msg)
	}
	return true
}

// Push transmits while there is a whole burst and the window allows it.
func (l *layer) Push() {
	l.Ask(&l.credit)
	for l.Log().Whole() && l.burst() {
	}
}

// Close gives back the windows' buffers.
func (l *layer) Close() {
	l.retired = true
	for i := range l.streams {
		l.streams[i].win.Close()
	}
}

// Dump prints how far each stream has got.
func (l *layer) Dump() string {
	s := fmt.Sprintf("sent %d/%d", l.Log().Sent(), l.Log().Last())
	for i := range l.streams {
		w := l.streams[i].win
		if i != l.Me() {
			s += fmt.Sprintf(" %d:%d/%d/%d", i, w.Passed(), w.Received(), w.High())
		}
	}
	if l.cut != nil {
		s += fmt.Sprintf(" cut %v", l.cut)
	}
	return s
}
