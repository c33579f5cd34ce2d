package stack

import (
	"testing"
	"time"

	"maestro/wire"
)

// TestPatience follows a detector through false alarms and calm times.
func TestPatience(t *testing.T) {
	const least = 20 * time.Millisecond
	view := func(names ...string) *View {
		v := new(View)
		for _, n := range names {
			v.Members = append(v.Members, wire.Member{ID: wire.Endpoint{Name: n, Incarnation: 1}})
		}
		return v
	}
	all, some := view("a", "b", "c"), view("a", "b")
	lost := Set{false, false, true}
	var p patience
	now := Time(0)
	wait := func(d time.Duration) { now = now.Add(d) }
	expect := func(d time.Duration) {
		t.Helper()
		if got := p.silence(now, least); got != d {
			t.Fatalf("%v: silent for %v, not %v", now, got, d)
		}
	}
	alarm := func(away time.Duration) {
		p.changed(now, least, all, lost, some)
		wait(away)
		p.changed(now, least, some, nil, all)
	}
	expect(least)
	alarm(soonBack*least + 1) // too long away for a false alarm
	expect(least)
	alarm(time.Millisecond)
	expect(2 * least)
	p.changed(now, least, all, lost, all) // back in the very next view
	expect(4 * least)
	for range 20 {
		alarm(time.Millisecond)
	}
	expect(MaxSilence)
	wait(calm*MaxSilence - 1)
	expect(MaxSilence)
	wait(1)
	expect(least + (MaxSilence-least)/2)
	wait(time.Hour)
	expect(least)
	if len(p.failed) != 0 {
		t.Fatal(p.failed)
	}
	if d := new(patience).silence(now, 3*MaxSilence); d != 3*MaxSilence {
		t.Fatal(d)
	}
}
