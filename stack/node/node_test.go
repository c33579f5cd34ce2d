package node

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"maestro/layers"
	"maestro/stack"
	"maestro/wire"
	"maestro/wire/udp"
)

// counter is an application that counts what it gets.
type counter struct {
	n     *Node
	queue []item
	taken []item

	view      atomic.Pointer[stack.View]
	delivered atomic.Uint64
	bytes     atomic.Uint64
	exited    atomic.Bool
	slow      func()
	onSend    func(from int, data []byte)
}

type item struct {
	kind   int
	epoch  uint64
	from   int
	to     int
	stream int
	seq    uint64
	data   []byte
	buf    *wire.Buf
	view   *stack.View
}

func (c *counter) Attr() []byte               { return nil }
func (c *counter) Exchange() bool             { return false }
func (c *counter) Weight() []byte             { return nil }
func (c *counter) Compose(p *stack.Proposal)  {}
func (c *counter) Core(*stack.View) stack.Set { return nil }
func (c *counter) Deliver(epoch uint64, m *stack.Msg) {
	if m.Buf != nil {
		m.Buf.Keep()
	}
	c.queue = append(c.queue, item{epoch: epoch, from: m.From, to: m.To,
		stream: m.Stream, seq: m.Seq, data: m.Data, buf: m.Buf})
}
func (c *counter) Stop() { c.queue = append(c.queue, item{kind: 1}) }
func (c *counter) View(epoch uint64, v *stack.View) {
	c.queue = append(c.queue, item{kind: 2, epoch: epoch, view: v})
}
func (c *counter) Exit(err error)   { c.exited.Store(true) }
func (c *counter) Writable()        {}
func (c *counter) Note(text string) {}
func (c *counter) Take() bool {
	if len(c.queue) == 0 {
		return false
	}
	c.queue, c.taken = c.taken[:0], c.queue
	return true
}
func (c *counter) Run() {
	n, b := uint64(0), uint64(0)
	for i := range c.taken {
		switch it := &c.taken[i]; it.kind {
		case 0:
			n++
			b += uint64(len(it.data))
			if it.to != stack.All && c.onSend != nil {
				c.onSend(it.from, it.data)
			}
			if c.slow != nil {
				c.slow()
			}
		case 2:
			c.view.Store(it.view)
		}
	}
	c.delivered.Add(n)
	c.bytes.Add(b)
}
func (c *counter) Done() {
	stop := false
	for i := range c.taken {
		it := &c.taken[i]
		switch it.kind {
		case 0:
			c.n.group.Consumed(it.epoch, it.stream, it.seq)
			if it.buf != nil {
				it.buf.Drop()
			}
		case 1:
			stop = true
		}
		*it = item{}
	}
	if stop {
		c.n.group.Stopped()
	}
}

func open(t testing.TB, name string, port uint16, c *counter) *counter {
	t.Helper()
	start(t, name, netip.AddrPortFrom(netip.MustParseAddr("239.255.77.1"), port), c, c)
	return c
}

// start starts app, whose counter is c, and joins.
func start(t testing.TB, name string, group netip.AddrPort, c *counter, app stack.Runner) {
	t.Helper()
	startOn(t, name, Config{UDP: udp.Config{Group: group, Interface: "lo"}}, c, app)
}

// startOn is start with sockets as cfg says.
func startOn(t testing.TB, name string, cfg Config, c *counter, app stack.Runner) {
	t.Helper()
	sn, makers := layers.For(0)
	cfg.Stack = stack.Config{Group: "test", Self: wire.Endpoint{Name: name}, StackName: sn,
		Layers: makers}
	n, err := Start(cfg, app)
	if err != nil {
		t.Fatal(err)
	}
	c.n = n
	n.Do(func(g *stack.Group) {
		if err := g.Join(); err != nil {
			t.Fatal(err)
		}
	})
}

func until(t testing.TB, what string, d time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(200 * time.Microsecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %v: %s", d, what)
}

func members(c *counter) int {
	if v := c.view.Load(); v != nil {
		return len(v.Members)
	}
	return 0
}

func TestThree(t *testing.T) {
	port := uint16(20000 + os.Getpid()%20000)
	var cs []*counter
	for i := range 3 {
		cs = append(cs, open(t, fmt.Sprint("m", i), port, &counter{}))
	}
	for _, c := range cs {
		until(t, "one view of 3", 3*time.Second, func() bool { return members(c) == 3 })
	}
	for _, c := range cs {
		for i := range 1000 {
			var b [100]byte
			binary.LittleEndian.PutUint64(b[:], uint64(i))
			c.n.Do(func(g *stack.Group) {
				if err := g.Cast(1, nil, b[:]); err != nil {
					t.Error(err)
				}
			})
		}
	}
	for _, c := range cs {
		until(t, "3000 messages", 3*time.Second, func() bool { return c.delivered.Load() == 3000 })
	}
	began := time.Now()
	cs[0].n.Do(func(g *stack.Group) { g.Leave() })
	until(t, "exit", time.Second, cs[0].exited.Load)
	for _, c := range cs[1:] {
		until(t, "view of 2", time.Second, func() bool { return members(c) == 2 })
	}
	t.Logf("leave took %v", time.Since(began))
	for _, c := range cs {
		if err := c.n.Close(); err != nil {
			t.Error(err)
		}
		if live := c.n.pool.Live(); live != 0 {
			t.Errorf("%d buffers leaked", live)
		}
	}
}

// What is sent to one member with more to follow arrives, also if nothing follows.
func TestMore(t *testing.T) {
	port := uint16(20000 + (os.Getpid()+1)%20000)
	a, b := open(t, "a", port, &counter{}), open(t, "b", port, &counter{})
	until(t, "one view of 2", 3*time.Second, func() bool { return members(a) == 2 })
	to := 1 - a.view.Load().Rank
	msg := make([]byte, 50_000)
	for range 200 {
		until(t, "room", 3*time.Second, func() bool {
			var err error
			a.n.Do(func(g *stack.Group) {
				err = g.Send(to, 1, msg[:9], msg)
				g.More()
			})
			return err == nil
		})
	}
	until(t, "200 messages", 3*time.Second, func() bool { return b.delivered.Load() == 200 })
	for _, c := range []*counter{a, b} {
		c.n.Do(func(g *stack.Group) { g.Leave() })
		until(t, "exit", time.Second, c.exited.Load)
		if err := c.n.Close(); err != nil {
			t.Error(err)
		}
		if live := c.n.pool.Live(); live != 0 {
			t.Errorf("%d buffers leaked", live)
		}
	}
}

// late is an application that has something to do after Exit.
type late struct {
	counter
	served atomic.Bool
}

func (l *late) Next() stack.Time {
	if l.exited.Load() && !l.served.Load() {
		return 0
	}
	return stack.Never
}

func (l *late) Expire(stack.Time) { l.served.Store(true) }

// TestBroken: a member that has found a bug of its own still serves what its
// application waits for, and does not wait for it in a circle.
func TestBroken(t *testing.T) {
	a := &late{}
	sn, makers := layers.For(0)
	n, err := Start(Config{
		Stack: stack.Config{Group: "test", Self: wire.Endpoint{Name: "a"}, StackName: sn,
			Layers: makers},
		UDP: udp.Config{Group: netip.AddrPortFrom(netip.MustParseAddr("239.255.77.2"),
			uint16(20000+os.Getpid()%20000)), Interface: "lo"},
	}, a)
	if err != nil {
		t.Fatal(err)
	}
	a.n = n
	n.Do(func(g *stack.Group) { panic("a bug") })
	until(t, "exit", time.Second, a.exited.Load)
	n.conn.Wake()
	until(t, "a deadline served", time.Second, a.served.Load)
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// TestPanics: an application whose callback panics has left the group, and its
// process lives. The panic comes while the lock is not held.
func TestPanics(t *testing.T) {
	port := uint16(20000 + (os.Getpid()+2)%20000)
	for _, patient := range []bool{true, false} {
		var once sync.Once
		c := &counter{slow: func() {
			once.Do(func() {
				if !patient {
					time.Sleep(3 * defaultPatience) // a stand-in is at work
				}
				panic("the application's")
			})
		}}
		other := open(t, "other", port, &counter{})
		open(t, "bad", port, c)
		until(t, "one view of 2", 3*time.Second, func() bool {
			return members(other) == 2 && members(c) == 2
		})
		c.n.Do(func(g *stack.Group) { _ = g.Cast(1, nil, []byte("x")) })
		until(t, "exit", time.Second, c.exited.Load)
		until(t, "the other alone", 3*time.Second, func() bool { return members(other) == 1 })
		for _, c := range []*counter{c, other} {
			if err := c.n.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
