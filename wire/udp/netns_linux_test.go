package udp

import (
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"maestro/wire"
)

// inNamespace runs f in a network namespace of its own, which ends with the
// thread. The commands are `ip` arguments that prepare it.
func inNamespace(t *testing.T, f func(t *testing.T), commands ...string) {
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip command")
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Logf("SKIPPED: no network namespace: %v", err)
			return
		}
		for _, c := range commands {
			if out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput(); err != nil {
				t.Logf("SKIPPED: ip %s: %v: %s", c, err, out)
				return
			}
		}
		f(t)
	}()
	<-done
}

// TestFreshInterface opens the sockets while the interface's link-local address
// is still being checked, in a namespace without loopback and without routes.
func TestFreshInterface(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		for _, portable := range []bool{false, true} {
			cfg := Config{Group: netip.MustParseAddrPort("[ff12::4d41:3]:24242"),
				Interface: "x0", Portable: portable}
			a, b := open(t, cfg), open(t, cfg)
			t.Log(a.Describe())
			if !a.Local().Addr().IsLinkLocalUnicast() || a.Local().Addr().Zone() != "x0" {
				t.Errorf("member address %v", a.Local())
			}
			exchange6(t, a, b, netip.AddrPort{})
			a.quiet()
			if s := a.Stats(); s.Own == 0 || !portable && s.SyscallsIn == 0 {
				t.Errorf("own multicasts: %+v", s)
			}
		}
	}, "link add x0 type veth peer name x1", "link set x0 up", "link set x1 up")
}

// TestNoRoute sends to a group in a namespace that has no route to it, with the
// interface chosen automatically.
func TestNoRoute(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		cfg := Config{Group: netip.MustParseAddrPort("239.255.7.7:24243")}
		l, err := autoLink(true)
		if err != nil || l.ifi.Name != "eth7" {
			t.Fatalf("chose %v, %v", l, err)
		}
		cfg.Interface = "10.77.0.1"
		a := open(t, cfg)
		cfg.Interface = "eth7"
		b := open(t, cfg)
		t.Log(a.Describe())
		if a.MTU() != 1400-28 {
			t.Errorf("MTU %d", a.MTU())
		}
		want := pattern(3000)
		a.send(netip.AddrPort{}, want, 1300)
		if g := b.read(3); string(g.bytes) != string(want) {
			t.Fatal("arrived changed")
		}
		a.send(netip.MustParseAddrPort("10.78.0.1:9"), []byte("no way"), 10)
		a.flush()
		if s := a.Stats(); s.LostOut != 1 || s.SendENETUNREACH != 1 {
			t.Errorf("%+v", s)
		}
	}, "link add eth7 mtu 1400 type veth peer name docker7", "link set eth7 up",
		"link set docker7 up", "addr add 10.77.0.1/32 dev eth7",
		"addr add 10.79.0.1/24 dev docker7")
}

// What is for the view is heard on this host only if a member is there, what is for
// strangers always.
func TestLoopedBackToNeighboursAndStrangers(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		cfg := Config{Group: group(), Interface: "x0"}
		a, b := open(t, cfg), open(t, cfg)
		far := netip.MustParseAddrPort("192.0.2.9:5000")
		for _, c := range []struct {
			members []netip.AddrPort
			hears   bool
		}{
			{[]netip.AddrPort{a.Local(), far}, false},
			{[]netip.AddrPort{a.Local(), far, b.Local()}, true},
			{[]netip.AddrPort{far}, false},
			{[]netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:77"), far}, true},
		} {
			a.SetMembers(c.members)
			run := datagram(wire.KindCast, string(pattern(2500)))
			single := datagram(wire.KindCast, "single")
			before := datagram(wire.KindPresence, "before")
			after := datagram(wire.KindDecision, "after")
			a.send(netip.AddrPort{}, before, 100)
			a.send(netip.AddrPort{}, run, 1000)
			a.send(netip.AddrPort{}, single, 100)
			a.send(netip.AddrPort{}, after, 100)
			a.flush()
			want := []string{string(before), string(after)}
			if c.hears {
				want = []string{want[0], string(run[:1000]), string(run[1000:2000]),
					string(run[2000:]), string(single), want[1]}
			}
			if g := b.read(len(want)); !slices.Equal(g.datagrams, want) {
				t.Errorf("members %v: got %d datagrams", c.members, len(g.datagrams))
			}
			b.quiet()
		}
	}, "link add x0 type veth peer name x1", "link set x0 up", "link set x1 up",
		"addr add 10.77.0.1/24 dev x0")
}

func datagram(k wire.Kind, body string) []byte {
	h := wire.Header{Kind: k}
	return append(h.Append(nil), body...)
}
