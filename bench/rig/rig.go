// Package rig holds one layer between stubs, for measuring what it costs by
// itself: what a stub does is a count.
package rig

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// Rig is a layer in a view of some members. It is used by one goroutine.
type Rig struct {
	*stack.Stack
	Time stack.Time
	Bufs wire.Pool
	// Delivered is messages that came out at the top, Passed those that came out
	// at the bottom, Sent and Bytes the datagrams.
	Delivered, Passed, Sent, Bytes uint64
	// OnDown, if set, gets what comes out at the bottom.
	OnDown func(m *stack.Msg)
	// Recv is how far each member's stream has come in, for layers that ask.
	Recv []uint64

	cfg      stack.Config
	counters stack.Counters
	rand     *rand.Rand
	below    below
	ltime    uint64
}

// New makes a layer for the member of a rank among n.
func New(n, rank int, maker stack.Maker) (*Rig, error) { return NewCore(n, rank, nil, maker) }

// NewCore makes a layer in a view that has a core.
func NewCore(n, rank int, core stack.Set, maker stack.Maker) (*Rig, error) {
	r := &Rig{rand: rand.New(rand.NewPCG(1, 1))}
	v := &stack.View{Group: "rig", Rank: rank, Together: make([]bool, n), Core: core}
	for i := range n {
		v.Members = append(v.Members, wire.Member{RecvBuf: 32 << 20, Addr: Addr(i),
			ID: wire.Endpoint{Name: fmt.Sprint("m", i), Incarnation: 1}})
	}
	v.ID = wire.ViewID{Ltime: 1, Coord: v.Members[0].ID}
	self := v.Members[rank]
	r.cfg = stack.Config{Group: "rig", Self: self.ID, Addr: self.Addr, RecvBuf: 32 << 20,
		Layers: []stack.Maker{{Name: "any", Gives: stack.Datagrams | stack.Views}}}
	if err := r.cfg.Fill(); err != nil {
		return nil, err
	}
	r.Recv = make([]uint64, v.Streams())
	r.below.rig = r
	stub := stack.Maker{Name: "stub", Gives: stack.Datagrams, New: r.below.at}
	makers := []stack.Maker{stub, maker}
	if maker.Gives&stack.Datagrams != 0 {
		stub.Gives = 0
		for k := wire.KindNone + 1; k < wire.KindCount; k++ {
			stub.Kinds = append(stub.Kinds, k)
		}
		makers = []stack.Maker{maker, stub}
	}
	r.Stack = stack.New(r, v, makers)
	return r, nil
}

// Addr is the address of a member.
func Addr(rank int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rank + 1)}), 7000)
}

// Up has a message come from below.
func (r *Rig) Up(m *stack.Msg) { r.below.PassUp(m) }

// Write puts a sealed segment of n bytes into the send log.
func (r *Rig) Write(data []byte) {
	r.Log().Append(1, nil, data)
	r.Log().Seal()
}

// Control has the lowest layer send a control message to member 0.
func (r *Rig) Control(body []byte) { r.below.SendVia(body) }

// Transmitted has what is in the send log count as transmitted.
func (r *Rig) Transmitted() {
	for {
		if b, _, _, _ := r.Log().Burst(math.MaxInt64, 0); b == nil {
			return
		}
	}
}

// Drain transmits and frees all that is in the send log.
func (r *Rig) Drain() {
	l := r.Log()
	l.Seal()
	for {
		b, seg, _, _ := l.Burst(math.MaxInt64, 0)
		if b == nil {
			break
		}
		r.Transmit(netip.AddrPort{}, b, seg)
	}
	l.Free(l.Sent())
}

// Finish gives everything back, and reports buffers that somebody still holds.
func (r *Rig) Finish() error {
	r.Close()
	if n := r.Bufs.Live(); n != 0 {
		return fmt.Errorf("rig: %d buffers left", n)
	}
	return nil
}

// env is the rig as its stack sees it; the methods of stack.Env.

// Now is Time.
func (r *Rig) Now() stack.Time { return r.Time }

// Pool is where buffers come from.
func (r *Rig) Pool() *wire.Pool { return &r.Bufs }

// Rand is a source of its own.
func (r *Rig) Rand() *rand.Rand { return r.rand }

// Config is the default.
func (r *Rig) Config() *stack.Config { return &r.cfg }

// GroupConn is any.
func (r *Rig) GroupConn() uint64 { return 1 }

// Silence is the default.
func (r *Rig) Silence() time.Duration { return r.cfg.Silence }

// Watch holds no lifelines.
func (r *Rig) Watch(netip.AddrPort) bool { return false }

// Transmit counts.
func (r *Rig) Transmit(_ netip.AddrPort, b []byte, seg int) {
	r.Sent += uint64((len(b) + seg - 1) / seg)
	r.Bytes += uint64(len(b))
}

// Deliver counts.
func (r *Rig) Deliver(_ *stack.Stack, _ *stack.Msg) { r.Delivered++ }

// Told ignores events.
func (r *Rig) Told(*stack.Stack, stack.Event) {}

// Hooks say nothing; only the control layers ask them.
func (r *Rig) Hooks() stack.Hooks { return hooks{} }

type hooks struct{}

func (hooks) Attr() []byte               { return nil }
func (hooks) Exchange() bool             { return false }
func (hooks) Weight() []byte             { return nil }
func (hooks) Compose(*stack.Proposal)    {}
func (hooks) Core(*stack.View) stack.Set { return nil }

// Counters are the rig's own.
func (r *Rig) Counters() *stack.Counters { return &r.counters }

// Pace is at once.
func (r *Rig) Pace() stack.Time { return 0 }

// Ltime counts up.
func (r *Rig) Ltime(least uint64) uint64 {
	r.ltime = max(r.ltime+1, least)
	return r.ltime
}
