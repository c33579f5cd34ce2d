package clsv_test

import (
	"errors"
	"slices"

	"maestro/clsv"
)

// Every random run is checked at every event, by package check (whose properties
// are in brackets), by a witness at each member, and by the run itself:
//
//	INV-1   [M3, CS2, CS19]; coordinator: witness
//	INV-2   [CS1], witness     INV-3   [CS5], witness    INV-4   [CS3], witness
//	INV-5   [CS4], witness     INV-6   [CS6], table      INV-7   [CS7], table
//	INV-8   [CS8]              INV-9   [D5, O3]
//	INV-10  [D3, D4, M4, D8, CS20], witness
//	INV-11  [D0, D1, D2, O1, O1p, CS10]
//	INV-12  [M1, M2]; ranks and coordinators: witness
//	INV-13  [B1, B2], witness  INV-14  [M0], witness     INV-15  [CS11, D10]
//	INV-16  [CS6, CS15], table INV-17  package csx       INV-18  witness
//	INV-19  [CS9, L3]          INV-20  no panic; the simulator's account of buffers;
//	                           goroutines: TestMain
//	INV-L   chaos.isQuiet, then [L1, L3, L5, L7] for what comes after it
//
// With state machines also CS17 and CS18: equal states.

// witness holds the callbacks of one member against the invariants that can be
// seen there, without knowing how the views come about: INV-2 to INV-7, INV-10,
// INV-12 to INV-14, INV-16 and INV-18, and the table of states.
type witness struct {
	fail  func(format string, a ...any)
	role  clsv.Role
	xfer  clsv.Xfer
	xfers map[string]clsv.Xfer // of all servers, by name
	sum   *steps

	in       string // the callback that runs
	last     *clsv.View
	blocks   int // since last
	exited   bool
	done     bool // XferDone was called in the transfer that runs
	raced    bool // while the next AcceptedView may have been under way
	degraded *clsv.Degraded
	changing *clsv.View
}

// begin is called before the member joins.
func (w *witness) begin() {
	w.last, w.blocks, w.exited, w.done, w.degraded, w.changing = nil, 0, false, false, nil, nil
}

// enter begins a callback; what it returns ends it.
func (w *witness) enter(what string) func() {
	if w.in != "" {
		w.fail("INV-18: %s within %s", what, w.in)
	}
	if w.exited {
		w.fail("INV-14: %s after Exit", what)
	}
	w.in = what
	return func() { w.in = "" }
}

// message is a callback with a message or a request of a member of the view.
func (w *witness) message(what string, origin clsv.Endpoint) func() {
	leave := w.enter(what)
	if w.last == nil || w.last.RankOf(origin) < 0 || w.changing != nil {
		w.fail("INV-10: %s of %v, view %v", what, origin, w.last)
	}
	w.sum.received.Add(1)
	return leave
}

func (w *witness) block() {
	if w.blocks++; w.last == nil || w.blocks > 1 {
		w.fail("INV-13: block %d in view %v", w.blocks, w.last)
	}
}

// proposed is a ChangingView or a ProposeView.
func (w *witness) proposed(v *clsv.View) {
	if w.last != nil && w.blocks != 1 {
		w.fail("INV-13: %d blocks before ChangingView", w.blocks)
	}
	w.changing = v
	w.fields(v)
}

// accepted is an AcceptedView.
func (w *witness) accepted(v *clsv.View) {
	w.sum.views.Add(1)
	if want := 1; w.last == nil && w.blocks != 0 || w.last != nil && w.blocks != want {
		w.fail("INV-13: %d blocks before view %v", w.blocks, v)
	}
	if c := w.changing; c != nil && (c.ID != v.ID || !slices.Equal(c.Servers, v.Servers) ||
		!slices.Equal(c.XferServers, v.XferServers) || c.ViewType != v.ViewType) {
		w.fail("GM-05: accepted %v, was asked about %v", v, c)
	}
	w.fields(v)
	w.step(v)
	w.last, w.blocks, w.degraded, w.changing, w.raced = v, 0, nil, nil, false
	if v.StartXfer {
		w.done = false
	}
}

// fields checks a view by itself and against the view accepted last.
func (w *witness) fields(v *clsv.View) {
	old := w.last
	if old == nil {
		old = &clsv.View{GroupView: clsv.GroupView{MyRank: -1}, MyServerRank: -1,
			State: clsv.Joining}
	} else if v.ID.Compare(old.ID) <= 0 {
		w.fail("INV-12: view %v after %v", v.ID, old.ID)
	}
	if v.MyRank < 0 || v.Members[v.MyRank] != v.Me || v.Coordinator != v.Members[0] ||
		v.OldCoordinator != old.Coordinator || v.MyOldRank != old.MyRank {
		w.fail("INV-12: rank %d was %d, coordinator %v was %v in %v after %v", v.MyRank,
			v.MyOldRank, v.Coordinator, v.OldCoordinator, v, old)
	}
	w.roles(v)
	for _, d := range []struct {
		what                  string
		now, old, added, gone []clsv.Endpoint
	}{
		{"members", v.Members, old.Members, v.NewMembers, v.DepartedMembers},
		{"servers", v.Servers, old.Servers, v.NewServers, v.DepartedServers},
		{"xferServers", v.XferServers, old.XferServers, v.NewXferServers, v.DepartedXferServers},
		{"clients", v.Clients, old.Clients, v.NewClients, v.DepartedClients},
	} {
		if !slices.Equal(d.added, minus(d.now, d.old)) ||
			!slices.Equal(d.gone, minus(d.old, d.now)) {
			w.fail("INV-4: %s %v after %v: new %v, departed %v", d.what, d.now, d.old, d.added,
				d.gone)
		}
	}
	if v.OldState != old.State || v.OldServerCoordinator != old.ServerCoordinator ||
		v.MyOldServerRank != old.MyServerRank {
		w.fail("D4, D6: %v after %v", v, old)
	}
}

func minus(a, b []clsv.Endpoint) (d []clsv.Endpoint) {
	for _, e := range a {
		if !slices.Contains(b, e) {
			d = append(d, e)
		}
	}
	return d
}

// roles checks the lists of a view: INV-2, INV-3 and INV-5.
func (w *witness) roles(v *clsv.View) {
	all := slices.Concat(v.Servers, v.XferServers, v.Clients)
	byRank := func(a, b clsv.Endpoint) int { return v.RankOf(a) - v.RankOf(b) }
	for _, l := range [][]clsv.Endpoint{v.Servers, v.XferServers, v.Clients} {
		if !slices.IsSortedFunc(l, byRank) {
			w.fail("D5: %v is not in rank order in %v", l, v)
		}
	}
	slices.SortFunc(all, byRank)
	if !slices.Equal(all, v.Members) {
		w.fail("INV-2: %v", v)
	}
	strictest := clsv.NoXfer
	for _, e := range v.XferServers {
		strictest = max(strictest, w.xfers[e.Name])
	}
	if v.ViewType != strictest {
		w.fail("INV-3: type %v, the strictest is %v in %v", v.ViewType, strictest, v)
	}
	var sc clsv.Endpoint
	if len(v.Servers) > 0 {
		sc = v.Servers[0]
	}
	if v.ServerCoordinator != sc || v.MyServerRank != slices.Index(v.Servers, v.Me) {
		w.fail("INV-5: coordinator %v, server rank %d in %v", v.ServerCoordinator, v.MyServerRank,
			v)
	}
	if v.MyMbrshipType != w.role || v.MyXferType != w.xfer {
		w.fail("CJ-08: %v %v in %v", v.MyMbrshipType, v.MyXferType, v)
	}
}

// step holds the step to a view against the table: INV-6, INV-7, INV-16, RND-5.
func (w *witness) step(v *clsv.View) {
	before, in := clsv.Joining, byte(inC)
	if w.last != nil {
		before = w.last.State
	}
	switch {
	case v.IsServer(v.Me):
		in = inS
	case v.IsXferServer(v.Me):
		in = inT
	}
	is := w.conditions(v)
	if !w.sum.take(before, in, is, v.State, v.StartXfer) &&
		!(w.raced && w.sum.take(before, in, is&^done, v.State, v.StartXfer)) {
		w.fail("RND-5: from %v to %v start=%t in list %c, conditions %#x, degraded %v: %v", before,
			v.State, v.StartXfer, in, w.conditions(v), w.degraded, v)
	}
}

func (w *witness) conditions(v *clsv.View) (c cond) {
	set := func(b bool, x cond) {
		if b {
			c |= x
		}
	}
	set(w.role == clsv.Client, isClient)
	set(w.role == clsv.Server && w.xfer == clsv.NoXfer, noXfer)
	set(w.done, done)
	set(v.SourcesLost, lost)
	set(len(v.Servers) > 0, source)
	others := slices.ContainsFunc(v.Servers, func(e clsv.Endpoint) bool {
		return e != v.Me && w.xfers[e.Name] != clsv.NoXfer
	})
	set(!others, first)
	if d := w.degraded; d != nil {
		set(errors.Is(d.Err, clsv.ErrDeadline), expired)
		set(!errors.Is(d.Err, clsv.ErrDeadline), told)
		if errors.Is(d.Err, clsv.ErrSourcesLost) != v.SourcesLost &&
			!errors.Is(d.Err, clsv.ErrDeadline) {
			w.fail("D10: degraded %v in %v", d.Err, v)
		}
		if d.View != v.ID {
			w.fail("MG-08: degraded for view %v, accepted %v", d.View, v)
		}
	}
	return c
}
