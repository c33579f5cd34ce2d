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

// newCrowd is members that share two slow cores and start one after the other.
func newCrowd(t *testing.T, n int, gap time.Duration) (*sim.World, []*sim.Recorder) {
	w := sim.New(1, sim.Options{Processors: 2, Cost: sim.Cost{Turn: 60 * time.Microsecond,
		Receive: 30 * time.Microsecond, Transmit: 30 * time.Microsecond}})
	name, makers := layers.For(0)
	apps := make([]*sim.Recorder, n)
	for i := range apps {
		apps[i] = &sim.Recorder{}
		m, err := w.Add(fmt.Sprintf("m%03d", i), stack.Config{StackName: name, Layers: makers},
			apps[i])
		if err != nil {
			t.Fatal(err)
		}
		w.After(time.Duration(i)*gap, m.Join)
	}
	return w, apps
}

// TestCrowd has members that share two slow cores form one view soon, and stay in
// it: what each hears from all others must not take all the time that there is.
func TestCrowd(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const (
		n    = 64
		gap  = 20 * time.Millisecond // from one start to the next
		form = time.Second
		calm = 5 * time.Second
	)
	w, apps := newCrowd(t, n, gap)
	whole := func(n int) (k int) {
		for _, r := range apps {
			if r.Current != nil && len(r.Current.Members) == n {
				k++
			}
		}
		return k
	}
	for at := w.Now(); whole(n) < n; w.RunFor(time.Millisecond) {
		if took := w.Now().Sub(at) - n*gap; took > form {
			t.Fatalf("%d of %d members are in one view %v after the last start", whole(n), n, took)
		}
	}
	t.Logf("one view at %v", time.Duration(w.Now()))
	last, arrived := apps[0].Current, w.Stats().Arrived
	w.RunFor(calm)
	for _, r := range apps {
		if r.Current == nil || r.Current.ID != last.ID {
			t.Fatalf("view %v did not last", last)
		}
	}
	each := float64(w.Stats().Arrived-arrived) / n / calm.Seconds()
	t.Logf("datagrams that an idle member hears a second: %.0f", each)
	if each > 450 {
		t.Errorf("an idle member hears %.0f datagrams a second", each)
	}
	crash := w.Now()
	w.Members()[n/2].Crash()
	apps = append(apps[:n/2], apps[n/2+1:]...)
	for whole(n-1) < n-1 {
		w.RunFor(time.Millisecond)
	}
	took := w.Now().Sub(crash)
	t.Logf("a crash: %v", took)
	if took > 100*time.Millisecond {
		t.Errorf("the next view took %v", took)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// TestLateLeader has a member ask a leader to be taken in that stands still. Where it
// gives up before the leader goes on, no view has it that it is not in; where the
// leader goes on soon, the member has waited.
func TestLateLeader(t *testing.T) {
	for _, pause := range []time.Duration{400 * time.Millisecond, 700 * time.Millisecond} {
		w := sim.New(1, sim.Options{})
		name, makers := layers.For(0)
		apps := map[string]*sim.Recorder{}
		add := func(who string, first bool) *sim.Member {
			apps[who] = &sim.Recorder{}
			m, err := w.Add(who, stack.Config{StackName: name, Layers: makers, Bootstrap: first},
				apps[who])
			if err != nil {
				t.Fatal(err)
			}
			m.Join()
			return m
		}
		a := add("a", true)
		w.RunFor(100 * time.Millisecond)
		b := add("b", false)
		for b.Group.Counters().PacketsOut[wire.KindMerge] == 0 {
			w.RunFor(time.Microsecond)
		}
		a.Pause()
		c := add("c", false)
		w.RunFor(pause)
		a.Resume()
		w.RunFor(200 * time.Millisecond)
		for who, r := range apps {
			if r.Current == nil || len(r.Current.Members) != 3 {
				t.Errorf("pause of %v: view %v at %s", pause, r.Current, who)
			}
		}
		for _, m := range []*sim.Member{a, b, c} {
			if n := m.Group.Counters().Suspicions; n > 0 {
				t.Errorf("pause of %v: %s has suspected %d", pause, m.Name, n)
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}
