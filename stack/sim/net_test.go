package sim

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"maestro/stack"
)

func TestDelivery(t *testing.T) {
	c := newCrew(t, 1, 3, Options{})
	for range 5 {
		c.apps[0].Cast(100)
		c.apps[2].Cast(40)
	}
	c.RunFor(time.Millisecond)
	for i := range c.got {
		if len(c.got[i]) != 10 {
			t.Errorf("member %d got %v", i, c.got[i])
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// A run of datagrams arrives as one receive, unless one of them is lost.
func TestRun(t *testing.T) {
	for _, loss := range []float64{0, 0.3} {
		var runs, singles int
		l := LAN()
		l.Loss = loss
		o := Options{Link: &l}
		c := newCrew(t, 8, 2, o)
		before := c.stats.Turns
		c.member(0).Do(func(*stack.Group) {
			for range 10 {
				c.apps[0].Cast(1400)
			}
		})
		runs = int(c.stats.Sent)
		c.RunFor(time.Millisecond)
		singles = int(c.stats.Arrived + c.stats.Lost)
		if runs != 10 || singles != 10 {
			t.Errorf("loss %v: %d sent, %d arrived or lost", loss, runs, singles)
		}
		if loss > 0 && (c.stats.Lost == 0 || len(c.got[1]) != 10-int(c.stats.Lost)) {
			t.Errorf("lost %d, delivered %d", c.stats.Lost, len(c.got[1]))
		}
		if turns := c.stats.Turns - before; turns > 12 {
			t.Errorf("%d turns", turns)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestCuts(t *testing.T) {
	c := newCrew(t, 1, 4, Options{})
	cast := func() string {
		for i := range c.got {
			c.got[i] = nil
		}
		for _, a := range c.apps {
			a.Cast(10)
		}
		c.RunFor(time.Millisecond)
		var s []string
		for i := range c.got {
			s = append(s, fmt.Sprint(len(c.got[i])))
		}
		return strings.Join(s, " ")
	}
	c.Partition([]string{"m00", "m01"}, []string{"m02", "m03"})
	if s := cast(); s != "2 2 2 2" {
		t.Errorf("halves: %s", s)
	}
	c.Partition([]string{"m03"})
	if s := cast(); s != "3 3 3 1" {
		t.Errorf("one off: %s", s)
	}
	c.Heal()
	c.CutOneWay("m00", "m01", true)
	if s := cast(); s != "4 3 4 4" {
		t.Errorf("one way: %s", s)
	}
	c.Cut("m00", "m01", true)
	if s := cast(); s != "3 3 4 4" {
		t.Errorf("both ways: %s", s)
	}
	c.Heal()
	if s := cast(); s != "4 4 4 4" {
		t.Errorf("healed: %s", s)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	l := Link{Delay: 100 * time.Microsecond, Jitter: time.Millisecond, Loss: 0.1, Burst: 0.01,
		BurstEnd: 0.2, Duplicate: 0.1, Replay: 0.1, Reorder: 0.1, Late: 5 * time.Millisecond,
		Corrupt: 0.05, MTU: 1000}
	c := newCrew(t, 3, 3, Options{Link: &l})
	for i := range 500 {
		c.apps[i%3].Cast(50 + 2*i)
		c.RunFor(200 * time.Microsecond)
	}
	c.RunFor(time.Second)
	s := c.Stats()
	for name, n := range map[string]uint64{"lost": s.Lost, "burst": s.Burst, "dup": s.Duplicated,
		"replay": s.Replayed, "late": s.Late, "corrupt": s.Corrupted, "long": s.TooLong} {
		if n == 0 {
			t.Errorf("no %s", name)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// A full receive queue loses datagrams; a paused member takes the rest when it
// goes on.
func TestPause(t *testing.T) {
	c := newCrew(t, 1, 2, Options{})
	m := c.member(1)
	m.Pause()
	for range 1000 {
		c.apps[0].Cast(1000)
		c.RunFor(10 * time.Microsecond)
	}
	c.RunFor(time.Millisecond)
	if n := len(c.got[1]); n != 0 {
		t.Errorf("paused and got %d", n)
	}
	m.Resume()
	c.RunFor(time.Millisecond)
	got := len(c.got[1])
	if want := (208 << 10) / (1000 + 512 + 24); got > want+1 || got < want-10 || m.Overflow == 0 {
		t.Errorf("got %d, room for %d, %d lost", got, want, m.Overflow)
	}
}

func TestCrashAt(t *testing.T) {
	for _, after := range []bool{false, true} {
		c := newCrew(t, 1, 2, Options{})
		c.member(0).CrashAt(3, after)
		for range 5 {
			c.apps[0].Cast(10)
			c.RunFor(time.Millisecond)
		}
		want := 2
		if after {
			want = 3
		}
		if len(c.got[1]) != want || c.member(0).Live() {
			t.Errorf("after=%t: got %v", after, c.got[1])
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	for _, host := range []bool{false, true} {
		c := newCrew(t, 1, 2, Options{})
		if host {
			c.member(1).CrashHost()
		} else {
			c.member(1).Crash()
		}
		m := c.member(0)
		m.Do(func(*stack.Group) { m.Transmit(AddrOf(1), []byte("MMM"), 3) })
		c.RunFor(time.Millisecond)
		if got := m.Group.Counters().Unreachable; (got == 1) == host {
			t.Errorf("host down %t: %d", host, got)
		}
	}
}

func TestBandwidth(t *testing.T) {
	c := newCrew(t, 1, 3, Options{Bandwidth: 1 << 20, Link: &Link{}})
	c.member(1).recvBuf = 4 << 20
	t0 := c.Now()
	c.member(0).Do(func(*stack.Group) {
		for range 1000 {
			c.apps[0].Cast(1000)
		}
	})
	c.WaitFor(time.Minute, func() bool { return len(c.got[1]) == 1000 })
	if d := c.Now().Sub(t0).Seconds(); d < 0.97 || d > 1.1 {
		t.Errorf("1000 messages of 1000 bytes at 1 MiB/s took %.3f s", d)
	}
}

func TestSlowApplication(t *testing.T) {
	c := newCrew(t, 1, 2, Options{})
	c.member(1).Callback = 10 * time.Millisecond
	c.apps[0].Cast(10)
	c.RunFor(5 * time.Millisecond)
	if len(c.got[1]) != 0 {
		t.Error("delivered too early")
	}
	c.apps[0].Cast(10)
	c.RunFor(20 * time.Millisecond)
	if len(c.got[1]) != 2 {
		t.Errorf("delivered %v", c.got[1])
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestClockSkew(t *testing.T) {
	m := &Member{Skew: -3 * time.Hour, Drift: 400}
	for _, u := range []stack.Time{0, 1, 999, 1e6, 1e9 + 7, 1e13} {
		l := m.clock(u)
		if back := m.unclock(l); m.clock(back) < l || back > u+1000 {
			t.Errorf("%d -> %d -> %d", u, l, back)
		}
	}
}

func TestSameSeedSameRun(t *testing.T) {
	run := func(seed uint64) (uint64, string) {
		var b bytes.Buffer
		l := Link{Delay: 1000, Jitter: time.Millisecond, Loss: 0.1, Duplicate: 0.1, Replay: 0.1}
		c := newCrew(t, seed, 5, Options{Link: &l, Trace: &b, TraceData: true})
		for _, a := range c.apps {
			a.Work(Load{Every: time.Millisecond, Burst: 3, Small: 200}, c.Now().Add(time.Second))
		}
		c.RunFor(2 * time.Second)
		return c.Digest(), b.String()
	}
	d1, s1 := run(5)
	d2, s2 := run(5)
	d3, _ := run(6)
	if d1 != d2 || s1 != s2 || d1 == d3 {
		t.Errorf("digests %x %x %x", d1, d2, d3)
	}
	if strings.Count(s1, "\n") < 1000 {
		t.Errorf("a trace of %d bytes", len(s1))
	}
}

func TestAgenda(t *testing.T) {
	w := New(9, Options{})
	var last stack.Time
	n := 0
	for range 2000 {
		at := stack.Time(w.Rand().IntN(500))
		w.At(at, func() {
			if w.Now() < last || w.Now() != at {
				t.Errorf("%d after %d", w.Now(), last)
			}
			last = w.Now()
			n++
		})
	}
	w.RunFor(time.Second)
	if n != 2000 {
		t.Errorf("%d of 2000", n)
	}
}
