// Package mnak is reliable FIFO multicast by negative acknowledgement.
//
// Guarantee: each member passes up the segments of each sender in the order
// sent, without gaps or duplicates, as long as a member that has them lives;
// its own segments included. At the end of the view exactly the segments up to
// the agreed cut are passed up. In a view with a core each member has a second
// stream, for the core alone: nobody else gets or keeps it.
//
// Needs: datagrams. Whoever loses the last segments of a burst must be told how
// far the stream goes (Marked), and somebody must open the window (Credit).
//
// Header: segments are datagrams of kind cast, or core, with their number in
// Seq. A segment sent again is of kind repair, with the number of its stream in
// Low. A nak (wire.Nak) lists all gaps of one stream.
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
	"strings"
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
		Kinds:   []wire.Kind{wire.KindCast, wire.KindCore, wire.KindRepair, wire.KindNak},
		Answers: []stack.Query{(*stack.Reached)(nil)},
		New:     func(p *stack.Port) stack.Layer { return newLayer(p) }}
}

// stream is what is known of one multicast stream.
type stream struct {
	origin int // whose
	to     int // stack.All or stack.Core
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
	streams []stream // our own are not used
	failed  stack.Set
	own     [2]uint64 // our last segments passed up
	cut     []uint64  // nil until it is known
	done    bool      // the cut has been reached
	retired bool
	nak     wire.Nak
	credit  stack.Credit
	msg     stack.Msg
	buf     []byte // an answer in the making
}

func newLayer(p *stack.Port) *layer {
	l := &layer{Port: p, streams: make([]stream, p.Streams()), failed: make(stack.Set, p.N())}
	for i := range l.streams {
		l.streams[i] = stream{origin: i % p.N(), to: stack.All - i/p.N(), limit: math.MaxUint64,
			win: wire.NewWindow(windowSpan), newAt: stack.Never, oldAt: stack.Never,
			holder: i % p.N()}
	}
	return l
}

// Retired keeps the layer answering naks when the view is over.
func (l *layer) Retired() []wire.Kind { return []wire.Kind{wire.KindNak} }

// ours reports whether a stream is this member's own.
func (l *layer) ours(stream int) bool { return l.streams[stream].origin == l.Me() }

func (l *layer) Receive(d *stack.Datagram) {
	switch d.Kind {
	case wire.KindCast:
		l.original(int(d.Sender), d)
	case wire.KindCore:
		l.original(l.N()+int(d.Sender), d)
	case wire.KindRepair:
		if n := int(d.Low); n < len(l.streams) && !l.ours(n) {
			l.segment(n, d)
		} else {
			l.Counters().Malformed++
		}
	case wire.KindNak:
		if l.nak.Parse(d.Body) != nil || l.nak.Stream >= len(l.streams) {
			l.Counters().Malformed++
			return
		}
		l.Counters().NaksIn++
		l.repair(int(d.Sender), &l.nak)
	}
}

// original takes a segment from its origin.
func (l *layer) original(n int, d *stack.Datagram) {
	if n >= len(l.streams) {
		l.Counters().Malformed++ // the view has no core
		return
	}
	l.segment(n, d)
	if d.Low < math.MaxUint16 && uint64(d.Low) < d.Seq {
		l.streams[n].win.Free(d.Seq - uint64(d.Low))
	}
}

// segment takes segments of a stream, and passes up what is in order now.
func (l *layer) segment(n int, d *stack.Datagram) {
	s := &l.streams[n]
	if !l.Hears(n) {
		l.Counters().NotForUs++
		return
	}
	body, last := d.Body, d.Last()
	if l.cut != nil && last > l.cut[n] {
		if d.Seq > l.cut[n] {
			return
		}
		last = l.cut[n]
		body = body[:min(int(last-d.Seq+1)*d.Part, len(body))]
	}
	kept := s.win.Insert(d.Seq, d.Buf, body, d.Part)
	if more := last - d.Seq + 1 - uint64(kept); more > 0 {
		if last > s.win.Received() {
			l.Counters().Window += more
		} else {
			l.Counters().Duplicates += more
		}
		if kept == 0 {
			return
		}
	}
	l.deliver(s)
	if s.win.Open() {
		l.arm(s, l.Config().Reorder)
	}
	l.checkCut()
}

func (l *layer) deliver(s *stream) {
	m := &l.msg // nobody above keeps it or writes to it
	m.From, m.To = s.origin, s.to
	for ok := true; ok; {
		if m.Seq, m.Buf, m.Data, m.Part, ok = s.win.Read(s.limit); ok {
			l.PassUp(m)
		}
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
func (l *layer) ask(n int, again bool) {
	s := &l.streams[n]
	limit := s.win.High()
	if l.cut != nil {
		limit = min(limit, l.cut[n])
	}
	l.nak.Stream = n
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
	to := l.target(s)
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
func (l *layer) target(s *stream) int {
	if s.tries < 3 && !l.failed[s.holder] && s.holder != l.Me() {
		return s.holder
	}
	var may []int
	for r, failed := range l.failed {
		has := r == s.origin || s.to == stack.All || l.View().InCore(r)
		if has && !failed && r != l.Me() {
			may = append(may, r)
		}
	}
	if len(may) == 0 {
		return -1
	}
	return may[l.Rand().IntN(len(may))]
}

// Answer tells how far the streams have got.
func (l *layer) Answer(q stack.Query) {
	r, ok := q.(*stack.Reached)
	if !ok {
		return
	}
	r.Unsent = l.pending()
	r.Recv, r.Passed = r.Recv[:0], r.Passed[:0]
	for i := range l.streams {
		r.Recv = append(r.Recv, l.streams[i].win.Received())
		r.Passed = append(r.Passed, l.streams[i].win.Passed())
	}
	for k, log := range l.Logs() {
		own := l.Me() + k*l.N()
		r.Recv[own], r.Passed[own] = log.Sent(), l.own[k]
	}
}

func (l *layer) pending() bool {
	for _, log := range l.Logs() {
		if log.Pending() {
			return true
		}
	}
	return false
}

// Flush transmits what the windows allow, and passes up our own segments.
func (l *layer) Flush() {
	if l.More() {
		l.Push()
		return
	}
	for k, log := range l.Logs() {
		if !log.Pending() {
			continue
		}
		l.credit.Log = k
		l.Ask(&l.credit)
		for l.burst(k, log) {
		}
		if log.Pending() {
			l.Counters().FlowLimited++
		}
	}
}

// burst transmits one run of segments and passes it up here. It reports false
// when there is nothing that the window allows.
func (l *layer) burst(k int, log *wire.Log) bool {
	log.More(l.credit.Wide && (l.More() || log.Bursts(2)))
	b, seg, first, last := log.Burst(l.credit.Limit, l.credit.Stable)
	if b == nil {
		return false
	}
	to := stack.All - k
	if l.N() > 1 {
		l.Wire().Burst(to, b, seg)
	}
	l.own[k] = last
	if l.Hears(l.Me() + k*l.N()) {
		m := &l.msg
		m.From, m.To, m.Seq = l.Me(), to, last
		m.Data, m.Part, m.Buf = log.Run(first, last)
		l.PassUp(m)
	}
	return true
}

// Push transmits while there is a whole burst and the window allows it.
func (l *layer) Push() {
	for k, log := range l.Logs() {
		if !log.Whole() {
			continue
		}
		l.credit.Log = k
		l.Ask(&l.credit)
		for log.Whole() && l.burst(k, log) {
		}
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
	s := ""
	for _, log := range l.Logs() {
		s += fmt.Sprintf("sent %d/%d ", log.Sent(), log.Last())
	}
	s = strings.TrimSuffix(s, " ")
	for i := range l.streams {
		w := l.streams[i].win
		if !l.ours(i) {
			s += fmt.Sprintf(" %d:%d/%d/%d", i, w.Passed(), w.Received(), w.High())
		}
	}
	if l.cut != nil {
		s += fmt.Sprintf(" cut %v", l.cut)
	}
	return s
}
