package node

import (
	"encoding/binary"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"maestro/stack"
	"maestro/wire"
	"maestro/wire/udp"
)

// spy looks at what is sent.
type spy struct {
	*udp.Conn
	more atomic.Int64 // segments of which more follows at once
	last atomic.Bool  // the last one was of that kind
}

func (s *spy) Send(to netip.AddrPort, b []byte, seg int) error {
	if more, stream := wire.MoreOf(b); stream {
		if more {
			s.more.Add(1)
		}
		s.last.Store(more)
	}
	return s.Conn.Send(to, b, seg)
}

// Everything that is fed arrives once and in order, across a view change, whatever the
// last burst holds; receivers are told that more follows until nothing does.
func TestFeed(t *testing.T) {
	const count = 100_000
	group := netip.AddrPortFrom(netip.MustParseAddr("239.255.77.6"),
		uint16(20000+os.Getpid()%20000))
	s := &spy{}
	a := &counter{}
	startOn(t, "a", Config{Transport: func(p *wire.Pool) (Transport, error) {
		var err error
		s.Conn, err = udp.Open(udp.Config{Group: group, Interface: "lo"}, p)
		return s, err
	}}, a, a)
	until(t, "a view", 3*time.Second, func() bool { return members(a) == 1 })
	b, c := &follower{}, &counter{}
	start(t, "b", group, &b.counter, b)
	until(t, "one view of 2", 3*time.Second, func() bool { return members(a) == 2 })
	sent, data := uint64(0), make([]byte, 400) // the window has to grow
	fed := make(chan struct{})
	a.n.Feed(func(g *stack.Group) bool {
		for range 500 {
			if sent == count {
				close(fed)
				return false
			}
			binary.LittleEndian.PutUint64(data, sent)
			if g.Cast(1, nil, data) != nil {
				return true
			}
			sent++
		}
		return true
	})
	start(t, "c", group, c, c)
	select {
	case <-fed:
	case <-time.After(20 * time.Second):
		t.Fatalf("only %d of %d were cast", sent, count)
	}
	until(t, "all messages", 5*time.Second, func() bool { return b.next.Load() == count })
	until(t, "one's own", 5*time.Second, func() bool { return a.delivered.Load() == count })
	until(t, "a view of 3", 3*time.Second, func() bool { return members(a) == 3 })
	if b.wrong.Load() > 0 {
		t.Errorf("%d messages out of order", b.wrong.Load())
	}
	if s.more.Load() == 0 || s.last.Load() {
		t.Errorf("%d bursts said that more follows; the last one: %v", s.more.Load(), s.last.Load())
	}
	for _, x := range []*counter{a, &b.counter, c} {
		if err := x.n.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A feeder that has nothing and does not say so does not keep the loop from sleeping.
func TestFeedIdle(t *testing.T) {
	group := netip.AddrPortFrom(netip.MustParseAddr("239.255.77.4"),
		uint16(20000+os.Getpid()%20000))
	a := &counter{}
	start(t, "a", group, a, a)
	until(t, "a view", 3*time.Second, func() bool { return members(a) == 1 })
	a.n.Feed(func(*stack.Group) bool { return true })
	before, _ := a.n.Stats()
	time.Sleep(100 * time.Millisecond)
	after, _ := a.n.Stats()
	if d := after.Turns - before.Turns; d > 1000 {
		t.Errorf("%d turns in 100 ms", d)
	}
	if err := a.n.Close(); err != nil {
		t.Error(err)
	}
}

// follower expects numbers in order.
type follower struct {
	counter
	next, wrong atomic.Uint64
}

func (f *follower) Run() {
	for i := range f.taken {
		if it := &f.taken[i]; it.kind == 0 {
			if binary.LittleEndian.Uint64(it.data) != f.next.Add(1)-1 {
				f.wrong.Add(1)
			}
		}
	}
	f.counter.Run()
}
