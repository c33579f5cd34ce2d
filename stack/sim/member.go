package sim

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// Member is one life of one member.
type Member struct {
	Name  string
	Self  wire.Endpoint
	Addr  netip.AddrPort
	Group *stack.Group
	App   stack.Runner
	Pool  *wire.Pool

	// Cost is the time that its turns take, Callback that of each run of the
	// application's callbacks: a slow application. Both may be changed.
	Cost     Cost
	Callback time.Duration
	// Skew and Drift make its clock differ: an offset, and parts per million.
	Skew  time.Duration
	Drift int64
	// Overflow counts receives that found the receive queue full.
	Overflow uint64
	// OnTransmit, if set, is called before each transmission.
	OnTransmit func(to netip.AddrPort, b []byte, seg int)

	world   *World
	host    *host
	timed   timed // the application, if it is so
	rand    *rand.Rand
	recvBuf int
	inbox   []arrival
	inputs  []func(*stack.Group)
	life    *lifeline // to the member that it watches
	arena   *wire.Buf
	fill    int
	pkt     wire.Packet

	inTurn  bool
	appBusy bool          // callbacks have been taken and not yet run
	paused  bool          // stopped, as by SIGSTOP
	dying   bool          // crashes at the end of this call
	ended   bool          // crashed, left and closed, or closed
	spent   time.Duration // cost of the current turn so far
	busy    stack.Time    // until when the last turn takes
	wakeAt  stack.Time    // when the earliest pending wake event comes
	due     stack.Time    // when a turn is wanted
	doom    int           // transmissions until the crash, 0 for none
	after   bool          // crash after and not before the last of them
}

// arrival is a receive that waits in the socket's queue.
type arrival struct {
	flight   *flight
	off, end int32
}

// A Closer is an application that holds buffers until it is closed.
type Closer interface{ Close() }

// An Attacher is an application that wants to know its member before it joins.
type Attacher interface{ Attach(m *Member) }

// timed is an application with deadlines of its own: when Next has come, which
// may be 0 for now, Expire is called between inputs, whether or not callbacks
// take their time.
type timed interface {
	Next() stack.Time
	Expire(now stack.Time)
}

// Add starts a member under a name, on a host of that name. What cfg leaves
// open of Group, Self and Addr is filled in; a name that was there before gets
// a fresh incarnation. The member joins by Join.
func (w *World) Add(name string, cfg stack.Config, app stack.Runner) (*Member, error) {
	h := w.host(name)
	if h.member != nil {
		h.member.end("replaced")
	}
	w.births++
	if cfg.Group == "" {
		cfg.Group = "sim"
	}
	if cfg.Self.Name == "" {
		h.lastInc += 1 + w.rand.Uint64N(1<<16)
		cfg.Self = wire.Endpoint{Name: name, Incarnation: h.lastInc}
	}
	if !cfg.Addr.IsValid() {
		cfg.Addr = h.addr
	}
	if !cfg.Core.IsValid() && !w.opts.CopyCore {
		cfg.Core = CoreAddr()
	}
	m := &Member{Name: name, Self: cfg.Self, Addr: cfg.Addr, App: app, Cost: w.opts.Cost,
		Pool: &wire.Pool{Poison: true}, world: w, host: h, wakeAt: stack.Never, due: stack.Never,
		rand: rand.New(rand.NewPCG(w.seed, w.births))}
	m.timed, _ = app.(timed)
	g, err := stack.NewGroup(cfg, m, app, m.Pool, rand.New(rand.NewPCG(w.seed, ^w.births)))
	if err != nil {
		return nil, err
	}
	m.Group = g
	m.recvBuf = g.Config().RecvBuf
	h.member, h.down = m, false
	h.queues = [2]int{}
	w.members = append(w.members, m)
	if a, ok := app.(Attacher); ok {
		a.Attach(m)
	}
	return m, nil
}

// World is where the member lives.
func (m *Member) World() *World { return m.world }

// Rand is a random source of the member's own.
func (m *Member) Rand() *rand.Rand { return m.rand }

// Live reports whether the member's process runs.
func (m *Member) Live() bool { return !m.ended }

// Paused reports whether the member is stopped for the time being.
func (m *Member) Paused() bool { return m.paused }

// Join has the member look for its group.
func (m *Member) Join() {
	m.Do(func(g *stack.Group) {
		m.world.trace(m, "join")
		_ = g.Join()
	})
}

// Leave has the member leave.
func (m *Member) Leave() {
	m.Do(func(g *stack.Group) {
		m.world.trace(m, "leave")
		_ = g.Leave()
	})
}

// Do runs fn with the group in a turn: at once if the member is not busy or
// paused, else when it is not any more. Applications call it from Run, not from
// the group's own calls.
func (m *Member) Do(fn func(g *stack.Group)) {
	switch {
	case m.ended || m.dying:
	case m.inTurn:
		fn(m.Group)
	case !m.able():
		m.inputs = append(m.inputs, fn)
		m.ready()
	default:
		m.inputs = append(m.inputs, fn)
		m.turn()
	}
}

// able reports whether a turn can begin now.
func (m *Member) able() bool {
	_, free := m.world.processor()
	return !m.paused && max(m.busy, free) <= m.world.now
}

// clock is the member's time.
func (m *Member) clock(t stack.Time) stack.Time {
	return t.Add(m.Skew) + t*stack.Time(m.Drift)/1_000_000
}

// unclock is the world's time at which the member's clock has come to t.
func (m *Member) unclock(t stack.Time) stack.Time {
	if t == stack.Never || m.Skew == 0 && m.Drift == 0 {
		return t
	}
	u := t.Add(-m.Skew)
	u -= u / 1_000_000 * stack.Time(m.Drift)
	for m.clock(u) < t {
		u += max(1, t-m.clock(u))
	}
	return u
}

// ready asks for a turn as soon as possible.
func (m *Member) ready() { m.wantTurn(max(m.world.now, m.busy)) }

// wantTurn asks for a turn at a time. There is one wake event under way that
// comes not later; one that comes too early finds that and asks again.
func (m *Member) wantTurn(t stack.Time) {
	if t >= m.due || m.paused || m.ended {
		return
	}
	m.due = t
	m.arm()
}

func (m *Member) arm() {
	if m.due < m.wakeAt {
		m.wakeAt = m.due
		m.world.agenda.push(event{at: m.due, what: wake, member: m})
	}
}

// woken handles a wake event.
func (m *Member) woken(at stack.Time) {
	if at != m.wakeAt {
		return // a later event: an earlier one took its place
	}
	m.wakeAt = stack.Never
	if m.ended || m.paused {
		return
	}
	m.due = max(m.due, m.busy)
	if _, free := m.world.processor(); m.due <= at {
		m.due = max(m.due, free)
	}
	if m.due > at {
		if m.due != stack.Never {
			m.arm()
		}
		return
	}
	m.turn()
}

// turn is one turn of the member.
func (m *Member) turn() {
	w := m.world
	w.stats.Turns++
	m.inTurn, m.due, w.running = true, stack.Never, m
	m.spent = m.Cost.Turn
	g := m.Group
	now := m.clock(w.now)
	g.Advance(now)
	if m.timed != nil && m.timed.Next() <= now {
		m.timed.Expire(now)
	}
	m.receive()
	for len(m.inputs) > 0 && !m.dying {
		fn := m.inputs[0]
		m.inputs = m.inputs[1:]
		fn(g)
	}
	m.callbacks()
	if !m.dying {
		g.EndTurn()
	}
	m.inTurn, w.running = false, nil
	if m.dying {
		m.end("crash")
		return
	}
	m.sleep(g)
}

// maxRuns is how often callbacks are run in one turn; an application that
// answers each delivery by a message goes on in the next.
const maxRuns = 4

// callbacks runs the application, unless it is slow.
func (m *Member) callbacks() {
	if m.Callback > 0 || m.appBusy {
		return
	}
	for range maxRuns {
		if m.dying || !m.App.Take() {
			return
		}
		m.App.Run()
		if m.dying {
			return
		}
		m.App.Done()
	}
}

// sleep finds out when the next turn is wanted.
func (m *Member) sleep(g *stack.Group) {
	w := m.world
	m.busy = w.now.Add(m.spent)
	if p, _ := w.processor(); p != nil {
		*p = m.busy
	}
	if w.opts.Bandwidth > 0 {
		full := m.host.nicOut.Add(-w.wireTime(w.opts.SendQueue))
		m.busy = max(m.busy, full)
	}
	if !m.appBusy && m.App.Take() {
		m.appBusy = true
		w.After(max(m.Callback, time.Microsecond), m.runLater)
	}
	if len(m.inbox) > 0 || len(m.inputs) > 0 {
		m.ready()
	}
	next := g.Next()
	if m.timed != nil {
		next = min(next, m.timed.Next())
	}
	if next != stack.Never {
		m.wantTurn(max(m.unclock(next), w.now, m.busy))
	} else if g.Out() && !m.appBusy && len(m.inputs) == 0 {
		m.end("out")
	}
}

// runLater runs callbacks that were taken earlier.
func (m *Member) runLater() {
	if m.ended {
		return
	}
	m.Do(func(*stack.Group) {
		m.App.Run()
		if !m.dying {
			m.App.Done()
		}
		m.appBusy = false
	})
}

// receive hands over what waits in the receive queue.
func (m *Member) receive() {
	w := m.world
	for i := 0; i < len(m.inbox) && !m.dying; i++ {
		a := m.inbox[i]
		m.inbox[i] = arrival{}
		m.take(&a)
		w.land(a.flight)
	}
	m.inbox = m.inbox[:0]
	m.host.queues = [2]int{}
	if w.opts.Buffers == PerTurn {
		m.dropArena()
	}
}

// take receives one arrival.
func (m *Member) take(a *arrival) {
	w := m.world
	n := int(a.end - a.off)
	m.spent += m.Cost.Receive + m.Cost.KByte*time.Duration(n)/1024
	if m.arena != nil && (w.opts.Buffers == PerPacket || m.fill+n > wire.BufSize) {
		m.dropArena()
	}
	if m.arena == nil {
		m.arena, m.fill = m.Pool.Get(), 0
	}
	f := a.flight
	b := m.arena.B[m.fill : m.fill+n]
	copy(b, f.data[a.off:a.end])
	m.fill += n
	w.stats.Arrived += uint64((n + f.seg - 1) / f.seg)
	w.traceIn(m, f, b)
	m.pkt = wire.Packet{From: f.src.Addr, Buf: m.arena, Data: b, Seg: f.seg}
	m.Group.Receive(&m.pkt)
}

func (m *Member) dropArena() {
	if m.arena != nil {
		m.arena.Drop()
		m.arena = nil
	}
}

// Transmit makes a Member the driver of its group.
func (m *Member) Transmit(to netip.AddrPort, b []byte, seg int) {
	if m.dying || m.ended {
		return
	}
	if m.OnTransmit != nil {
		m.OnTransmit(to, b, seg)
		if m.dying {
			return
		}
	}
	if m.doom > 0 {
		m.doom--
		if m.doom == 0 {
			m.dying = true
			if !m.after {
				return
			}
		}
	}
	m.spent += m.Cost.Transmit + m.Cost.KByte*time.Duration(len(b))/1024
	m.world.traceOut(m, to, b, seg)
	m.world.transmit(m, to, b, seg)
}
