package sim_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/layers"
	"maestro/stack"
	"maestro/stack/sim"
	"maestro/stack/trace"
)

var rewrite = flag.Bool("rewrite", false, "rewrite golden files")

// gigabit is a world with the costs of an ordinary machine and network.
func gigabit(loss float64) sim.Options {
	l := sim.LAN()
	l.Loss = loss
	return sim.Options{Link: &l, Bandwidth: 125 << 20, Cost: sim.Cost{
		Turn: 4 * time.Microsecond, Receive: 2 * time.Microsecond,
		Transmit: 3 * time.Microsecond, KByte: 300 * time.Nanosecond}}
}

// bench is a group that has formed, with the times of sending and delivery.
type bench struct {
	w    *sim.World
	apps []*sim.Recorder
	sent map[uint64]stack.Time
	lat  []time.Duration
	slow time.Duration // the longest time without a delivery, at any member
	last []stack.Time
}

// newBench forms a group of n members; only then does the network lose any.
func newBench(t testing.TB, n int, want stack.Props, o sim.Options) *bench {
	calm := *o.Link
	loss := calm.Loss
	calm.Loss = 0
	o.Link = &calm
	b := &bench{w: sim.New(uint64(n)<<8|uint64(want), o), sent: map[uint64]stack.Time{},
		last: make([]stack.Time, n)}
	name, makers := layers.For(want)
	for i := range n {
		r := &sim.Recorder{}
		r.OnDeliver = func(id trace.MsgID, _ []byte) {
			now := b.w.Now()
			if i < n-1 {
				b.lat = append(b.lat, now.Sub(b.sent[id.N]))
				b.slow = max(b.slow, now.Sub(b.last[i]))
				b.last[i] = now
			}
		}
		cfg := stack.Config{StackName: name, Layers: makers, Bootstrap: i == 0, RecvBuf: 4 << 20,
			StallLimit: time.Hour}
		m, err := b.w.Add(fmt.Sprintf("m%02d", i), cfg, r)
		if err != nil {
			t.Fatal(err)
		}
		m.Join()
		b.w.RunFor(20 * time.Millisecond)
		b.apps = append(b.apps, r)
	}
	ok := b.w.WaitFor(10*time.Second, func() bool {
		for _, r := range b.apps {
			if r.Current == nil || len(r.Current.Members) != n {
				return false
			}
		}
		return true
	})
	if !ok {
		t.Fatalf("no group of %d", n)
	}
	calm.Loss = loss
	b.w.SetLinks(calm)
	return b
}

func (b *bench) cast(size int) {
	r := b.apps[len(b.apps)-1] // not the one that orders
	r.Cast(size)
	b.sent[uint64(r.Sent+r.Queued())] = b.w.Now()
}

func (b *bench) all(n int) func() bool {
	return func() bool {
		for _, r := range b.apps {
			if r.Delivered < n {
				return false
			}
		}
		return true
	}
}

// stream is the rate at which one member's messages reach all others, and the
// longest time that one of them waited for the next.
func (b *bench) stream(t *testing.T, count, size int) (rate float64, stall time.Duration) {
	start := b.w.Now()
	for i := range b.last {
		b.last[i] = start
	}
	for range count {
		b.cast(size)
	}
	if !b.w.WaitFor(time.Minute, b.all(count)) {
		t.Fatalf("only %d of %d delivered", b.apps[0].Delivered, count)
	}
	return float64(count) / b.w.Now().Sub(start).Seconds(), b.slow
}

// pace is how long messages take that are sent one by one.
func (b *bench) pace(t *testing.T, count int) (p50, p99, most time.Duration) {
	for range count {
		b.cast(100)
		b.w.RunFor(time.Millisecond)
	}
	if !b.w.WaitFor(time.Minute, b.all(count)) {
		t.Fatalf("only %d of %d delivered", b.apps[0].Delivered, count)
	}
	slices.Sort(b.lat)
	n := len(b.lat)
	return b.lat[n/2], b.lat[n*99/100], b.lat[n-1]
}

// TestPerformance holds what the protocol costs, in virtual time, against the
// golden file: any change shows, on any machine.
func TestPerformance(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	var s strings.Builder
	s.WriteString("one sender, 1 Gbit/s, 50 us links; rate: 1000-byte messages as fast as they\n" +
		"go, longest stall: the longest that a receiver waited for the next one;\n" +
		"latency: 100-byte messages, one each ms\n\n" +
		"stack  members  loss %   messages/s  longest stall     p50      p99      max\n")
	us := func(d time.Duration) string { return fmt.Sprintf("%d us", d.Microseconds()) }
	for _, want := range []stack.Props{0, stack.Total} {
		for _, n := range []int{2, 3, 5, 9} {
			for _, loss := range []float64{0, 0.001, 0.01, 0.05} {
				rate, stall := newBench(t, n, want, gigabit(loss)).stream(t, 10000, 1000)
				p50, p99, most := newBench(t, n, want, gigabit(loss)).pace(t, 1000)
				name := "fifo"
				if want != 0 {
					name = "total"
				}
				fmt.Fprintf(&s, "%-6s %7d %7.1f %12.0f %14s %8s %8s %8s\n", name, n, loss*100,
					rate, us(stall), us(p50), us(p99), us(most))
			}
		}
	}
	golden(t, "testdata/performance.txt", s.String())
}

// TestLightLoad: messages one by one, which never fill a window, are not held up by
// one either. They were, each eighth of them until an announcement, while receivers
// took it for larger than it was.
func TestLightLoad(t *testing.T) {
	for _, want := range []stack.Props{0, stack.Total} {
		for _, n := range []int{2, 3, 9, 20, 64} {
			for _, gap := range []time.Duration{10, 60, 100, 500} {
				b := newBench(t, n, want, gigabit(0))
				for range 500 {
					b.cast(100)
					b.w.RunFor(gap * time.Microsecond)
				}
				if !b.w.WaitFor(time.Minute, b.all(500)) {
					t.Fatalf("only %d delivered", b.apps[0].Delivered)
				}
				slices.Sort(b.lat)
				p50, most := b.lat[len(b.lat)/2], b.lat[len(b.lat)-1]
				t.Logf("%d members, %v, each %d us: p50 %v, longest %v", n, want, gap, p50, most)
				if most > 600*time.Microsecond {
					t.Errorf("%d members, %v, each %d us: %v", n, want, gap, most)
				}
			}
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s has\n%s\nand not\n%s\nrewrite with -rewrite if that is meant", file, want, got)
	}
}
