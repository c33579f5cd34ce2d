package udp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"maestro/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 5 * time.Second

// member is a Conn with its pool, closed and checked for leaks at the end.
type member struct {
	*Conn
	t    *testing.T
	pool *wire.Pool
}

func open(t *testing.T, cfg Config) *member {
	t.Helper()
	if cfg.Interface == "" {
		cfg.Interface = "lo"
	}
	if cfg.RecvBuf == 0 {
		cfg.RecvBuf = 4 << 20
	}
	pool := &wire.Pool{Poison: true}
	c, err := Open(cfg, pool)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{c, t, pool}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if n := pool.Live(); n != 0 {
			t.Errorf("%d buffers leaked", n)
		}
	})
	return m
}

// group makes up a group address on the loopback interface, so that tests that
// run at the same time do not hear each other.
func group() netip.AddrPort {
	a := netip.AddrFrom4([4]byte{239, 255, byte(rand.N(256)), byte(1 + rand.N(250))})
	return netip.AddrPortFrom(a, uint16(20000+rand.N(10000)))
}

// got is what has been received: all bytes from one sender, and how they came.
type got struct {
	bytes     []byte
	datagrams []string
	packets   int
	from      netip.AddrPort
}

// read receives until n datagrams are there.
func (m *member) read(n int) got {
	m.t.Helper()
	var g got
	pkts := make([]wire.Packet, 8)
	for end := time.Now().Add(patience); len(g.datagrams) < n; {
		k, err := m.Receive(pkts)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, p := range pkts[:k] {
			g.packets++
			g.from = p.From
			g.bytes = append(g.bytes, p.Data...)
			for d := p.Data; len(d) > 0; {
				l := min(p.Seg, len(d))
				g.datagrams = append(g.datagrams, string(d[:l]))
				d = d[l:]
			}
			p.Buf.Drop()
		}
		if k > 0 {
			continue
		}
		if time.Now().After(end) {
			m.t.Fatalf("only %d datagrams of %d have come: %+v", len(g.datagrams), n, m.Stats())
		}
		if err := m.Wait(100 * time.Millisecond); err != nil {
			m.t.Fatal(err)
		}
	}
	return g
}

// quiet checks that nothing else is there.
func (m *member) quiet() {
	m.t.Helper()
	if err := m.Wait(20 * time.Millisecond); err != nil {
		m.t.Fatal(err)
	}
	pkts := make([]wire.Packet, 8)
	if k, err := m.Receive(pkts); k != 0 || err != nil {
		m.t.Fatalf("unexpected %d packets, error %v: %q", k, err, pkts[0].Data)
	}
}

func (m *member) send(to netip.AddrPort, b []byte, seg int) {
	m.t.Helper()
	if err := m.Send(to, b, seg); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) flush() {
	m.t.Helper()
	if err := m.Flush(); err != nil {
		m.t.Fatal(err)
	}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// modes is the ways that the common tests are run with.
func modes(t *testing.T, f func(t *testing.T, cfg Config)) {
	for name, cfg := range map[string]Config{
		"native": {}, "nooffload": {NoOffload: true}, "portable": {Portable: true},
	} {
		t.Run(name, func(t *testing.T) { f(t, cfg) })
	}
}

func TestMulticast(t *testing.T) {
	modes(t, func(t *testing.T, cfg Config) {
		cfg.Group = group()
		a, b, c := open(t, cfg), open(t, cfg), open(t, cfg)
		t.Log(a.Describe())
		a.send(netip.AddrPort{}, []byte("to all"), 6)
		a.flush()
		for _, m := range []*member{b, c} {
			g := m.read(1)
			if string(g.bytes) != "to all" || g.from != a.Local() {
				t.Fatalf("got %q from %v", g.bytes, g.from)
			}
		}
		a.quiet()
		if a.Stats().Own != 1 {
			t.Errorf("own multicasts: %+v", a.Stats())
		}
		b.send(a.Local(), []byte("to one"), 100)
		b.flush()
		if g := a.read(1); string(g.bytes) != "to one" || g.from != b.Local() {
			t.Fatalf("got %q from %v", g.bytes, g.from)
		}
		c.quiet()
	})
}

// TestCore sends to the second group, which one of two has joined.
func TestCore(t *testing.T) {
	modes(t, func(t *testing.T, cfg Config) {
		cfg.Group = group()
		a, b, c := open(t, cfg), open(t, cfg), open(t, cfg)
		set := func(m *member, in bool) {
			t.Helper()
			if err := m.SetCore(in); err != nil {
				t.Fatal(err)
			}
		}
		set(b, true)
		if cfg.Portable {
			if a.Core().IsValid() {
				t.Fatal("the portable path has no second group")
			}
			return
		}
		for range 3 {
			set(b, true)
			a.send(a.Core(), pattern(3000), 1000)
			a.send(netip.AddrPort{}, []byte("to all"), 100)
			a.send(b.Local(), []byte("to b"), 100)
			a.flush()
			if g := b.read(5); len(g.bytes) != 3010 || g.from != a.Local() {
				t.Fatalf("got %d bytes from %v", len(g.bytes), g.from)
			}
			if g := c.read(1); string(g.bytes) != "to all" {
				t.Fatalf("got %q", g.bytes)
			}
			c.quiet()
			set(b, false)
			a.send(a.Core(), []byte("x"), 1)
			a.flush()
			b.quiet()
		}
	})
}

func TestRuns(t *testing.T) {
	modes(t, func(t *testing.T, cfg Config) {
		cfg.Group = group()
		a, b := open(t, cfg), open(t, cfg)
		want := pattern(100*1400 + 123) // several GSO runs and an odd last datagram
		for _, to := range []netip.AddrPort{{}, b.Local()} {
			a.send(to, want, 1400)
			a.flush()
			g := b.read(101)
			if !bytes.Equal(g.bytes, want) || len(g.datagrams) != 101 {
				t.Fatalf("the run arrived changed, in %d datagrams", len(g.datagrams))
			}
			if len(g.datagrams[0]) != 1400 || len(g.datagrams[100]) != 123 {
				t.Fatalf("the run was cut at other places")
			}
			t.Logf("%d packets", g.packets)
		}
		st, in := a.Stats(), b.Stats()
		if st.DatagramsOut != 202 || st.BytesOut != uint64(2*len(want)) || in.DatagramsIn != 202 {
			t.Errorf("sent %+v, received %+v", st, in)
		}
	})
}

func TestOrderOfKeptAndRuns(t *testing.T) {
	modes(t, func(t *testing.T, cfg Config) {
		cfg.Group = group()
		a, b := open(t, cfg), open(t, cfg)
		var want []string
		for i := range 150 {
			s := fmt.Sprintf("%0*d", 8+i%3, i) // lengths that can and cannot be joined
			want = append(want, s)
			a.send(b.Local(), []byte(s), 100)
			if i%40 == 39 {
				run := bytes.Repeat([]byte("x"), 250)
				a.send(b.Local(), run, 100)
				want = append(want, string(run[:100]), string(run[:100]), string(run[:50]))
			}
		}
		a.flush()
		g := b.read(len(want))
		for i := range want {
			if g.datagrams[i] != want[i] {
				t.Fatalf("datagram %d is %q, not %q", i, g.datagrams[i], want[i])
			}
		}
	})
}

func TestFanout(t *testing.T) {
	modes(t, func(t *testing.T, cfg Config) {
		first := open(t, Config{Peers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")},
			Portable: cfg.Portable, NoOffload: cfg.NoOffload})
		cfg.Peers = []netip.AddrPort{first.Local()}
		b, c := open(t, cfg), open(t, cfg)
		t.Log(b.Describe())
		b.SetMembers([]netip.AddrPort{c.Local(), b.Local(), first.Local(), c.Local()})
		want := pattern(5000)
		b.send(netip.AddrPort{}, want, 1200)
		b.flush()
		for _, m := range []*member{first, c} {
			if g := m.read(5); !bytes.Equal(g.bytes, want) {
				t.Fatal("arrived changed")
			}
			m.quiet()
		}
		b.quiet()
	})
}

func TestIPv6(t *testing.T) {
	if !hasIPv6() {
		t.Skip("the loopback interface has no IPv6 address")
	}
	modes(t, func(t *testing.T, cfg Config) {
		cfg.Group = netip.AddrPortFrom(netip.MustParseAddr("ff12::4d41:1"), group().Port())
		a, b := open(t, cfg), open(t, cfg)
		t.Log(a.Describe())
		exchange6(t, a, b, b.Local()) // multicast needs a route that lo lacks: next test
		if a.MTU() != min(65536-48, maxPayload) {
			t.Errorf("MTU %d", a.MTU())
		}
	})
}

func exchange6(t *testing.T, a, b *member, to ...netip.AddrPort) {
	t.Helper()
	want := pattern(3000)
	for _, to := range to {
		a.send(to, want, 1300)
		a.flush()
		if g := b.read(3); !bytes.Equal(g.bytes, want) || g.from != a.Local() {
			t.Fatalf("arrived changed, or from %v: sender %+v", g.from, a.Stats())
		}
	}
}

func hasIPv6() bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func TestTwoGroupsOnOnePort(t *testing.T) {
	modes(t, func(t *testing.T, cfg Config) {
		g1 := group()
		g2 := netip.AddrPortFrom(g1.Addr().Next(), g1.Port())
		one, two := cfg, cfg
		one.Group, two.Group = g1, g2
		a, b, alien := open(t, one), open(t, one), open(t, two)
		alien.send(netip.AddrPort{}, []byte("alien"), 5)
		alien.flush()
		a.send(netip.AddrPort{}, []byte("ours"), 4)
		a.flush()
		if g := b.read(1); string(g.bytes) != "ours" {
			t.Fatalf("got %q", g.bytes)
		}
		b.quiet()
	})
}

func TestBadUse(t *testing.T) {
	for _, cfg := range []Config{
		{},
		{Group: netip.MustParseAddrPort("10.0.0.1:5000")},
		{Group: netip.MustParseAddrPort("239.1.1.1:0")},
		{Group: group(), TTL: 256},
		{Group: group(), RecvBuf: -1},
		{Group: group(), Interface: "no such one"},
		{Group: group(), Interface: "192.0.2.77"},
		{Group: group(), Bind: netip.MustParseAddrPort("[::1]:0")},
		{Peers: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:0")}},
	} {
		if c, err := Open(cfg, &wire.Pool{}); err == nil {
			c.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
	m := open(t, Config{Group: group()})
	if m.Send(m.Local(), []byte("xy"), 0) == nil || m.Send(m.Local(), []byte("xy"), -1) == nil {
		t.Error("a segment length of zero was accepted")
	}
	if m.Send(netip.MustParseAddrPort("[::1]:9"), []byte("x"), 1) == nil {
		t.Error("an address of another family was accepted")
	}
	if err := m.Send(m.Local(), nil, 1); err != nil {
		t.Error(err)
	}
}
