package clsv_test

import (
	"testing"
	"time"

	"maestro/clsv/clsvtest"
	"maestro/stack/sim"
)

func TestGM25(t *testing.T) {
	link := sim.LAN()
	link.Replay, link.Duplicate = 0.2, 0.2
	l := newLabOn(t, 1, clsvtest.Config{Sim: sim.Options{Link: &link}})
	for _, n := range []string{"A", "B", "C"} {
		l.join(n, client)
		l.cast("A", "for "+n)
	}
	for range 20 {
		l.ok(l.r["A"].m.RequestView())
		l.cast("B", "between views")
		l.c.Run(20 * ms)
	}
	l.c.Run(time.Second)
	if got := len(l.r["A"].got); got != 23 {
		t.Errorf("A got %d messages of 23", got)
	}
	s, _ := l.r["B"].m.Stats()
	if s.Stack.OtherView+s.Stack.Duplicates == 0 {
		t.Error("nothing was counted")
	}
	for _, n := range []string{"A", "B", "C"} { // nothing is lost here
		if s, _ := l.r[n].m.Stats(); s.Stack.NaksOut > 20 || s.Stack.Malformed > 0 {
			t.Errorf("%s asked %d times for what it had", n, s.Stack.NaksOut)
		}
	}
}

func TestGM26(t *testing.T) {
	l := newLab(t)
	all := []string{"A", "B", "C", "D"}
	for _, n := range all {
		l.join(n, client)
	}
	l.c.World.Cut("A", "B", true)
	for range 20 {
		l.cast("C", "x")
		l.c.Run(100 * ms)
	}
	l.c.World.Cut("A", "B", false)
	l.quiet(all)
}
