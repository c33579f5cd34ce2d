package sim_test

import (
	"testing"
	"time"

	"maestro/wire"
)

// TestForm has more members start one after the other, on two processors, than can follow
// each of those who join. What they tell each other must not grow with their square: who
// has not heard yet that a view is over is not told so by everybody.
func TestForm(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const (
		n    = 100
		gap  = 20 * time.Millisecond
		form = 500 * time.Millisecond
	)
	w, apps := newCrowd(t, n, gap)
	whole := func() bool {
		for _, r := range apps {
			if r.Current == nil || len(r.Current.Members) != n {
				return false
			}
		}
		return true
	}
	w.RunFor(n * gap / 2)
	if apps[0].Current == nil {
		t.Error("the first has to wait until the last is there")
	}
	for !whole() {
		w.RunFor(time.Millisecond)
		if took := time.Duration(w.Now()) - n*gap; took > form {
			t.Fatalf("no common view %v after the last start", took)
		}
	}
	var out, views uint64
	for _, m := range w.Members() {
		out += m.Group.Counters().PacketsOut[wire.KindDecision]
		views = max(views, m.Group.Counters().Views)
	}
	t.Logf("one view %v after the last start; %d views, %d decisions sent",
		time.Duration(w.Now())-n*gap, views, out)
	if out > n*views {
		t.Errorf("%d decisions sent, for %d views of at most %d members", out, views, n)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
