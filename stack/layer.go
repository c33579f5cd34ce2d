package stack

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"maestro/wire"
)

// Time is a point in time, in nanoseconds since the driver's own epoch.
type Time int64

// Never is later than every time.
const Never Time = math.MaxInt64

// Add returns t + d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns t - u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// The destinations of multicasts.
const (
	All  = -1 // a cast: the whole view
	Core = -2 // a core cast: the view's core, where the view has one
)

// Kinds of messages from FirstStackKind up belong to layers; those below are
// the application's and pass through the stack unread.
const (
	FirstStackKind uint8 = 0xF0
	KindOrder      uint8 = 0xF0 // total order: the sequencer's decisions
	KindWeave      uint8 = 0xF1 // weave: what comes before in the other stream
)

// Msg is a message, or below the packing layer a segment, on its way through a
// stack. It is borrowed for the call. Data lies in Buf, which Keep extends the
// life of; where Buf is nil, Data is memory that nobody reuses.
type Msg struct {
	Kind uint8
	From int // rank of its sender
	To   int // rank of its receiver, or All or Core
	// Seq is the number of the segment in which the message ends: consuming
	// the message consumes its stream up to there.
	Seq uint64
	// Part, if not 0, says that Data may be of several segments, Part bytes of each
	// but the last, and from the first but for Skip bytes. See SeqAt.
	Part, Skip int
	Head       []byte // going down: bytes to put before Data
	Data       []byte
	Buf        *wire.Buf
	// Stream numbers the streams that the application consumes: see StreamOf.
	// Only of messages that are handed to it.
	Stream int
	// Claimed says that Data is already in the send log.
	Claimed bool
	// Count, if not 0, says that this is a batch on its way up: Data is so many
	// messages of the application as frames (wire.Frames), of Bytes bytes in all,
	// Kind is 0, and Seq is that of the last.
	Count, Bytes int
}

// SeqAt is the number of the segment in which the first end bytes of Data end.
func (m *Msg) SeqAt(end int) uint64 {
	if m.Part == 0 {
		return m.Seq
	}
	last := max(m.Skip+len(m.Data)-1, 0) / m.Part
	return m.Seq - uint64(last-max(m.Skip+end-1, 0)/m.Part)
}

// First is the number of the segment in which the first message ends.
func (m *Msg) First() uint64 {
	if m.Count == 0 {
		return m.Seq
	}
	_, size, head := wire.FrameHead(m.Data)
	return m.SeqAt(head + size)
}

// Cut takes the first n messages off a batch of more, and returns them.
func (m *Msg) Cut(n int) Msg {
	front := *m
	front.Count, front.Bytes = n, 0
	f := wire.Frames(m.Data)
	for range n {
		_, data, _ := f.Next()
		front.Bytes += len(data)
	}
	end := len(m.Data) - len(f)
	front.Data, front.Seq = m.Data[:end:end], m.SeqAt(end)
	m.Data, m.Count, m.Bytes = f, m.Count-n, m.Bytes-front.Bytes
	if m.Part > 0 {
		m.Skip = (m.Skip + end) % m.Part
	}
	front.single()
	m.single()
	return front
}

// single makes a batch of one message that message.
func (m *Msg) single() {
	if m.Count == 1 {
		f := wire.Frames(m.Data)
		before := len(f)
		m.Kind, m.Data, _ = f.Next()
		m.Count, m.Bytes = 0, 0
		if m.Part > 0 {
			m.Skip = (m.Skip + before - len(m.Data)) % m.Part
		}
	}
}

// Messages is how many messages it stands for.
func (m *Msg) Messages() int { return max(m.Count, 1) }

// Multicast reports whether it is for more than one member by nature.
func (m *Msg) Multicast() bool { return m.To < 0 }

// Datagram is one datagram of this view for the layer that speaks its kind, or of
// those kinds that have segments a run of them: each is the next of the stream, and
// the header that of the first.
type Datagram struct {
	wire.Header
	From netip.AddrPort
	Body []byte // borrowed, in Buf; of all datagrams, one after the other
	Part int    // length of the body of each datagram but the last; 0: there is one
	Buf  *wire.Buf
}

// Last is the number of the last segment.
func (d *Datagram) Last() uint64 {
	if d.Part == 0 {
		return d.Seq
	}
	return d.Seq + uint64(max(len(d.Body)-1, 0)/d.Part)
}

// Layer is one protocol for the life of one view.
type Layer interface {
	// Down takes a message on its way to the wire.
	Down(m *Msg)
	// Up takes a message on its way to the application.
	Up(m *Msg)
	// Event takes what another layer or the group has told.
	Event(e Event)
	// Receive takes a datagram of one of the kinds that the layer's Maker names.
	Receive(d *Datagram)
	// Expire is called when the deadline has come.
	Expire()
}

// Flusher is a layer that has work to do once at the end of each turn, when all
// input that was there has been handled: acknowledge, seal, transmit. Flushers
// run from the top of the stack down.
type Flusher interface{ Flush() }

// Pusher is a layer that can transmit what makes a whole burst before the turn
// ends.
type Pusher interface{ Push() }

// Claimer is a layer that may have to send something before the message for
// which room in the send log is about to be claimed.
type Claimer interface{ Claiming() }

// Writer is a layer that can do without a Msg for a cast on its way down. Where
// it is the highest of those that messages pass, casts go to it so.
type Writer interface {
	Write(kind uint8, head, data []byte)
}

// Answerer is a layer that knows the answers to queries.
type Answerer interface{ Answer(Query) }

// Retirer is a layer that goes on serving after its view has ended. Only the
// kinds of datagrams that it names reach it then.
type Retirer interface{ Retired() []wire.Kind }

// Closer is a layer that holds buffers. Close gives them back.
type Closer interface{ Close() }

// Dumper is a layer that can print its state, for people.
type Dumper interface{ Dump() string }

// Wire is what the lowest layer offers to all others: datagrams to peers.
type Wire interface {
	Layer
	// MultiControl multicasts a control message of this view, to All or Core.
	MultiControl(to int, kind wire.Kind, seq uint64, body []byte)
	// SendControl sends a control message to one member of this view.
	SendControl(to int, kind wire.Kind, seq uint64, body []byte)
	// CastForeign multicasts a control message to members of other views too.
	CastForeign(kind wire.Kind, body []byte)
	// SendForeign sends a control message outside of any view.
	SendForeign(to netip.AddrPort, kind wire.Kind, body []byte)
	// Burst transmits framed segments, all of seg bytes but the last, to a rank,
	// All or Core.
	Burst(to int, b []byte, seg int)
}

// Maker makes a layer for each view and says what it is.
type Maker struct {
	Name  string
	Needs Props       // what must be given below
	Gives Props       // what it gives above
	Kinds []wire.Kind // datagrams that it speaks
	// Answers is the queries that an Answerer answers; of an empty list, all.
	Answers []Query
	// New makes the layer of a view, or returns nil if the view needs none.
	New func(p *Port) Layer
}

// Port is a layer's place in its stack. A layer embeds it; its methods are the
// pass-through defaults of Layer and the ways to reach the others.
type Port struct {
	stack    *Stack
	name     string
	gives    Props
	below    Layer
	above    Layer
	deadline Time
}

// Down passes the message on.
func (p *Port) Down(m *Msg) { p.below.Down(m) }

// Up passes the message on.
func (p *Port) Up(m *Msg) { p.above.Up(m) }

// Event ignores the event.
func (p *Port) Event(Event) {}

// Receive drops a datagram that the layer does not speak.
func (p *Port) Receive(*Datagram) { p.stack.counters.Malformed++ }

// Expire panics: a deadline that nobody serves is a bug.
func (p *Port) Expire() { panic("stack: " + p.name + " set a deadline and does not serve it") }

// PassDown hands a message to the layer below.
func (p *Port) PassDown(m *Msg) { p.below.Down(m) }

// PassUp hands a message to the layer above.
func (p *Port) PassUp(m *Msg) { p.above.Up(m) }

// Tell gives an event to all layers and to the group.
func (p *Port) Tell(e Event) { p.stack.tell(e) }

// Ask gives a query to all layers at once; when it returns, those that know the
// answer have filled it in.
func (p *Port) Ask(q Query) { p.stack.Ask(q) }

// Consumptions counts how often the application has told that it has done with
// messages.
func (p *Port) Consumptions() uint64 { return p.stack.consumptions }

// Now is the time of the current input.
func (p *Port) Now() Time { return p.stack.env.Now() }

// Ltime is the time of a view that this member makes: at least least, and more
// than that of every view that it has made.
func (p *Port) Ltime(least uint64) uint64 { return p.stack.env.Ltime(least) }

// Rand is the group's random source.
func (p *Port) Rand() *rand.Rand { return p.stack.env.Rand() }

// Silence is how long a member may be silent before it is taken for failed. It
// is Config's, or more after false alarms.
func (p *Port) Silence() time.Duration { return p.stack.env.Silence() }

// Pace is when a view change that nothing forces may begin: at once, unless
// views have followed each other fast.
func (p *Port) Pace() Time { return p.stack.env.Pace() }

// View is the view of this stack.
func (p *Port) View() *View { return p.stack.view }

// Me is this member's rank.
func (p *Port) Me() int { return p.stack.view.Rank }

// N is the number of members.
func (p *Port) N() int { return len(p.stack.view.Members) }

// Pool is where buffers come from.
func (p *Port) Pool() *wire.Pool { return p.stack.env.Pool() }

// Log is the send log of this member's multicast stream. Packing writes it,
// flow control opens its window, reliable multicast transmits it.
func (p *Port) Log() *wire.Log { return p.stack.log }

// CoreLog is that of its core stream; nil in a view without a core.
func (p *Port) CoreLog() *wire.Log { return p.stack.core }

// Logs are the send logs that there are: of its multicast stream and, where the
// view has a core, of its core stream. The k-th is that of stream Me + k*N.
func (p *Port) Logs() []*wire.Log { return p.stack.logs }

// Streams is the number of multicast streams in the view: one a member, and in
// a view with a core one more for each. Stream s is member s%N's.
func (p *Port) Streams() int { return p.stack.view.Streams() }

// Hears reports whether a stream comes to this member at all.
func (p *Port) Hears(stream int) bool {
	return stream < p.N() || p.stack.view.InCore(p.stack.view.Rank)
}

// Wire is the lowest layer.
func (p *Port) Wire() Wire { return p.stack.wire }

// Retry is after how long at the least it is repeated what so many members have to
// answer.
func (p *Port) Retry(members int) time.Duration { return p.Config().RetryOf(members) }

// CastControl multicasts a control message of this view.
func (p *Port) CastControl(kind wire.Kind, seq uint64, body []byte) {
	p.stack.wire.MultiControl(All, kind, seq, body)
}

// MultiControl multicasts a control message to All or to the Core.
func (p *Port) MultiControl(to int, kind wire.Kind, seq uint64, body []byte) {
	p.stack.wire.MultiControl(to, kind, seq, body)
}

// SendControl sends a control message to one member.
func (p *Port) SendControl(to int, kind wire.Kind, seq uint64, body []byte) {
	p.stack.wire.SendControl(to, kind, seq, body)
}

// Transmit hands finished datagrams to the driver; for the lowest layer.
func (p *Port) Transmit(to netip.AddrPort, b []byte, seg int) { p.stack.env.Transmit(to, b, seg) }

// Watch asks the driver to tell at once when the process of a member ends, and of no
// other; -1 is nobody. It reports whether the driver could tell so now: its lifeline to
// the member holds. The event Lifeline says when that changes, Suspect what it tells.
func (p *Port) Watch(rank int) (held bool) {
	if rank < 0 {
		return p.stack.env.Watch(netip.AddrPort{})
	}
	return p.stack.env.Watch(p.stack.view.Members[rank].Addr)
}

// Conn is the connection id of this view, and group the one outside views.
func (p *Port) Conn() (view, group uint64) { return p.stack.conn, p.stack.env.GroupConn() }

// Route hands a datagram to the layer that speaks its kind.
func (p *Port) Route(d *Datagram) { p.stack.routeTo(d) }

// Counters are the stack's counters, for layers to add to.
func (p *Port) Counters() *Counters { return p.stack.counters }

// SetDeadline asks for Expire at t; Never takes it back. There is one deadline
// a layer.
func (p *Port) SetDeadline(t Time) { p.deadline = t }

// Deadline is the deadline set.
func (p *Port) Deadline() Time { return p.deadline }

// Broken reports a contradiction of this member's own state: a bug, not input.
func (p *Port) Broken(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	panic(fmt.Sprintf("stack: %s in view %v: %s", p.name, p.stack.view.ID, what))
}
