// Package node drives a group over real sockets: one event loop a member, which
// owns the sockets and the clock.
//
// The state machine is behind one mutex, so that downcalls of any goroutine run
// in it directly, without a queue. The loop's goroutine holds it for a turn,
// runs the application's callbacks without it, and sleeps in the kernel until a
// datagram, a deadline or a downcall. A callback that takes longer than
// Config.Patience does not hold up the protocol: a stand-in goroutine runs the
// turns until it returns, and flow control keeps what piles up bounded.
package node

import (
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"maestro/stack"
	"maestro/wire"
	"maestro/wire/udp"
)

// ErrBroken is what a member exits with when it has found a contradiction in
// its own state: a bug of this system. The process lives on.
var ErrBroken = errors.New("node: internal error")

// Transport is the sockets of a member, as *udp.Conn has them. Only Wake may be
// called from other goroutines than the one that holds the node's lock.
type Transport interface {
	Local() netip.AddrPort
	MTU() int
	RecvBuf() int
	Describe() string
	Wait(d time.Duration) error
	Wake()
	Receive(pkts []wire.Packet) (int, error)
	Send(to netip.AddrPort, b []byte, seg int) error
	Flush() error
	Unreachable() (netip.AddrPort, bool)
	Watch(addr netip.AddrPort) (held bool)
	Lifeline() (addr netip.AddrPort, held, news bool)
	SetMembers(addrs []netip.AddrPort)
	// Core is the multicast address of the views' core, zero if there is none, and
	// SetCore joins or leaves it.
	Core() netip.AddrPort
	SetCore(in bool) error
	Stats() udp.Stats
	Close() error
}

// Config is what a node is set up with.
type Config struct {
	// Stack is the group's configuration. Self.Incarnation, Addr, Segment and
	// RecvBuf are filled in from the clock and the sockets where they are zero.
	Stack stack.Config
	// UDP says which sockets to open, unless Transport is given.
	UDP       udp.Config
	Transport func(pool *wire.Pool) (Transport, error)
	// Spin is how long the loop polls the sockets before it sleeps; negative
	// polls for ever. Default 0: it sleeps at once.
	Spin time.Duration
	// Patience is how long callbacks may run before a stand-in serves the
	// protocol. Default 2 ms.
	Patience time.Duration
	// Log gets what is worth a line; nil is silent.
	Log *slog.Logger
}

// maxSegment is the default limit of a segment: what fits an Ethernet frame,
// also where the interface would take more, since all members must agree.
const maxSegment = 1472

const defaultPatience = 2 * time.Millisecond

// Timed is an App that has deadlines of its own.
type Timed interface {
	// Next is when Expire must be called at the latest.
	Next() stack.Time
	// Expire serves what is due.
	Expire(now stack.Time)
}

// Node is one running member.
type Node struct {
	mu       sync.Mutex
	cfg      Config
	log      *slog.Logger
	group    *stack.Group
	app      stack.Runner
	timed    Timed
	conn     Transport
	pool     *wire.Pool
	start    time.Time
	pkts     []wire.Packet
	epoch    uint64
	departed stack.Time // of the last downcall
	stream   bool       // downcalls come in a stream

	more   bool                           // callbacks may be waiting
	feed   func(g *stack.Group) (on bool) // as set by Feed, nil when it has ended
	fed    bool                           // feed has cast, and may have more
	bulk   bool                           // what came last says that more follows at once
	asleep bool                           // somebody waits in conn.Wait, or is about to

	used    bool // Do has been called: the application is there
	closing bool
	failed  bool
	ended   chan struct{}

	running  bool       // callbacks run
	ranAt    stack.Time // since when
	standing bool       // the stand-in is at work
	relieved *sync.Cond // the stand-in has ended
	patience *time.Timer
	watched  bool // patience is set

	stats Stats
}

// Stats counts what the loop has done.
type Stats struct {
	Turns    uint64
	StandIns uint64        // times that callbacks took longer than Patience
	MaxTurn  time.Duration // longest turn, callbacks excluded
}

// Start opens the sockets and starts the loop. The member joins by a downcall:
// Do(func(g) { g.Join() }).
func Start(cfg Config, app stack.Runner) (*Node, error) {
	n := &Node{cfg: cfg, app: app, log: cfg.Log, pool: &wire.Pool{}, start: time.Now(),
		pkts: make([]wire.Packet, 64), ended: make(chan struct{})}
	n.relieved = sync.NewCond(&n.mu)
	n.timed, _ = app.(Timed)
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if n.cfg.Patience == 0 {
		n.cfg.Patience = defaultPatience
	}
	if err := n.open(); err != nil {
		return nil, err
	}
	n.patience = time.AfterFunc(time.Hour, n.standIn)
	n.patience.Stop()
	go n.loop()
	return n, nil
}

func (n *Node) open() error {
	open := n.cfg.Transport
	if open == nil {
		open = func(p *wire.Pool) (Transport, error) { return udp.Open(n.cfg.UDP, p) }
	}
	conn, err := open(n.pool)
	if err != nil {
		return err
	}
	n.conn = conn
	sc := n.cfg.Stack
	if sc.Self.Incarnation == 0 {
		sc.Self.Incarnation = uint64(time.Now().UnixNano())
	}
	if !sc.Addr.IsValid() {
		sc.Addr = conn.Local()
	}
	if !sc.Core.IsValid() {
		sc.Core = conn.Core()
	}
	if sc.Segment == 0 {
		sc.Segment = min(conn.MTU(), maxSegment)
	}
	if sc.RecvBuf == 0 {
		sc.RecvBuf = conn.RecvBuf()
	}
	var seed [16]byte
	crand.Read(seed[:])
	le := binary.LittleEndian
	rnd := rand.New(rand.NewPCG(le.Uint64(seed[:]), le.Uint64(seed[8:])))
	n.group, err = stack.NewGroup(sc, (*driver)(n), n.app, n.pool, rnd)
	if err != nil {
		conn.Close()
		return err
	}
	n.log.Info("sockets open", "group", sc.Group, "member", sc.Self, "transport", conn.Describe())
	return nil
}

// driver is the node as its group sees it.
type driver Node

// Transmit sends. Without multicast what belongs to a view goes to its members
// alone: hosts of the list of peers that are switched off would hold up, in the
// socket's buffer, what is for the others.
func (d *driver) Transmit(to netip.AddrPort, b []byte, seg int) {
	if to.IsValid() || len(d.cfg.UDP.Peers) == 0 || wire.ConnOf(b) == d.group.GroupConn() {
		_ = d.conn.Send(to, b, seg)
		return
	}
	v := d.group.View()
	for i := range v.Members {
		if i != v.Rank {
			_ = d.conn.Send(v.Members[i].Addr, b, seg)
		}
	}
}

// Watch keeps a lifeline.
func (d *driver) Watch(addr netip.AddrPort) bool { return d.conn.Watch(addr) }

// Local is the member's address.
func (n *Node) Local() netip.AddrPort { return n.conn.Local() }

// Describe is one line about the sockets.
func (n *Node) Describe() string { return n.conn.Describe() }

// Now is the node's time.
func (n *Node) Now() stack.Time { return stack.Time(time.Since(n.start)) }

// Do runs f in the group's state machine, from any goroutine, callbacks
// included, but not from within f. The application is not called before the
// first Do, which is the place to connect it. What f sends leaves at the end of the
// loop's turn, or at once when it makes a full burst.
func (n *Node) Do(f func(g *stack.Group)) {
	came := n.Now()
	now := came
	if !n.mu.TryLock() {
		n.mu.Lock()
		now = n.Now()
	}
	defer n.mu.Unlock()
	n.used = true
	if n.failed {
		f(n.group)
		return
	}
	defer n.guard()
	n.group.Advance(now)
	f(n.group)
	n.depart(came)
}

// Feed has the loop call f in each of its turns until it returns false. That is the
// cheapest way to send in bulk: no other thread wants the lock, or is woken. f runs with
// the lock held, never while a callback does. It casts what there is, about 64 KiB at
// most, or until an error says to wait; it must return false when it has nothing to cast,
// since the loop does not sleep while it casts, and when the member is out. A second
// Feed takes the first one's place; nil ends it. A member that has failed calls it no more.
func (n *Node) Feed(f func(g *stack.Group) (on bool)) {
	n.Do(func(*stack.Group) { n.feed = f })
}

// depart sees to it that what a downcall has sent leaves. One that came after a
// pause is served at once, by its own goroutine. In a stream of them only
// whole bursts are; the loop is woken for the rest, and takes its time, so that
// it finds more than one message.
func (n *Node) depart(came stack.Time) {
	if n.running {
		n.group.TakeMore()
		if n.asleep {
			n.conn.Wake() // the stand-in; the loop itself is in a callback
		}
		return
	}
	lone := came.Sub(n.departed) > pause
	if n.group.Push() {
		_ = n.conn.Flush()
	}
	if n.group.TakeMore() {
		return // the next one is on its way
	}
	if lone && n.group.Pending() {
		n.endTurn()
	} else if n.asleep {
		n.stream = true
	}
	n.departed = n.Now()
	if n.asleep {
		n.asleep = false // one wake is enough
		n.conn.Wake()
	}
}

const (
	pause  = 20 * time.Microsecond // between downcalls that are not a stream
	gather = 30 * time.Microsecond // that the loop lets a stream fill its bursts
)

// Stats returns the loop's and the sockets' counters.
func (n *Node) Stats() (Stats, udp.Stats) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stats, n.conn.Stats()
}

// guard turns a panic, of ours or of the application, into an exit of this member.
func (n *Node) guard() {
	if e := recover(); e != nil {
		err := fmt.Errorf("%w: %v", ErrBroken, e)
		n.log.Error("internal error", "err", err, "stack", string(debug.Stack()))
		if !n.failed {
			n.failed, n.more = true, true
			n.app.Exit(err)
		}
	}
}

// linger bounds how long Close waits for those who have not heard that we left.
const linger = 250 * time.Millisecond

// Close ends the loop and gives everything back. Leaving the group first is the
// caller's business.
func (n *Node) Close() error {
	for end := time.Now().Add(linger); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if n.settled() {
			break
		}
	}
	n.mu.Lock()
	if n.closing {
		n.mu.Unlock()
		<-n.ended
		return nil
	}
	n.closing = true
	n.conn.Wake()
	n.mu.Unlock()
	<-n.ended
	n.mu.Lock()
	defer n.mu.Unlock()
	n.group.Close()
	return n.conn.Close()
}

func (n *Node) settled() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failed || n.closing || n.group.Settled()
}
