//go:build unix

package node

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"maestro/stack"
)

// A member that fails while it is fed does not keep its process busy.
func TestFeedBroken(t *testing.T) {
	group := netip.AddrPortFrom(netip.MustParseAddr("239.255.77.5"),
		uint16(20000+os.Getpid()%20000))
	a := &counter{slow: func() { panic("the application's") }}
	start(t, "a", group, a, a)
	until(t, "a view", 3*time.Second, func() bool { return members(a) == 1 })
	a.n.Feed(func(g *stack.Group) bool {
		_ = g.Cast(1, nil, []byte("x"))
		return true
	})
	until(t, "exit", time.Second, a.exited.Load)
	before := cpu(t)
	time.Sleep(100 * time.Millisecond)
	if d := cpu(t) - before; d > 50*time.Millisecond {
		t.Errorf("%v of a processor in 100 ms", d)
	}
	if err := a.n.Close(); err != nil {
		t.Error(err)
	}
}

// cpu is the processor time of this process.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
