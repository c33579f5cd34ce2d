package stack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"maestro/wire"
)

// Errors of a group's downcalls.
var (
	ErrNotJoined  = errors.New("stack: not a member of the group")
	ErrJoined     = errors.New("stack: already a member of the group")
	ErrBlocked    = errors.New("stack: blocked by a view change")
	ErrWouldBlock = errors.New("stack: send buffer full")
	ErrTooLarge   = errors.New("stack: message too large")
	ErrNotMember  = errors.New("stack: not a member of the view")
	ErrClosed     = errors.New("stack: closed")
	// ErrReplaced is what a member exits with when another process has joined
	// under its name since it was started.
	ErrReplaced = errors.New("stack: replaced by a later life of the same name")
)

// App is the application above a group. Its methods are called from within the
// group's own: they take note, and call back into the group later.
type App interface {
	Hooks
	// Deliver hands over a message of the current view. Epoch, m.From and m.Seq
	// are for Consumed, which must be called once the message has been dealt
	// with; until then its sender's window stays narrowed by it.
	Deliver(epoch uint64, m *Msg)
	// Stop asks the application to stop sending. It answers by Stopped.
	Stop()
	// View tells that a view has been installed; messages delivered from now on
	// are messages of that view, and sending is possible.
	View(epoch uint64, v *View)
	// Exit is the last call: the member is out. err is nil after Leave.
	Exit(err error)
	// Writable tells that a send that would have blocked may be tried again.
	Writable()
	// Note is a line for people.
	Note(text string)
}

// Driver is what a group needs of the world around it.
type Driver interface {
	// Transmit sends datagrams, each of seg bytes but the last, to one address,
	// or to the whole group if to is the zero value. The bytes are borrowed.
	Transmit(to netip.AddrPort, b []byte, seg int)
	// Watch asks to be told at once when the process at an address ends, by
	// Group.Unreachable, and of no other; the zero value is nobody. It reports whether
	// it can be told so now; Group.Lifeline tells when that changes.
	Watch(addr netip.AddrPort) (held bool)
}

// Group is one member of one group, across views: a deterministic state
// machine. A driver calls Advance with the time, then any of the other methods,
// then EndTurn, all from one place at a time.
type Group struct {
	cfg    Config
	conn   uint64
	driver Driver
	app    App
	pool   *wire.Pool
	rand   *rand.Rand
	now    Time
	ltime  uint64 // of the last view made here
	epoch  uint64 // counts installed stacks
	cur    *Stack
	ended  []ended
	stash  []stashed

	state    state
	stopping bool // between Stop and the next view
	stopped  bool // the application has stopped
	stopAt   Time
	install  *Install
	counters Counters
	msg      Msg // going down; as is the next
	claimed  Msg
	room     Room
	waiting  []int                   // destinations for which a send would have blocked
	in       Datagram                // what is being received
	heads    []byte                  // the headers of a run of datagrams
	pushed   uint64                  // last segment there was at the last Push
	sends    bool                    // something was sent to one member since
	more     bool                    // the caller is about to send more
	allowed  int                     // bytes that may be cast without another look
	noticed  map[netip.AddrPort]Time // when a stranger was last answered
	patience patience
	viewAt   [2]Time       // of the last views
	viewTook time.Duration // the last change, from Stop on
}

type state int

const (
	idle state = iota
	joined
	leaving
	out
)

// ended is a view that is over: its stack still serves repairs.
type ended struct {
	stack    *Stack
	decision []byte
	next     *wire.Decision
	until    Time
}

// stashed is a datagram of a view that may be about to be installed.
type stashed struct {
	d Datagram
}

const (
	maxStash = 256
	maxEnded = 4
)

// NewGroup makes a member that has not joined yet. The random source is the
// group's own from then on.
func NewGroup(cfg Config, driver Driver, app App, pool *wire.Pool, rnd *rand.Rand) (*Group, error) {
	if err := cfg.Fill(); err != nil {
		return nil, err
	}
	g := &Group{cfg: cfg, driver: driver, app: app, pool: pool, rand: rnd,
		noticed: map[netip.AddrPort]Time{}, viewAt: [2]Time{-Never, -Never}}
	g.conn = wire.ConnID(cfg.Group, cfg.KeyEpoch, wire.ViewID{}, cfg.StackName)
	return g, nil
}

// Now, Rand, Pool, Config, Silence, GroupConn, Hooks and Counters make a Group the Env
// of its stacks.

// Now is the time of the current input.
func (g *Group) Now() Time { return g.now }

// Rand is the group's random source.
func (g *Group) Rand() *rand.Rand { return g.rand }

// Pool is where buffers come from.
func (g *Group) Pool() *wire.Pool { return g.pool }

// Config is the configuration with its defaults filled in.
func (g *Group) Config() *Config { return &g.cfg }

// Silence is how long a member may be silent before it is taken for failed.
func (g *Group) Silence() time.Duration { return g.patience.silence(g.now, g.cfg.Silence) }

// Pace is when a view change that nothing forces may begin.
func (g *Group) Pace() Time {
	d := min(max(pace, 4*g.viewTook), maxPace)
	if g.viewAt[1] < g.now.Add(-2*d) {
		return 0
	}
	return g.viewAt[0].Add(d)
}

// How far apart views should be that nothing forces, once there have been two: many
// members who join one after the other share them. They are so far apart that changes
// take a fifth of the time at most, where there are more members than can be served.
const (
	pace    = 10 * time.Millisecond
	maxPace = 200 * time.Millisecond
)

// GroupConn is the connection id of datagrams that belong to no view.
func (g *Group) GroupConn() uint64 { return g.conn }

// Hooks are the application's.
func (g *Group) Hooks() Hooks { return g.app }

// Counters are the group's counters, its own; copy them to keep them.
func (g *Group) Counters() *Counters { return &g.counters }

// Ltime gives out times of views made here, each later than the last.
func (g *Group) Ltime(least uint64) uint64 {
	g.ltime = max(g.ltime+1, least)
	return g.ltime
}

// Transmit sends datagrams and counts them.
func (g *Group) Transmit(to netip.AddrPort, b []byte, seg int) {
	k := wire.Kind(b[2]) % wire.KindCount
	g.counters.PacketsOut[k] += uint64((len(b) + seg - 1) / seg)
	g.counters.BytesOut[k] += uint64(len(b))
	g.driver.Transmit(to, b, seg)
}

// Watch is the driver's.
func (g *Group) Watch(addr netip.AddrPort) bool { return g.driver.Watch(addr) }

// Deliver passes a message to the application.
func (g *Group) Deliver(s *Stack, m *Msg) {
	if s != g.cur || s.retired {
		return
	}
	if m.Count > 0 {
		g.counters.MessagesIn += uint64(m.Count)
		g.counters.MessageBytesIn += uint64(m.Bytes)
	} else {
		g.counters.MessagesIn++
		g.counters.MessageBytesIn += uint64(len(m.Data))
	}
	g.app.Deliver(g.epoch, m)
}

// Told handles what concerns the group of what layers tell each other.
func (g *Group) Told(s *Stack, e Event) {
	if s != g.cur {
		return
	}
	switch e := e.(type) {
	case Stop:
		g.stopping, g.stopAt = true, g.now
		if s.view.Private {
			g.Stopped()
			return
		}
		g.app.Stop()
	case Closing:
		g.stopped, g.allowed = true, 0 // also if the application never answered
	case Install:
		g.install = &e
	case Replaced:
		g.exit(fmt.Errorf("%w: %v", ErrReplaced, e.By))
	case Left:
		g.install = nil
		g.retire(e.Decision, e.Raw)
		g.exit(nil)
	case Note:
		g.app.Note(e.Text)
	}
}

// Join begins to look for the group. The first View tells that it was found or
// founded.
func (g *Group) Join() error {
	if g.state != idle {
		return ErrJoined
	}
	g.state = joined
	self := wire.Member{ID: g.cfg.Self, Addr: g.cfg.Addr, RecvBuf: uint32(g.cfg.RecvBuf),
		Attr: g.app.Attr()}
	v := &View{Group: g.cfg.Group, Private: true, Together: []bool{true},
		View: wire.View{ID: wire.ViewID{Coord: g.cfg.Self}, Members: []wire.Member{self}}}
	g.cur = New(g, v, g.cfg.Layers)
	g.settle()
	return nil
}

// Leave begins to leave the group; Exit tells that it is done.
func (g *Group) Leave() error {
	if g.state != joined {
		return ErrNotJoined
	}
	g.state = leaving
	if g.cur.view.Private {
		g.exit(nil)
		return nil
	}
	g.cur.Tell(Leave{})
	g.settle()
	return nil
}

// Leaving reports whether Leave has been called.
func (g *Group) Leaving() bool { return g.state == leaving }

func (g *Group) exit(err error) {
	if g.state == out {
		return
	}
	g.state, g.allowed = out, 0
	g.cur.Retire()
	g.app.Exit(err)
}

// Changing reports whether a view change is under way.
func (g *Group) Changing() bool { return g.stopping }

// Out reports whether the member is out of the group for good.
func (g *Group) Out() bool { return g.state == out }

// Settled reports whether everybody who has to has heard of the views that this
// member decided. A member that is out should stay until then.
func (g *Group) Settled() bool {
	var q Unheard
	for i := range g.ended {
		g.ended[i].stack.Ask(&q)
	}
	return !q.Any
}

// Close gives back all buffers. The group is of no use afterwards.
func (g *Group) Close() {
	g.state, g.allowed = out, 0
	for _, e := range g.ended {
		e.stack.Close()
	}
	g.ended = nil
	g.dropStash()
	if g.cur != nil {
		g.cur.Close()
	}
}

// View is the current view, nil before Join.
func (g *Group) View() *View {
	if g.cur == nil {
		return nil
	}
	return g.cur.view
}

// Epoch counts installed views.
func (g *Group) Epoch() uint64 { return g.epoch }

// Advance sets the time and serves the deadlines that have come. Times must
// not decrease.
func (g *Group) Advance(now Time) {
	g.now, g.allowed = max(now, g.now), 0
	for i := 0; i < len(g.ended); {
		if e := &g.ended[i]; e.until <= g.now {
			e.stack.Close()
			g.ended = append(g.ended[:i], g.ended[i+1:]...)
			continue
		}
		g.ended[i].stack.Expire()
		i++
	}
	if g.cur != nil && g.state != out {
		g.cur.Expire()
		g.settle()
	}
}

// EndTurn sends what the turn has gathered.
func (g *Group) EndTurn() {
	more := g.TakeMore()
	if g.cur != nil && g.state != out && !g.cur.log.Claimed() {
		g.cur.more = more
		g.cur.EndTurn()
		g.settle()
		g.writable()
	}
}

// Next is when Advance must be called at the latest.
func (g *Group) Next() Time {
	next := Never
	if g.cur != nil && g.state != out {
		next = g.cur.Next()
	}
	for i := range g.ended {
		next = min(next, g.ended[i].until, g.ended[i].stack.Next())
	}
	return next
}

// Dump prints the state of the group and its layers.
func (g *Group) Dump() string {
	if g.cur == nil {
		return "not joined\n"
	}
	return g.cur.Dump()
}
