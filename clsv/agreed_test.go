package clsv_test

import (
	"testing"

	"maestro/clsv"
)

// agreeing notes which views it knows to be agreed on.
type agreeing struct {
	*recorder
	t      *testing.T
	agreed []*clsv.View
}

func (a *agreeing) PrimaryView(v *clsv.View, _ []byte) {
	if last := a.last(); last == nil || last.ID != v.ID || !v.Primary {
		a.t.Errorf("agreed on %v in %v", v, last)
	}
	a.agreed = append(a.agreed, v)
}

// TestAgreed: with a quorum, each member is told once of a primary view that a quorum
// has installed it, also if a server transfers and without PrimaryOnly. What has been
// received in such a view counts for more than anything that has been in others.
func TestAgreed(t *testing.T) { both(t, agreed) }

func agreed(t *testing.T) {
	l := newLab(t)
	all := map[string]*agreeing{}
	for _, n := range []string{"A", "B", "C"} {
		a := &agreeing{recorder: &recorder{}, t: t}
		o := server(clsv.FreeXfer)
		o.Handler, o.Quorum = a, 2
		l.add(n, o)
		a.m, l.r[n] = l.r[n].m, a.recorder
		all[n] = a
		l.ok(a.m.StartJoin())
		l.settle()
		l.ok(a.m.Post(func() { _ = a.m.XferDone() }))
		l.until(func() bool { return a.m.State() == clsv.ServerNormal })
		l.settle()
	}
	told := func(n string) bool {
		a := all[n]
		return len(a.agreed) > 0 && a.agreed[len(a.agreed)-1].ID == a.last().ID
	}
	l.soon(func() bool { return told("A") && told("B") && told("C") })
	for n, a := range all {
		primary := 0
		for _, v := range a.views {
			if v.Primary {
				primary++
			}
		}
		if len(a.agreed) > primary || !told(n) {
			t.Errorf("%s: told of %d views of %d", n, len(a.agreed), primary)
		}
	}
	l.b.partition([]string{"A"}, []string{"B", "C"})
	l.until(func() bool {
		return len(l.r["A"].m.View().Members) == 1 && len(l.r["B"].m.View().Members) == 2
	})
	for range 50 {
		l.cast("A", "for nothing")
	}
	l.cast("B", "x")
	l.run(20 * ms)
	if told("A") || !l.soon(func() bool { return told("B") && told("C") }) {
		t.Error("who is alone has been told, or the others have not")
	}
	l.b.heal()
	l.until(func() bool { return len(l.r["A"].m.View().Members) == 3 })
	if d := l.r["A"].degraded; !l.soon(func() bool { return len(l.r["A"].degraded) == 1 }) {
		t.Error(d)
	}
}
