package udp

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"maestro/wire"
)

func nativeOf(t *testing.T, m *member) *native {
	t.Helper()
	n, ok := m.be.(*native)
	if !ok {
		t.Fatal("not the native path")
	}
	return n
}

func TestGROJoinsARun(t *testing.T) {
	cfg := Config{Group: group()}
	a, b := open(t, cfg), open(t, cfg)
	if n := nativeOf(t, a); !n.gso[pathGroup] || !n.uni.gro {
		t.Skip("this kernel has no UDP GSO and GRO")
	}
	want := pattern(44*1472 - 5)
	a.send(netip.AddrPort{}, want, 1472)
	g := b.read(44)
	if g.packets != 1 || !bytes.Equal(g.bytes, want) {
		t.Fatalf("%d packets", g.packets)
	}
	if out := a.Stats().SyscallsOut; out != 1 {
		t.Errorf("%d system calls for one run", out)
	}
}

func TestKeptDatagramsJoin(t *testing.T) {
	cfg := Config{Group: group()}
	a, b := open(t, cfg), open(t, cfg)
	for i := range 30 {
		a.send(b.Local(), bytes.Repeat([]byte{byte(i)}, 100), 1000)
	}
	if s := a.Stats(); s.SyscallsOut != 0 {
		t.Errorf("sent before the flush: %+v", s)
	}
	a.flush()
	g := b.read(30)
	if out := a.Stats().SyscallsOut; out != 1 {
		t.Errorf("%d system calls", out)
	}
	if nativeOf(t, a).gso[pathMember] && g.packets != 1 {
		t.Errorf("%d packets", g.packets)
	}
}

func TestUnreachable(t *testing.T) {
	for _, g := range []netip.AddrPort{group(),
		netip.MustParseAddrPort("[ff12::4d41:2]:23456")} {
		if g.Addr().Is6() && !hasIPv6() {
			t.Log("no IPv6: only IPv4 tested")
			continue
		}
		a := open(t, Config{Group: g})
		gone, stays := open(t, Config{Group: g}), open(t, Config{Group: g})
		if err := gone.Close(); err != nil {
			t.Fatal(err)
		}
		a.send(gone.Local(), []byte("are you there"), 100)
		a.flush()
		var who netip.AddrPort
		for end := time.Now().Add(patience); !who.IsValid() && time.Now().Before(end); {
			if err := a.Wait(10 * time.Millisecond); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Receive(nil); err != nil {
				t.Fatal(err)
			}
			who, _ = a.Unreachable()
		}
		if who != gone.Local() {
			t.Fatalf("unreachable: %v, want %v: %+v", who, gone.Local(), a.Stats())
		}
		// The pending error must not cost a datagram, whether send or receive
		// meets it first.
		a.send(gone.Local(), []byte("are you there"), 100)
		a.flush()
		a.send(stays.Local(), []byte("hello"), 100)
		a.flush()
		if got := stays.read(1); string(got.bytes) != "hello" {
			t.Fatalf("got %q", got.bytes)
		}
		a.send(gone.Local(), []byte("are you there"), 100)
		a.flush()
		stays.send(a.Local(), []byte("answer"), 100)
		stays.flush()
		if got := a.read(1); string(got.bytes) != "answer" {
			t.Fatalf("got %q", got.bytes)
		}
		if s := a.Stats(); s.LostOut != 0 || s.PortUnreachable == 0 {
			t.Errorf("%+v", s)
		}
	}
}

func TestArenaBoundsWhatSmallPacketsPin(t *testing.T) {
	cfg := Config{Group: group()}
	a, b := open(t, cfg), open(t, cfg)
	var kept []wire.Packet
	pkts := make([]wire.Packet, 8)
	const n, size = 500, 100
	for i := range n {
		a.send(b.Local(), bytes.Repeat([]byte{byte(i)}, size), size)
		a.flush()
		for k := 0; k == 0; {
			if err := b.Wait(patience); err != nil {
				t.Fatal(err)
			}
			k, _ = b.Receive(pkts)
			kept = append(kept, pkts[:k]...)
		}
	}
	// The receive slots, and the arenas: 104 bytes for each datagram.
	if most := inBatch + n*104/wire.BufSize + 2; b.pool.Live() > most {
		t.Errorf("%d buffers live, want at most %d", b.pool.Live(), most)
	}
	for i, p := range kept {
		if p.Data[0] != byte(i) || len(p.Data) != size || cap(p.Data) != size {
			t.Fatalf("packet %d was overwritten", i)
		}
		p.Buf.Drop()
	}
	if live := b.pool.Live(); live > inBatch+1 {
		t.Errorf("%d buffers live after the packets were dropped", live)
	}
}

func TestNoAllocations(t *testing.T) {
	cfg := Config{Group: group()}
	a, b := open(t, cfg), open(t, cfg)
	run, one := pattern(40*1400), pattern(64)
	pkts := make([]wire.Packet, 16)
	turn := func() {
		for _, err := range []error{
			a.Send(netip.AddrPort{}, run, 1400), a.Send(b.Local(), one, 64),
			a.Send(b.Local(), one, 64), a.Flush(), b.Wait(time.Second),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for k := 1; k > 0; {
			var err error
			if k, err = b.Receive(pkts); err != nil {
				t.Fatal(err)
			}
			for _, p := range pkts[:k] {
				p.Buf.Drop()
			}
		}
		if _, err := a.Receive(pkts); err != nil {
			t.Fatal(err)
		}
		b.Wake()
	}
	for range 10 {
		turn()
	}
	if n := testing.AllocsPerRun(200, turn); n >= 1 {
		t.Errorf("%v allocations in each turn", n)
	}
}

// refuse makes the kernel refuse sends for which f gives an error.
func refuse(n *native, f func(h []unix.Mmsghdr) unix.Errno) {
	real := n.sys.sendmmsg
	n.sys.sendmmsg = func(fd int, h []unix.Mmsghdr) (int, unix.Errno) {
		for i := range h {
			if e := f(h[i : i+1]); e != 0 {
				if i > 0 {
					return real(fd, h[:i])
				}
				return -1, e
			}
		}
		return real(fd, h)
	}
}

func TestGSOTurnedOffWhenRefused(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EIO, unix.EINVAL, unix.EMSGSIZE} {
		cfg := Config{Group: group()}
		a, b := open(t, cfg), open(t, cfg)
		n := nativeOf(t, a)
		n.gso = [2]bool{true, true}
		refuse(n, func(h []unix.Mmsghdr) unix.Errno {
			if h[0].Hdr.Controllen > 0 {
				return errno
			}
			return 0
		})
		want := pattern(90*1000 + 7)
		for range 2 {
			a.send(netip.AddrPort{}, want, 1000)
			if g := b.read(91); !bytes.Equal(g.bytes, want) {
				t.Fatalf("%v: arrived changed", errno)
			}
		}
		if s := a.Stats(); s.GSOFallbacks != 2 || s.LostOut != 0 || n.gso[pathGroup] ||
			!n.gso[pathMember] { // the two runs of the first send were on their way
			t.Errorf("%v: %v %+v", errno, n.gso, s)
		}
	}
}

func TestSendErrorsAreCountedAndRetriedOnce(t *testing.T) {
	for _, c := range []struct {
		errno unix.Errno
		times int
		lost  uint64
		count func(s Stats) uint64
	}{
		{unix.ECONNREFUSED, 1, 0, nil},
		{unix.EHOSTUNREACH, 1, 0, nil},
		{unix.EINTR, 3, 0, nil},
		{unix.ENOBUFS, 3, 0, nil},
		{unix.EAGAIN, 3, 0, nil},
		{unix.EPERM, 2, 1, func(s Stats) uint64 { return s.SendEPERM }},
		{unix.ECONNREFUSED, 2, 1, func(s Stats) uint64 { return s.SendECONNREFUSED }},
		{unix.ENETUNREACH, 2, 1, func(s Stats) uint64 { return s.SendENETUNREACH }},
		{unix.EMSGSIZE, 2, 1, func(s Stats) uint64 { return s.SendEMSGSIZE }},
		{unix.ENODEV, 2, 1, func(s Stats) uint64 { return s.SendOther }},
		{unix.ENOBUFS, 1 << 30, 3, func(s Stats) uint64 { return s.SendENOBUFS }},
	} {
		cfg := Config{Group: group()}
		a, b := open(t, cfg), open(t, cfg)
		left := c.times
		refuse(nativeOf(t, a), func([]unix.Mmsghdr) unix.Errno {
			if left--; left >= 0 {
				return c.errno
			}
			return 0
		})
		start := time.Now()
		for _, s := range []string{"one", "three", "seven"} {
			a.send(b.Local(), []byte(s), 100)
		}
		a.flush()
		if d := time.Since(start); d > time.Second {
			t.Errorf("%v: sending took %v", c.errno, d)
		}
		s := a.Stats()
		if s.LostOut != c.lost || c.count != nil && c.count(s) == 0 {
			t.Errorf("%v %d times: %+v", c.errno, c.times, s)
		}
		if want := 3 - int(c.lost); want > 0 && len(b.read(want).datagrams) != want {
			t.Errorf("%v: not what was expected", c.errno)
		}
	}
}

func TestOldKernelWait(t *testing.T) {
	m := open(t, Config{Group: group()})
	n := nativeOf(t, m)
	n.wait64 = func(int, []unix.EpollEvent, int64) (int, unix.Errno) { return -1, unix.ENOSYS }
	start := time.Now()
	if err := m.Wait(2 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < 2*time.Millisecond {
		t.Errorf("waited only %v", d)
	}
	m.send(m.Local(), []byte("self"), 10)
	m.flush()
	if err := m.Wait(-1); err != nil {
		t.Fatal(err)
	}
}

func TestSocketDropsAreSeen(t *testing.T) {
	cfg := Config{Group: group(), NoOffload: true, RecvBuf: 8 << 10}
	a, b := open(t, cfg), open(t, cfg)
	a.send(b.Local(), pattern(200*1000), 1000)
	for i := 0; i == 0 || b.Stats().SocketDrops == 0; i++ {
		if i == 100 {
			t.Fatalf("%+v", b.Stats())
		}
		a.send(b.Local(), []byte("more"), 10)
		a.flush()
		b.read(1)
	}
	if in := b.Stats(); in.DatagramsIn+in.SocketDrops < 200 {
		t.Errorf("%+v", in)
	}
}

func TestOwnMulticastsAreCut(t *testing.T) {
	cfg := Config{Group: group()}
	a, b := open(t, cfg), open(t, cfg)
	na := nativeOf(t, a)
	a.send(netip.AddrPort{}, pattern(30*1400), 1400)
	for a.Stats().Own == 0 {
		if err := a.Wait(patience); err != nil {
			t.Fatal(err)
		}
		if k, err := a.Receive(make([]wire.Packet, 4)); k != 0 || err != nil {
			t.Fatalf("%d packets, error %v", k, err)
		}
		if na.in.hdrs[0].Len != 0 {
			t.Errorf("%d bytes came back to the sender", na.in.hdrs[0].Len)
		}
	}
	b.send(netip.AddrPort{}, []byte("after"), 5)
	b.flush()
	if g := a.read(1); string(g.bytes) != "after" || a.Stats().SocketDrops != 0 {
		t.Errorf("got %q, %+v", g.bytes, a.Stats())
	}
}

// TestParkedOnly: the runtime's poller hears of what comes only while somebody is
// parked in it.
func TestParkedOnly(t *testing.T) {
	cfg := Config{Group: group()}
	a, b := open(t, cfg), open(t, cfg)
	n := nativeOf(t, a)
	if n.parking == nil {
		t.Skip("the runtime does not wait for epoll sets")
	}
	for range 3 {
		time.AfterFunc(5*time.Millisecond, a.Wake)
		if err := a.Wait(patience); err != nil {
			t.Fatal(err)
		}
		b.send(a.Local(), []byte("x"), 1)
		b.flush()
		k, err := unix.Poll([]unix.PollFd{{Fd: int32(n.parking.set), Events: unix.POLLIN}}, 20)
		if k != 0 || err != nil {
			t.Errorf("the runtime is told too: %v", err)
		}
		a.read(1)
		n.lively = false
	}
}
