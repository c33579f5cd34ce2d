package check

import (
	"slices"
	"testing"

	"maestro/stack/trace"
	"maestro/wire"
)

// modes are the stacks that correct traces are made for.
func modes() []mode {
	return []mode{
		{max: 6},
		{causal: true, max: 7},
		{total: true, causal: true, max: 8},
		{total: true, uniform: true, max: 5},
		{total: true, uniform: true, safe: true, max: 16},
	}
}

// online feeds events as they are.
func online(o Options, es []trace.Event) *Checker {
	o.Online = true
	c := New(o)
	for i := range es {
		c.Observe(&es[i])
	}
	c.Finish()
	return c
}

// offline feeds first one process, then the next, as from files.
func offline(o Options, es []trace.Event) *Checker {
	c := New(o)
	by := map[wire.Endpoint][]int{}
	var order []wire.Endpoint
	for i, e := range es {
		if e.Kind.Harness() {
			e.P = wire.Endpoint{}
		}
		if _, ok := by[e.P]; !ok {
			order = append(order, e.P)
		}
		by[e.P] = append(by[e.P], i)
	}
	slices.Reverse(order)
	for _, p := range order {
		for _, i := range by[p] {
			c.Observe(&es[i])
		}
	}
	c.Finish()
	return c
}

// TestNoFalseAlarm checks correct traces.
func TestNoFalseAlarm(t *testing.T) {
	seeds, steps := uint64(60), 6000
	if testing.Short() {
		seeds, steps = 15, 2000
	}
	var sum Stats
	for seed := range seeds {
		m := modes()[seed%uint64(len(modes()))]
		es := newWorld(seed, m).run(steps)
		for name, c := range map[string]*Checker{
			"on-line": online(m.options(), es), "off-line": offline(m.options(), es),
		} {
			if len(c.found) > 0 {
				t.Fatalf("seed %d %s: %v\n%s", seed, name, c.Counts(), c.found[0].Detail())
			}
			if n := len(c.views); name == "on-line" && n > 20 {
				t.Errorf("seed %d: %d views in memory at the end", seed, n)
			}
			s := c.Stats()
			sum.Events += s.Events
			sum.Views += s.Views
			sum.Deliveries += s.Deliveries
		}
	}
	t.Logf("%d seeds: %+v", seeds, sum)
}

// TestParted has a transfer start again at p, whose source a went a way of its
// own and came back with a state that won: right, if a has not come along.
func TestParted(t *testing.T) {
	a, b, p := wire.Endpoint{Name: "a"}, wire.Endpoint{Name: "b"}, wire.Endpoint{Name: "p"}
	all := []wire.Endpoint{a, b, p}
	view := func(ltime uint64, with []wire.Endpoint, c trace.Change) trace.Event {
		v := &trace.View{ID: wire.ViewID{Ltime: ltime, Coord: a}, Members: all, ClSv: true,
			Servers: all[:1], XferServers: all[1:], ViewType: trace.FreeXfer, ServerCoord: a,
			Trans: with, MemberChange: c, ServerRank: -1, OldServerRank: -1,
			State: trace.ServerXfer, StartXfer: true}
		if v.OldState = trace.Joining; len(c.New) == 0 {
			v.OldState, v.OldServerCoord = v.State, a
		} else {
			v.ServerChange.New, v.XferChange.New = all[:1], all[1:]
		}
		return trace.Event{Time: int64(ltime), P: p, Kind: trace.ViewEvent, View: v}
	}
	for _, with := range [][]wire.Endpoint{all[1:], all, nil} {
		c := online(Options{ClSv: true}, []trace.Event{
			view(1, all[2:], trace.Change{New: all}), view(9, with, trace.Change{})})
		if bad := c.Counts()["CS7"] > 0; bad != (len(with) == 3) || len(c.Counts()) > 1 {
			t.Errorf("with %v: %v", with, c.Counts())
		}
	}
}
