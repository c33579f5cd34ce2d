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

// newRing is a group of n members that has been at rest for a second.
func newRing(t *testing.T, n int, o sim.Options) (*sim.World, []*sim.Recorder) {
	t.Helper()
	w := sim.New(1, o)
	name, makers := layers.For(0)
	var apps []*sim.Recorder
	for i := range n {
		r := &sim.Recorder{}
		cfg := stack.Config{StackName: name, Layers: makers, Bootstrap: i == 0}
		m, err := w.Add(fmt.Sprintf("m%02d", i), cfg, r)
		if err != nil {
			t.Fatal(err)
		}
		m.Join()
		apps = append(apps, r)
		w.RunFor(20 * time.Millisecond)
	}
	w.RunFor(time.Second)
	for _, r := range apps {
		if r.Current == nil || len(r.Current.Members) != n {
			t.Fatalf("no view of %d: %v", n, r.Current)
		}
	}
	return w, apps
}

// left waits until the first k are among themselves.
func left(t *testing.T, w *sim.World, apps []*sim.Recorder, k int) time.Duration {
	t.Helper()
	began := w.Now()
	if !w.WaitFor(5*time.Second, func() bool {
		for _, r := range apps[:k] {
			if len(r.Current.Members) != k {
				return false
			}
		}
		return true
	}) {
		t.Fatalf("no view of %d: %v", k, apps[0].Current)
	}
	return w.Now().Sub(began)
}

// TestKilled: where lifelines hold, the end of a process is known at once, also of several
// that are neighbours; where they do not, by the next probe. The loss of a host is silence in
// any case.
func TestKilled(t *testing.T) {
	const n = 6
	for _, c := range []struct {
		what string
		o    sim.Options
		most [2]time.Duration // for one, and for two at once
	}{
		{"lifelines", sim.Options{}, [2]time.Duration{2 * time.Millisecond, 2 * time.Millisecond}},
		{"no lifelines", sim.Options{NoLifelines: true},
			[2]time.Duration{15 * time.Millisecond, 30 * time.Millisecond}},
		{"some", sim.Options{Unheld: 0.9},
			[2]time.Duration{60 * time.Millisecond, 80 * time.Millisecond}},
		{"they break", sim.Options{Snap: 20 * time.Millisecond},
			[2]time.Duration{15 * time.Millisecond, 30 * time.Millisecond}},
	} {
		t.Run(c.what, func(t *testing.T) {
			for k, most := range c.most {
				w, apps := newRing(t, n, c.o)
				for i := n - 1 - k; i < n; i++ {
					w.Member(fmt.Sprintf("m%02d", i)).Crash()
				}
				took := left(t, w, apps, n-1-k)
				t.Logf("%d killed: %v", k+1, took)
				if took > most {
					t.Errorf("%d killed: noticed after %v, want at most %v", k+1, took, most)
				}
				if err := w.Close(); err != nil {
					t.Error(err)
				}
			}
		})
		t.Run(c.what+", host", func(t *testing.T) {
			w, apps := newRing(t, n, c.o)
			w.Member("m05").CrashHost()
			took := left(t, w, apps, n-1)
			t.Logf("host lost: %v", took)
			if took < 400*time.Millisecond || took > 530*time.Millisecond {
				t.Errorf("host lost: noticed after %v", took)
			}
		})
	}
}

// TestIdleLifelines: a ring at rest stays so, whether lifelines hold or break, and says
// less where they hold.
func TestIdleLifelines(t *testing.T) {
	for what, c := range map[string]struct {
		o     sim.Options
		least float64 // probes a second
		most  float64
	}{
		"lifelines":    {sim.Options{}, 17, 21},
		"no lifelines": {sim.Options{NoLifelines: true}, 85, 105},
		"some":         {sim.Options{Unheld: 0.9}, 17, 105},
		"they break":   {sim.Options{Snap: 20 * time.Millisecond}, 17, 105},
		"they stand":   {sim.Options{Snap: time.Second}, 17, 40},
	} {
		t.Run(what, func(t *testing.T) {
			w, apps := newRing(t, 6, c.o)
			views := apps[0].Accepted
			var probes [2]uint64
			for i := range probes {
				for _, m := range w.Members() {
					probes[i] += m.Group.Counters().PacketsOut[wire.KindProbe]
				}
				w.RunFor(5 * time.Second)
			}
			rate := float64(probes[1]-probes[0]) / 5 / 6
			t.Logf("%.1f probes a second", rate)
			if rate < c.least || rate > c.most {
				t.Errorf("%.1f probes a second, not %v to %v", rate, c.least, c.most)
			}
			if apps[0].Accepted != views {
				t.Errorf("%d new views", apps[0].Accepted-views)
			}
		})
	}
}
