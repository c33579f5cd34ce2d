package check

import (
	"slices"

	"maestro/stack/trace"
	"maestro/wire"
)

// invariantMutants are those for what the scenarios' invariants add to the
// properties of the client/server layer.
func invariantMutants() []mutant {
	return []mutant{
		{"alone-without-block", 0, 1, func(m *mutation) bool { // INV-13
			i := m.where(func(i int, e *trace.Event) bool {
				return e.Kind == trace.Block && len(m.view(i).Members) == 1 &&
					m.next(i, trace.ViewEvent, false) > 0
			})
			return i >= 0 && m.remove(i)
		}, "B2"},
		{"promotion-in-silence", 0, 1, func(m *mutation) bool { // INV-16
			return m.everywhere(m.clsvView(func(_ int, v *trace.View) bool {
				return v.SourcesLost && v.OldState == trace.ServerXfer &&
					v.State == trace.ServerNormal
			}), func(v *trace.View) { v.SourcesLost = false })
		}, "CS15"},
		{"exit-with-a-queue", 0, 1, exitWithQueue, "CS9"}, // INV-19
		{"other-roles-proposed", 0, 1, func(m *mutation) bool { // INV-1, GM-05
			i := m.where(func(i int, e *trace.Event) bool {
				j := -1
				if e.Kind == trace.Changing && len(e.View.Servers) > 0 {
					j = m.next(i, trace.ViewEvent, false)
				}
				return j > 0 && m.es[j].View.ID == e.View.ID
			})
			return m.change(i, func(v *trace.View) { v.Servers = nil })
		}, "CS2"},
	}
}

// exitWithQueue has a member exit while one of its messages waits.
func exitWithQueue(m *mutation) bool {
	i := m.where(func(i int, e *trace.Event) bool {
		s := -1
		if e.Kind == trace.Submit {
			s = m.sending(i)
		}
		return s > 0 && m.next(i, trace.ViewEvent, false) < s
	})
	if i < 0 {
		return false
	}
	p, k := m.es[i].P, -1
	m.es = slices.DeleteFunc(m.es, func(e trace.Event) bool {
		k++
		return k > i && e.P == p
	})
	return m.insert(i+1, trace.Event{P: p, Kind: trace.Exit})
}

// endless is a transfer that is done and does not end: L7.
func endless() handmadeTrace {
	a, b := wire.Endpoint{Name: "a"}, wire.Endpoint{Name: "b"}
	members := []wire.Endpoint{a, b}
	view := func(p wire.Endpoint, ltime uint64, t int64, now, old trace.State) trace.Event {
		return trace.Event{Time: t, P: p, Kind: trace.ViewEvent, View: &trace.View{
			ID: wire.ViewID{Ltime: ltime, Coord: a}, Members: members, ClSv: true,
			Servers: members[:1], XferServers: members[1:], ViewType: trace.FreeXfer,
			State: now, OldState: old}}
	}
	last := view(b, 2, 5, trace.ServerXferDone, trace.ServerXfer)
	return handmadeTrace{"L7", Options{Bound: 1000, ClSv: true}, []trace.Event{
		view(a, 1, 1, trace.ServerNormal, trace.Joining),
		view(b, 1, 1, trace.ServerXfer, trace.Joining),
		{Time: 4, P: b, Kind: trace.XferDone, XferID: 1},
		view(a, 2, 5, trace.ServerNormal, trace.ServerNormal), last,
		{Time: 10, Kind: trace.Heal, Dests: members},
		{Time: 1e6, P: a, Kind: trace.Stable, Msg: trace.MsgID{Origin: a, N: 1}},
	}}
}
