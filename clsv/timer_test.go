package clsv_test

import (
	"math"
	"testing"
	"time"

	"maestro/clsv"
)

// TestAfter runs callbacks later, in the order of their times, but those that are
// stopped and those of a life that is over.
func TestAfter(t *testing.T) {
	both(t, func(t *testing.T) {
		l := newLab(t)
		a := l.join("A", client)
		m := a.m
		var got []int
		after := func(i int, d time.Duration) func() {
			stop, err := m.After(d, func() { got = append(got, i) })
			l.ok(err)
			return stop
		}
		after(3, 300*ms)
		after(1, 100*ms)
		stop := after(2, 200*ms)
		after(0, -ms)
		after(9, math.MaxInt64)
		stop()
		stop()
		l.until(func() bool { return len(got) == 3 })
		l.run(ms)
		stop()
		if len(got) != 3 || got[0] != 0 || got[1] != 1 || got[2] != 3 {
			t.Error(got)
		}
		late := after(4, 10*time.Second)
		l.ok(m.Leave(bg))
		_, err := m.After(0, func() { t.Error("after Exit") })
		l.is(err, clsv.ErrNotJoined)
		l.ok(m.Join(bg))
		after(5, 300*ms)
		late() // is not of this life
		l.until(func() bool { return len(got) == 4 })
		if len(got) != 4 || got[3] != 5 {
			t.Error(got)
		}
	})
}
