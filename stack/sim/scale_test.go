package sim_test

import (
	"fmt"
	"testing"
	"time"

	"maestro/layers"
	"maestro/stack"
	"maestro/stack/sim"
	"maestro/wire"
)

// large is a group of many that start at once.
type large struct {
	*testing.T
	w    *sim.World
	apps []*sim.Recorder
}

func newLarge(t *testing.T, n int) *large {
	l := &large{T: t, w: sim.New(uint64(n), sim.Options{})}
	name, makers := layers.For(0)
	for i := range n {
		r := &sim.Recorder{}
		m, err := l.w.Add(fmt.Sprintf("m%04d", i), stack.Config{StackName: name, Layers: makers,
			RecvBuf: 4 << 20, Bootstrap: i == 0}, r)
		if err != nil {
			t.Fatal(err)
		}
		l.apps = append(l.apps, r)
		m.Join()
	}
	return l
}

// until lets time pass until all of the first n are ok, and returns how many
// datagrams each has sent in the meantime.
func (l *large) until(n int, what string, ok func(r *sim.Recorder) bool) float64 {
	l.Helper()
	at, sent := l.w.Now(), l.w.Stats().Sent
	for _, r := range l.apps[:n] {
		for !ok(r) {
			if l.w.Now().Sub(at) > time.Second {
				l.Fatalf("%s: not within a second", what)
			}
			l.w.RunFor(100 * time.Microsecond)
		}
	}
	return float64(l.w.Stats().Sent-sent) / float64(n)
}

func (l *large) whole(n int, what string) float64 {
	l.Helper()
	return l.until(n, what, func(r *sim.Recorder) bool {
		return r.Current != nil && len(r.Current.Members) == n
	})
}

// most fails if a figure is too large.
func (l *large) most(what string, got, most float64) {
	l.Helper()
	l.Logf("%s: %.2f", what, got)
	if got > most {
		l.Errorf("%s: %.2f, want at most %.2f", what, got, most)
	}
}

func (l *large) acks() (n uint64) {
	for _, m := range l.w.Members() {
		n += m.Group.Counters().PacketsOut[wire.KindAck]
	}
	return n
}

// TestScale holds down what each member sends as the group grows.
func TestScale(t *testing.T) {
	const n, casts = 128, 100
	l := newLarge(t, n)
	l.most("datagrams to start, per member", l.whole(n, "start"), 30)
	l.w.RunFor(100 * time.Millisecond)
	each := func(since uint64) float64 { return float64(l.acks()-since) / n / casts }
	before := l.acks()
	for i := range casts {
		l.apps[n-1].Cast(100)
		l.w.RunFor(100 * time.Microsecond)
		l.until(n, "casts", func(r *sim.Recorder) bool { return r.Delivered > i })
	}
	l.w.RunFor(100 * time.Millisecond)
	l.most("acknowledgements of each receiver per cast, 10,000/s", each(before), 0.2)
	before = l.acks()
	for range casts {
		l.apps[0].Cast(100)
		l.w.RunFor(2 * time.Millisecond)
	}
	l.w.RunFor(100 * time.Millisecond)
	l.most("acknowledgements of each receiver per cast, 500/s", each(before), 0.3)
	l.w.Members()[n-1].Crash()
	l.most("datagrams from a crash to the view, per member", l.whole(n-1, "crash"), 15)
	if err := l.w.Close(); err != nil {
		t.Error(err)
	}
}

// TestLarge has a group form that is larger than a decision had room for once.
func TestLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	l := newLarge(t, 450)
	l.most("datagrams to start, per member", l.whole(450, "start"), 50)
	if err := l.w.Close(); err != nil {
		t.Error(err)
	}
}
