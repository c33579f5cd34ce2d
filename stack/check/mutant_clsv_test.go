package check

import (
	"slices"

	"maestro/stack/trace"
)

// clsvView picks a view event for which ok holds.
func (m *mutation) clsvView(ok func(i int, v *trace.View) bool) int {
	return m.where(func(i int, e *trace.Event) bool {
		return e.Kind == trace.ViewEvent && ok(i, e.View)
	})
}

// everywhere changes a view at all members that accept it.
func (m *mutation) everywhere(i int, f func(v *trace.View)) bool {
	if i < 0 {
		return false
	}
	id := m.es[i].View.ID
	for j := range m.es {
		if m.es[j].Kind == trace.ViewEvent && m.es[j].View.ID == id {
			m.change(j, f)
		}
	}
	return true
}

// clsvMutants spoil traces of the client/server layer, one for each property.
func clsvMutants() []mutant {
	several := func(_ int, v *trace.View) bool { return len(v.Members) > 1 }
	xfers := func(_ int, v *trace.View) bool { return len(v.XferServers) > 0 }
	views := func(ok func(int, *trace.View) bool, f func(v *trace.View)) func(*mutation) bool {
		return func(m *mutation) bool { return m.change(m.clsvView(ok), f) }
	}
	return []mutant{
		{"two-roles", 0, 1, func(m *mutation) bool {
			return m.everywhere(m.clsvView(several), func(v *trace.View) {
				v.Servers = append(v.Servers, v.Members...)
			})
		}, "CS1"},
		{"roles-differ", 0, 1, views(several, func(v *trace.View) { v.ViewType ^= 1 }), "CS2"},
		{"not-my-difference", 0, 1, views(several, func(v *trace.View) {
			v.ServerChange.Departed = v.Members
		}), "CS3"},
		{"wrong-coordinator", 0, 1, func(m *mutation) bool {
			return m.everywhere(m.clsvView(several), func(v *trace.View) {
				v.ServerCoord.Incarnation++
			})
		}, "CS4"},
		{"not-in-rank-order", 0, 1, func(m *mutation) bool {
			return m.everywhere(m.clsvView(func(_ int, v *trace.View) bool {
				return len(v.Servers) > 1
			}), func(v *trace.View) { slices.Reverse(v.Servers) })
		}, "CS4"},
		{"wrong-rank", 0, 1, views(several, func(v *trace.View) { v.ServerRank++ }), "CS4"},
		{"type-not-strictest", 0, 1, func(m *mutation) bool {
			return m.everywhere(m.clsvView(xfers), func(v *trace.View) {
				v.ViewType = 1 + v.ViewType%3
			})
		}, "CS5"},
		{"odd-state", 0, 0.9, func(m *mutation) bool {
			return m.change(m.clsvView(several), func(v *trace.View) {
				v.State = trace.ClientNormal + (v.State-1)%5
			})
		}, "CS6"},
		{"start-again", 0, 1, views(func(_ int, v *trace.View) bool {
			return v.State == trace.ServerNormal
		}, func(v *trace.View) { v.StartXfer = true }), "CS7"},
		{"start-over", 0, 1, views(func(_ int, v *trace.View) bool {
			return v.State == trace.ServerXfer && v.OldState == trace.ServerXfer &&
				len(v.Servers) > len(v.ServerChange.New) && !v.StartXfer
		}, func(v *trace.View) { v.StartXfer = true }), "CS7"},
		{"no-start", 0, 1, views(func(_ int, v *trace.View) bool {
			return v.StartXfer && v.OldState != trace.ServerXfer
		}, func(v *trace.View) { v.StartXfer = false }), "CS7"},
	}
}

// messageMutants are about messages, transfers and callbacks.
func messageMutants() []mutant {
	return []mutant{
		{"unsafe-message", 0, 1, unsafeMessage, "CS8"},
		{"lost-in-the-queue", 0, 0.9, lostInQueue, "CS9"},
		{"late-is-early", 0, 0.9, lateIsEarly, "CS10"},
		{"server-message-to-client", 0, 1, toClient, "CS11"},
		{"ask-a-client", 0, 1, func(m *mutation) bool {
			i := m.kind(trace.Ask)
			m.es[i].Peer = m.es[i].P
			return true
		}, "CS12"},
		{"state-from-nowhere", 0, 1, func(m *mutation) bool {
			return m.remove(m.kind(trace.SendState))
		}, "CS13"},
		{"state-after-done", 0, 1, func(m *mutation) bool {
			i := m.kind(trace.RcvState)
			return m.insert(i, trace.Event{P: m.es[i].P, Kind: trace.XferDone})
		}, "CS13"},
		{"client-asks", 0, 1, func(m *mutation) bool {
			i := m.clsvView(func(_ int, v *trace.View) bool {
				return v.State == trace.ClientNormal
			})
			return i >= 0 && m.insert(i+1, trace.Event{P: m.es[i].P, Kind: trace.Ask})
		}, "CS14"},
		{"promotion-for-nothing", 0, 0.8, func(m *mutation) bool {
			i := m.where(func(i int, e *trace.Event) bool {
				j := -1
				if e.Kind == trace.XferDone {
					j = m.next(i, trace.ViewEvent, false)
				}
				return j > 0 && len(m.es[j].View.Servers) > 1
			})
			return i >= 0 && m.remove(i)
		}, "CS15"},
		{"other-state", 0, 1, func(m *mutation) bool {
			i := m.where(func(_ int, e *trace.Event) bool {
				return e.Kind == trace.ViewEvent && e.View.State == trace.ServerNormal &&
					len(e.View.Servers) > 1
			})
			if i >= 0 {
				m.es[i].AppState++
			}
			return i >= 0
		}, "CS17"},
		{"state-moves", 0, 1, func(m *mutation) bool {
			i := m.where(func(i int, e *trace.Event) bool {
				v := m.view(i)
				return e.Kind == trace.Deliver && e.AppState != 0 && v != nil &&
					v.ViewType == trace.AtomicXfer && slices.Contains(v.Servers, e.P)
			})
			if i >= 0 {
				m.es[i].AppState++
			}
			return i >= 0
		}, "CS18"},
		{"state-message-missing", 0, 1, func(m *mutation) bool {
			m.es[m.kind(trace.Propose)].Count--
			return true
		}, "CS19"},
		{"changing-before-block", 0, 1, func(m *mutation) bool {
			i := m.where(func(i int, e *trace.Event) bool {
				return e.Kind == trace.Block && len(m.view(i).Members) > 1 &&
					m.next(i, trace.Changing, true) > 0
			})
			return i >= 0 && m.moveAfter(i, m.next(i, trace.Changing, true))
		}, "CS20"},
	}
}

// unsafeMessage makes a message in a protected view a generic one.
func unsafeMessage(m *mutation) bool {
	i := m.where(func(i int, e *trace.Event) bool {
		v := m.view(i)
		return e.Kind == trace.Send && v != nil && v.ViewType >= trace.ProtectedXfer
	})
	if i < 0 {
		return false
	}
	id := m.es[i].Msg
	for j := range m.es {
		if m.es[j].Msg == id {
			m.es[j].Safety = trace.Generic
		}
	}
	return true
}

// lostInQueue takes away all of a delayed message but its submission.
func lostInQueue(m *mutation) bool {
	i := m.where(func(i int, e *trace.Event) bool {
		if e.Kind != trace.Submit || m.rng.IntN(3) > 0 {
			return false
		}
		v, s := m.next(i, trace.ViewEvent, false), m.sending(i)
		return v > 0 && s > v && m.next(s, trace.ViewEvent, false) > 0
	})
	if i < 0 {
		return false
	}
	id := m.es[i].Msg
	m.es = slices.DeleteFunc(m.es, func(e trace.Event) bool {
		return e.Msg == id && e.Kind != trace.Submit
	})
	return true
}

// sending is the sending of the message submitted at i, or -1.
func (m *mutation) sending(i int) int {
	for j := m.next(i, trace.Send, false); j > 0; j = m.next(j, trace.Send, false) {
		if m.es[j].Msg == m.es[i].Msg {
			return j
		}
	}
	return -1
}

// lateIsEarly swaps the submissions of two messages of one sender and safety.
func lateIsEarly(m *mutation) bool {
	like := func(i int) int {
		for j := m.next(i, trace.Submit, false); j > 0; j = m.next(j, trace.Submit, false) {
			a, b := &m.es[i], &m.es[j]
			if a.Safety == b.Safety && a.MsgKind != trace.Pt2pt && b.MsgKind != trace.Pt2pt &&
				m.sending(j) > 0 && m.sending(i) > 0 {
				return j
			}
		}
		return -1
	}
	i := m.where(func(i int, e *trace.Event) bool {
		return e.Kind == trace.Submit && m.rng.IntN(10) == 0 && like(i) > 0
	})
	if i < 0 {
		return false
	}
	j := like(i)
	if s := m.sending(i); s < j { // submitted again, so to speak, before it goes
		return m.moveAfter(i, j) && m.moveAfter(s-1, j)
	}
	return m.moveAfter(i, j)
}

// toClient lets a client deliver a message for servers.
func toClient(m *mutation) bool {
	i := m.where(func(i int, e *trace.Event) bool {
		v := m.view(i)
		return e.Kind == trace.Deliver && e.MsgKind == trace.Scast && v != nil &&
			len(v.Clients) > 0
	})
	if i < 0 {
		return false
	}
	e, v := m.es[i], m.view(i)
	for _, q := range v.Clients {
		had := slices.ContainsFunc(m.es, func(x trace.Event) bool {
			return x.Kind == trace.Deliver && x.Msg == e.Msg && x.P == q
		})
		if !had && q != e.Msg.Origin {
			e.P, e.AppState = q, 0
			return m.insert(i+1, e)
		}
	}
	return false
}
