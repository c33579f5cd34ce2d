package stack

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"maestro/wire"
)

// Env is what a stack stands on: the group, or a test.
type Env interface {
	Now() Time
	Rand() *rand.Rand
	Pool() *wire.Pool
	Config() *Config
	GroupConn() uint64
	// Silence is how long a member may be silent: Config's, or more after false
	// alarms.
	Silence() time.Duration
	Transmit(to netip.AddrPort, b []byte, seg int)
	// Watch is Driver.Watch.
	Watch(addr netip.AddrPort) bool
	Deliver(s *Stack, m *Msg)
	Told(s *Stack, e Event) // every event, after the layers have seen it
	Hooks() Hooks
	Counters() *Counters
	// Pace is when a view change that nothing forces may begin.
	Pace() Time
	// Ltime gives out times of views, each later than the last.
	Ltime(least uint64) uint64
}

// Hooks is what the membership layers ask the owner of the group.
type Hooks interface {
	// Attr is what this member says of itself to those who compose the next view,
	// at most wire.MaxAttr bytes.
	Attr() []byte
	// Exchange tells whether this member wants state messages exchanged before
	// the next view is used.
	Exchange() bool
	// Weight tells how much this view weighs in a merge: the larger one, by
	// bytes.Compare, leads.
	Weight() []byte
	// Compose completes, at the coordinator, the view that follows.
	Compose(p *Proposal)
	// Core is, by rank, the core of a view, to which multicasts can be restricted;
	// nil: everybody. It must follow from what all members of the view agree on.
	Core(v *View) Set
}

// Proposal is a view in the making, for Hooks.Compose.
type Proposal struct {
	// Parties are the views that end, this member's own first, each with those
	// of its members that go on, in rank order, with their fresh attributes.
	Parties []ProposalParty
	// Next has its id and members; Compose may set Primary and Extra, and the
	// members' attributes.
	Next *wire.View
}

// ProposalParty is one view that ends in a new one.
type ProposalParty struct {
	View    wire.ViewID
	Private bool
	Extra   []byte
	Members []wire.Member
	// Begun says that something which the coordinator has cast is among what the
	// members deliver before they leave the view.
	Begun bool
}

// Stack is one view's layers.
type Stack struct {
	env      Env
	view     *View
	conn     uint64
	log      *wire.Log   // of casts
	core     *wire.Log   // of core casts, if the view has a core
	logs     []*wire.Log // those that there are
	counters *Counters

	layers   []Layer // from the bottom up
	ports    []*Port
	flushers []Flusher // from the top down

	answerers [topics][]Answerer
	pushers   []Pusher

	wire   Wire
	top    Layer
	writer Writer // top, if it is one
	route  [wire.KindCount]Layer

	// What the application was given and has taken, by StreamOf.
	given, taken []uint64
	msg          Msg // one of a batch
	consumptions uint64

	events   []Event
	settling bool
	again    bool
	more     bool // casts are to follow this turn at once
	retired  bool
	closed   bool
}

// New stacks fresh layers for a view, from the bottom up; the lowest one must
// be a Wire. Data passes the layers up to the last one that Gives one of Messages,
// Fifo, Total, Local or NoLocal; those above only see events.
func New(env Env, view *View, makers []Maker) *Stack {
	cfg := env.Config()
	s := &Stack{env: env, view: view, counters: env.Counters()}
	s.conn = wire.ConnID(view.Group, cfg.KeyEpoch, view.ID, cfg.StackName)
	hdr := wire.Header{Kind: wire.KindCast, Sender: uint16(view.Rank), Conn: s.conn}
	s.log = wire.NewLog(env.Pool(), hdr, cfg.Segment)
	s.logs = []*wire.Log{s.log}
	if view.Core != nil {
		hdr.Kind = wire.KindCore
		s.core = wire.NewLog(env.Pool(), hdr, cfg.Segment)
		s.logs = append(s.logs, s.core)
	}
	n := len(view.Members)
	s.given, s.taken = make([]uint64, 3*n), make([]uint64, 3*n)
	for _, m := range makers {
		p := &Port{stack: s, name: m.Name, gives: m.Gives, deadline: Never}
		l := m.New(p)
		if l == nil {
			continue // not needed in this view
		}
		s.ports = append(s.ports, p)
		s.layers = append(s.layers, l)
		for _, k := range m.Kinds {
			s.route[k] = l
		}
		if f, ok := l.(Flusher); ok {
			s.flushers = append(s.flushers, f)
		}
		if a, ok := l.(Answerer); ok {
			s.answers(a, m.Answers)
		}
		if p, ok := l.(Pusher); ok {
			s.pushers = append(s.pushers, p)
		}
	}
	slices.Reverse(s.flushers)
	s.wire = s.layers[0].(Wire)
	s.connect()
	s.settle()
	return s
}

// View is the view that the stack was made for.
func (s *Stack) View() *View { return s.view }

// Conn is the view's connection id.
func (s *Stack) Conn() uint64 { return s.conn }

// Log is the send log of the multicast stream.
func (s *Stack) Log() *wire.Log { return s.log }

// CoreLog is that of the core stream, nil in a view without a core.
func (s *Stack) CoreLog() *wire.Log { return s.core }

// pending reports whether anything waits to be transmitted.
func (s *Stack) pending() bool {
	return s.log.Pending() || s.core != nil && s.core.Pending()
}

// whole reports whether a whole burst is ready to be transmitted.
func (s *Stack) whole() bool { return s.log.Whole() || s.core != nil && s.core.Whole() }

// last counts the segments that have been sealed.
func (s *Stack) last() uint64 {
	n := s.log.Last()
	if s.core != nil {
		n += s.core.Last()
	}
	return n
}

// Down takes a message of the application.
func (s *Stack) Down(m *Msg) { s.top.Down(m) }

// Receive takes a datagram of this view.
func (s *Stack) Receive(d *Datagram) {
	s.wire.Receive(d)
	s.settle()
}

// Foreign takes a datagram that belongs to no view.
func (s *Stack) Foreign(d *Datagram) {
	s.routeTo(d)
	s.settle()
}

func (s *Stack) routeTo(d *Datagram) {
	l := s.route[d.Kind]
	if l == nil {
		s.counters.Malformed++
		return
	}
	if s.retired {
		if r, ok := l.(Retirer); !ok || !slices.Contains(r.Retired(), d.Kind) {
			return
		}
	}
	l.Receive(d)
}

// Tell gives an event to all layers, and handles what follows from it.
func (s *Stack) Tell(e Event) {
	s.tell(e)
	s.settle()
}

func (s *Stack) tell(e Event) {
	if !s.retired {
		s.events = append(s.events, e)
	}
}

// Ask gives a query to all layers that may know.
func (s *Stack) Ask(q Query) {
	if h, ok := q.(*Holding); ok {
		s.hold(h)
	}
	for _, a := range s.answerers[q.query()] {
		a.Answer(q)
	}
}

// settle delivers the events that have been told, until none are left.
func (s *Stack) settle() {
	if s.settling {
		return
	}
	s.settling = true
	for i := 0; i < len(s.events); i++ {
		e := s.events[i]
		for _, l := range s.layers {
			l.Event(e)
		}
		s.env.Told(s, e)
	}
	s.events = s.events[:0]
	s.settling = false
}

// Expire wakes the layers whose deadlines have come.
func (s *Stack) Expire() {
	now := s.env.Now()
	for i, p := range s.ports {
		if p.deadline > now {
			continue
		}
		p.deadline = Never
		if s.retired {
			if _, ok := s.layers[i].(Retirer); !ok {
				continue
			}
		}
		s.layers[i].Expire()
		if p.deadline <= now {
			p.Broken("deadline %d is not after %d", p.deadline, now)
		}
		s.settle()
	}
}

// Next is the earliest deadline.
func (s *Stack) Next() Time {
	next := Never
	for _, p := range s.ports {
		next = min(next, p.deadline)
	}
	return next
}

// maxPasses bounds how often the flushers run in one turn.
const maxPasses = 4

// EndTurn lets the flushers run until none has set off another.
func (s *Stack) EndTurn() {
	for range maxPasses {
		s.again = false
		for _, f := range s.flushers {
			f.Flush()
		}
		s.settle()
		if !s.again {
			return
		}
	}
}

// Push lets what makes a whole burst leave before the turn ends.
func (s *Stack) Push() {
	for _, p := range s.pushers {
		p.Push()
	}
	s.settle()
}

// More reports whether more casts are to follow this turn at once: what makes no whole
// burst yet may wait for them.
func (p *Port) More() bool { return p.stack.more }

// Wide reports whether a window of so many segments lasts for many bursts: then receivers
// may be told that more follows (wire.FlagMore).
func (p *Port) Wide(window uint64) bool {
	return window*uint64(p.Config().Segment) >= wideWindow
}

const wideWindow = 2 << 20 // bytes

// Again asks for one more run of the flushers in this turn.
func (p *Port) Again() { p.stack.again = true }

// Retire ends the stack's view: from now on it only serves those who have not
// left it yet.
func (s *Stack) Retire() {
	s.retired = true
	s.events = s.events[:0]
}

// Close gives back all buffers.
func (s *Stack) Close() {
	if s.closed {
		return
	}
	s.closed, s.retired = true, true
	for _, l := range s.layers {
		if c, ok := l.(Closer); ok {
			c.Close()
		}
	}
	for _, l := range s.logs {
		l.Close()
	}
}

// Dump prints the state of all layers that can print theirs.
func (s *Stack) Dump() string {
	var b strings.Builder
	fmt.Fprintf(&b, "view %v rank %d conn %016x\n", s.view, s.view.Rank, s.conn)
	for i, l := range s.layers {
		if d, ok := l.(Dumper); ok {
			fmt.Fprintf(&b, "%-8s %s\n", s.ports[i].name, d.Dump())
		}
	}
	return b.String()
}

// Hooks are the owner's hooks.
func (p *Port) Hooks() Hooks { return p.stack.env.Hooks() }

// Config is the group's configuration.
func (p *Port) Config() *Config { return p.stack.env.Config() }
