//go:build linux

package group

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"maestro/internal/netlab"
)

// These tests show that views change as they should on real sockets; how fast
// they do is for the benchmarks below, whose figures are in docs/measurements.md.

func TestKillLeaveJoin(t *testing.T) {
	c := newCluster(t, 4, netlab.Options{GSO: true})
	c.together(3)
	c.start(4)
	for i := 1; i <= 4; i++ {
		c.view(i, 4, 5*time.Second)
	}
	c.lab.Kill(4)
	for i := 1; i <= 3; i++ {
		c.view(i, 3, 5*time.Second)
	}
	c.procs[1].Say("leave")
	c.procs[1].Wait("^EXIT", 5*time.Second)
	for i := 2; i <= 3; i++ {
		c.view(i, 2, 5*time.Second)
	}
}

func TestPauseAndReturn(t *testing.T) {
	c := newCluster(t, 3, netlab.Options{GSO: true})
	c.together(3)
	c.lab.Pause(3)
	c.view(1, 2, 5*time.Second)
	c.view(2, 2, 5*time.Second)
	c.lab.Resume(3)
	for i := 1; i <= 3; i++ {
		c.view(i, 3, 5*time.Second)
	}
}

func TestHalves(t *testing.T) {
	c := newCluster(t, 4, netlab.Options{GSO: true})
	c.together(4)
	c.lab.Partition([][]int{{1, 2}, {3, 4}})
	for i := 1; i <= 4; i++ {
		c.view(i, 2, 5*time.Second)
	}
	c.lab.Heal()
	for i := 1; i <= 4; i++ {
		c.view(i, 4, 5*time.Second)
	}
}

func TestLossyStream(t *testing.T) {
	c := newCluster(t, 3, netlab.Options{})
	c.together(3)
	c.lab.Loss(50)
	c.stream([]int{1}, 1000, 300*time.Millisecond)
	c.stream([]int{1, 2, 3}, 64, 300*time.Millisecond)
	c.procs[2].Say("rpc 64 200")
	c.procs[2].Wait("^RPC", 20*time.Second)
}

func TestIPv6(t *testing.T) {
	c := newCluster(t, 3, netlab.Options{IPv6: true})
	c.env = []string{groupEnv + "=[ff02::4d:1]:17072"}
	c.together(3)
	c.stream([]int{1, 2}, 3000, 200*time.Millisecond)
	c.lab.Kill(1)
	c.view(2, 2, 5*time.Second)
	c.view(3, 2, 5*time.Second)
}

// TestPeers runs the stack where multicast does not get through at all.
func TestPeers(t *testing.T) {
	c := newCluster(t, 3, netlab.Options{})
	var peers []string
	for i := 1; i <= 3; i++ {
		c.lab.Deaf(i, true)
		peers = append(peers, netip.AddrPortFrom(c.lab.Addr(i), 17073).String())
	}
	c.env = []string{peersEnv + "=" + strings.Join(peers, ",")}
	c.together(3)
	c.stream([]int{1, 2}, 3000, 200*time.Millisecond)
	c.lab.Kill(1)
	c.view(2, 2, 5*time.Second)
	c.view(3, 2, 5*time.Second)
}

// ms reports the median of durations in milliseconds.
func ms(b *testing.B, name string, v []time.Duration) {
	if len(v) > 0 {
		b.ReportMetric(float64(median(v))/1e6, name+"-ms")
	}
}

// BenchmarkView measures the changes of a view of 3 by a fourth member that
// joins, leaves, joins again and is killed.
func BenchmarkView(b *testing.B) {
	c := newCluster(b, 4, netlab.Options{GSO: true})
	c.together(3)
	var join, leave, kill, blocked []time.Duration
	b.ResetTimer()
	for range b.N {
		c.joined(&join, &blocked)
		c.procs[4].Say("leave")
		_, s := c.procs[4].Wait(`^LEAVE (\d+)`, 5*time.Second)
		left := time.Unix(0, num(s[1]))
		leave = append(leave, c.survivors(&blocked).Sub(left))
		c.procs[4].Say("quit")
		c.procs[4].Exit(5 * time.Second)

		c.joined(&join, &blocked)
		killed := time.Now()
		c.lab.Kill(4)
		kill = append(kill, c.survivors(&blocked).Sub(killed))
	}
	ms(b, "join", join)
	ms(b, "leave", leave)
	ms(b, "kill", kill)
	ms(b, "blocked", blocked)
}

// BenchmarkHostLoss measures how long the view takes to change when a host is
// cut off: there is nobody left to say that a port is closed.
func BenchmarkHostLoss(b *testing.B) {
	c := newCluster(b, 4, netlab.Options{GSO: true})
	c.together(3)
	var join, host, blocked []time.Duration
	b.ResetTimer()
	for range b.N {
		c.joined(&join, &blocked)
		gone := time.Now()
		c.lab.LinkDown(4)
		host = append(host, c.survivors(&blocked).Sub(gone))
		c.lab.Kill(4)
		c.lab.LinkUp(4)
	}
	ms(b, "hostloss", host)
}

// joined starts the fourth member and waits until all have it. The time of a
// join is from when its sockets are open.
func (c *cluster) joined(join, blocked *[]time.Duration) {
	c.Helper()
	p := c.start(4)
	_, s := p.Wait(`^START (\d+)`, 5*time.Second)
	began := time.Unix(0, num(s[1]))
	last := began
	for i := 1; i <= 4; i++ {
		at, bl := c.view(i, 4, 5*time.Second)
		if at.After(last) {
			last = at
		}
		if i < 4 {
			*blocked = append(*blocked, bl)
		}
	}
	*join = append(*join, last.Sub(began))
}

// survivors waits until the first three have a view of their own.
func (c *cluster) survivors(blocked *[]time.Duration) (last time.Time) {
	c.Helper()
	for i := 1; i <= 3; i++ {
		at, bl := c.view(i, 3, 5*time.Second)
		if at.After(last) {
			last = at
		}
		*blocked = append(*blocked, bl)
	}
	return last
}

// BenchmarkStart measures how long 16 members that start together take to be in
// one view, from when the last one's sockets are open.
func BenchmarkStart(b *testing.B) {
	var took []time.Duration
	for range b.N {
		c := newCluster(b, 16, netlab.Options{GSO: true})
		for i := 1; i <= 16; i++ {
			c.start(i)
		}
		var began, last time.Time
		for i := 1; i <= 16; i++ {
			_, s := c.procs[i].Wait(`^START (\d+)`, 10*time.Second)
			began = later(began, time.Unix(0, num(s[1])))
		}
		for i := 1; i <= 16; i++ {
			at, _ := c.view(i, 16, 10*time.Second)
			last = later(last, at)
		}
		took = append(took, last.Sub(began))
		for i := 1; i <= 16; i++ {
			c.lab.Kill(i)
		}
	}
	ms(b, "start16", took)
}

// BenchmarkHeal measures how long two halves of 8 members take to be one view
// again once they are connected.
func BenchmarkHeal(b *testing.B) {
	c := newCluster(b, 8, netlab.Options{GSO: true})
	c.together(8)
	var took []time.Duration
	b.ResetTimer()
	for range b.N {
		c.lab.Partition([][]int{{1, 2, 3, 4}, {5, 6, 7, 8}})
		for i := 1; i <= 8; i++ {
			c.view(i, 4, 10*time.Second)
		}
		healed := time.Now()
		c.lab.Heal()
		var last time.Time
		for i := 1; i <= 8; i++ {
			at, _ := c.view(i, 8, 10*time.Second)
			last = later(last, at)
		}
		took = append(took, last.Sub(healed))
	}
	ms(b, "heal8", took)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
