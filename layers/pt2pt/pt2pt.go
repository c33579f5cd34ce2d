// Package pt2pt is reliable point-to-point: one stream to each peer, with a
// window of its own.
//
// Guarantee: what one member sends to another arrives once and in order while
// both stay in the view; a flush waits until everything sent has been received,
// so members that go on together have lost nothing. It does not wait until that
// has been consumed: at the end of a view the window counts what was received.
//
// Needs: datagrams. Messages are framed here in the form that packing takes
// apart.
//
// Header: segments are datagrams of kind send, numbered per pair. The receiver
// names gaps at once (wire.Nak) and acknowledges what it has received and
// consumed (wire.Ack), each quarter of a window and when asked by a mark
// (wire.Mark), which the sender repeats until everything is acknowledged.
//
// Timers: a mark half a Retry after the last transmission, then at doubling
// distances up to maxMark; a nak again after Retry, growing.
//
// Source: Ensemble's pt2pt and pt2ptw; the same machinery as multicast.
package pt2pt

import (
	"fmt"
	"math"
	"time"

	"maestro/stack"
	"maestro/wire"
)

const (
	maxMark    = 100 * time.Millisecond
	maxRetry   = 40 * time.Millisecond
	maxWindow  = 4 << 20
	minWindow  = 12 << 10
	windowSpan = 1 << 14
	maxAnswer  = 256 << 10
)

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "pt2pt", Needs: stack.Datagrams, Gives: stack.PointToPoint,
		Kinds:   []wire.Kind{wire.KindSend, wire.KindSendNak, wire.KindSendAck, wire.KindSendMark},
		Answers: []stack.Query{(*stack.Room)(nil), (*stack.Drained)(nil)},
		New:     func(p *stack.Port) stack.Layer { return newLayer(p) }}
}

// out is our stream to one peer.
type out struct {
	log      *wire.Log // nil until something is sent
	received uint64    // by the peer
	consumed uint64
	seen     uint64 // sent, as of the last transmission
	markAt   stack.Time
	wait     time.Duration
}

// in is a peer's stream to us.
type in struct {
	win   *wire.Window // nil until something is received
	told  wire.Ack     // as we told it last
	owe   bool
	asked uint64
	nakAt stack.Time
	tries int
}

type layer struct {
	*stack.Port
	outs   []out
	ins    []in
	failed stack.Set
	window uint64
	// stopping: a view change is under way, closing: this member is about to
	// report. Then what has been received counts, whether or not it is consumed.
	stopping, closing bool

	active []int // peers whose outs have something to transmit
	heard  bool  // some in may owe an acknowledgement
	nak    wire.Nak
	ack    wire.Ack
	msg    stack.Msg
	buf    []byte
	hold   stack.Holding
}

func newLayer(p *stack.Port) *layer {
	l := &layer{Port: p, outs: make([]out, p.N()), ins: make([]in, p.N()),
		failed: make(stack.Set, p.N())}
	smallest := uint32(math.MaxUint32)
	for i := range p.View().Members {
		smallest = min(smallest, p.View().Members[i].RecvBuf)
	}
	bytes := min(max(int(smallest)/4/max(p.N()-1, 1), minWindow), maxWindow)
	l.window = uint64(max(bytes/p.Config().Segment, 4))
	for i := range l.outs {
		l.outs[i].markAt, l.ins[i].nakAt = stack.Never, stack.Never
	}
	l.hold = stack.Holding{Sends: true, Done: make([]uint64, p.N())}
	return l
}

// Down takes messages to one member; casts pass.
func (l *layer) Down(m *stack.Msg) {
	if m.Multicast() {
		l.PassDown(m)
		return
	}
	if l.failed[m.To] {
		return
	}
	o := &l.outs[m.To]
	if o.log == nil {
		conn, _ := l.Conn()
		make := wire.NewSpacedLog
		if m.To == l.Me() {
			make = wire.NewLog // passed up as it is
		}
		o.log = make(l.Pool(), wire.Header{Kind: wire.KindSend, Sender: uint16(l.Me()),
			Conn: conn}, l.Config().Segment)
	}
	if !o.log.Pending() {
		l.active = append(l.active, m.To)
	}
	o.log.Append(m.Kind, m.Head, m.Data)
}

func (l *layer) Receive(d *stack.Datagram) {
	from := int(d.Sender)
	switch d.Kind {
	case wire.KindSend:
		l.segment(from, d)
	case wire.KindSendNak:
		if l.nak.Parse(d.Body) != nil || l.outs[from].log == nil {
			l.Counters().Malformed++
			return
		}
		l.Counters().NaksIn++
		l.repair(from, &l.nak)
	case wire.KindSendAck:
		o := &l.outs[from]
		if l.ack.Parse(d.Body) != nil || o.log == nil || l.ack.Received > o.log.Sent() ||
			l.ack.Consumed > l.ack.Received {
			l.Counters().Malformed++
			return
		}
		l.acked(from, o)
	case wire.KindSendMark:
		var m wire.Mark
		if m.Parse(d.Body) != nil {
			l.Counters().Malformed++
			return
		}
		i := l.in(from)
		i.owe, l.heard = true, true
		if i.win.Saw(m.Sent) || i.win.Open() {
			l.arm(i)
		}
	}
}

func (l *layer) in(from int) *in {
	i := &l.ins[from]
	if i.win == nil {
		i.win = wire.NewWindow(windowSpan)
	}
	return i
}

func (l *layer) segment(from int, d *stack.Datagram) {
	i := l.in(from)
	kept := i.win.Insert(d.Seq, d.Buf, d.Body, d.Part)
	l.Counters().Duplicates += d.Last() - d.Seq + 1 - uint64(kept)
	if kept == 0 {
		return
	}
	before := i.win.Passed()
	m := &l.msg
	m.From, m.To = from, l.Me()
	for ok := true; ok; {
		if m.Seq, m.Buf, m.Data, m.Part, ok = i.win.Read(math.MaxUint64); ok {
			l.PassUp(m)
		}
	}
	if p := i.win.Passed(); p > before {
		i.win.Free(p) // nobody but us is asked for it
		i.tries = 0
	}
	l.heard = true
	if i.win.Open() {
		l.arm(i)
	}
}

func (l *layer) acked(from int, o *out) {
	if l.ack.Received > o.received {
		o.received = l.ack.Received
		o.log.Free(o.received)
		o.wait = l.Config().Retry / 2
	}
	o.consumed = max(o.consumed, l.ack.Consumed)
}

// Flush transmits what the windows allow and acknowledges what has come.
func (l *layer) Flush() {
	kept := l.active[:0]
	for _, r := range l.active {
		if o := &l.outs[r]; o.log != nil && l.transmit(r, o) {
			kept = append(kept, r)
		}
	}
	l.active = kept
	if !l.heard {
		return
	}
	l.heard = false
	for r := range l.ins {
		if i := &l.ins[r]; i.win != nil {
			l.hold.Done[r] = i.win.Passed()
		}
	}
	l.Ask(&l.hold)
	for r := range l.ins {
		if i := &l.ins[r]; i.win != nil && !l.failed[r] {
			l.acknowledge(r, i)
		}
	}
}

// Push transmits while there is a whole burst and the window allows it.
func (l *layer) Push() {
	more := l.More() && l.Wide(l.window)
	for _, r := range l.active {
		o := &l.outs[r]
		if o.log == nil || r == l.Me() {
			continue
		}
		for o.log.Whole() && l.burst(r, o, more) {
		}
		l.remind(o)
	}
}

// transmit reports whether something is left that the window does not allow.
func (l *layer) transmit(r int, o *out) bool {
	o.log.Seal()
	if r == l.Me() {
		l.loop(r, o)
		return o.log.Pending()
	}
	for l.burst(r, o, false) {
	}
	l.remind(o)
	return o.log.Pending()
}

// burst transmits a burst, if the window allows it, and says in it whether more follows.
func (l *layer) burst(r int, o *out, more bool) bool {
	o.log.More(more)
	b, seg, _, _ := o.log.Burst(l.limit(o), 0)
	if b == nil {
		return false
	}
	l.Wire().Burst(r, b, seg)
	return true
}

// loop passes up what is for ourselves.
func (l *layer) loop(r int, o *out) {
	for {
		b, _, first, last := o.log.Burst(math.MaxUint64, 0)
		if b == nil {
			return
		}
		m := &l.msg
		m.From, m.To, m.Seq = r, r, last
		m.Data, m.Part, m.Buf = o.log.Run(first, last)
		l.PassUp(m)
		o.received, o.consumed = last, last
		o.log.Free(last)
	}
}

// limit is the last segment that may be transmitted.
func (l *layer) limit(o *out) uint64 {
	if l.closing {
		return o.received + l.window
	}
	return o.consumed + l.window
}

func (l *layer) acknowledge(r int, i *in) {
	received, consumed := i.win.Received(), l.hold.Done[r]
	t := &i.told
	behind := consumed < received
	quarter := max(l.window/4, 1)
	due := i.owe || consumed-min(t.Consumed, consumed) >= quarter ||
		l.stopping && received-t.Received >= quarter ||
		consumed > t.Consumed && t.Consumed < t.Received && !behind
	if behind {
		l.heard = true // come back when the application has consumed more
	}
	if !due {
		return
	}
	i.owe = false
	*t = wire.Ack{Stream: r, Received: received, Consumed: consumed}
	l.buf = t.Append(l.buf[:0])
	l.SendControl(r, wire.KindSendAck, 0, l.buf)
}

func (l *layer) Event(e stack.Event) {
	switch e := e.(type) {
	case stack.Fail:
		for r := range e.Failed {
			if e.Failed[r] && !l.failed[r] {
				l.failed[r] = true
				l.drop(r)
			}
		}
	case stack.Stop:
		l.stopping = true
	case stack.Closing:
		l.closing = true
	}
}

// drop gives up the streams to and from a failed member.
func (l *layer) drop(r int) {
	if o := &l.outs[r]; o.log != nil {
		o.log.Close()
		o.log = nil
	}
	if i := &l.ins[r]; i.win != nil {
		i.win.Close()
		i.win, i.nakAt = nil, stack.Never
	}
}

// Answer tells whether there is room, and whether everything sent has been
// received.
func (l *layer) Answer(q stack.Query) {
	switch q := q.(type) {
	case *stack.Room:
		o := &l.outs[q.To]
		q.Full = o.log != nil && o.log.Unsent() > l.Config().SendBuffer
	case *stack.Drained:
		q.Sends = true
		for r := range l.outs {
			o := &l.outs[r]
			if o.log != nil && (o.log.Pending() || o.received < o.log.Sent()) {
				q.Sends = false
			}
		}
	}
}

// Close gives back all buffers.
func (l *layer) Close() {
	for r := range l.outs {
		l.drop(r)
	}
}

// Dump prints the streams that are in use.
func (l *layer) Dump() string {
	s := ""
	for r := range l.outs {
		if o := &l.outs[r]; o.log != nil {
			s += fmt.Sprintf(" >%d:%d/%d", r, o.received, o.log.Last())
		}
		if i := &l.ins[r]; i.win != nil {
			s += fmt.Sprintf(" <%d:%d/%d", r, i.win.Received(), i.win.High())
		}
	}
	return s
}
