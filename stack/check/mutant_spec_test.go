package check

import (
	"slices"

	"maestro/stack/trace"
	"maestro/wire"
)

const (
	inFifo = iota
	inCausal
	inTotal
	inUniform
	inSafe
)

// mutants are those that the specification lists.
func mutants() []mutant {
	return []mutant{
		{"dup-delivery", inFifo, 1, func(m *mutation) bool {
			i := m.delivery(trace.Cast)
			return m.insert(i+1+m.rng.IntN(min(50, len(m.es)-i)), m.es[i])
		}, ""},
		{"phantom", inFifo, 1, func(m *mutation) bool {
			i := m.delivery(trace.Cast)
			e := m.es[i]
			e.Msg.N += 1 << 40
			return m.insert(i+1, e)
		}, ""},
		{"deliver-in-next-view", inFifo, 1, func(m *mutation) bool {
			i := m.where(func(i int, e *trace.Event) bool {
				return e.Kind == trace.Deliver && m.rng.IntN(10) == 0 &&
					m.next(i, trace.ViewEvent, true) > 0
			})
			return i > 0 && m.moveAfter(i, m.next(i, trace.ViewEvent, true))
		}, ""},
		{"not-in-own-view", inFifo, 1, func(m *mutation) bool {
			i := m.shared(1)
			return m.change(i, func(v *trace.View) {
				v.Members = without(v.Members, []wire.Endpoint{m.es[i].P})
			})
		}, ""},
		{"two-contents", inFifo, 1, func(m *mutation) bool {
			return m.change(m.shared(2), func(v *trace.View) { slices.Reverse(v.Members) })
		}, ""},
		{"send-while-blocked", inFifo, 1, func(m *mutation) bool {
			i := m.kind(trace.Block)
			p := m.es[i].P
			return m.insert(i+1, trace.Event{P: p, Kind: trace.Send,
				Msg: trace.MsgID{Origin: p, N: 1 << 30}})
		}, ""},
		{"zombie", inFifo, 1, func(m *mutation) bool {
			i := m.kind(trace.Crash)
			e := trace.Event{P: m.es[i].P, Kind: trace.Deliver, Msg: trace.MsgID{Origin: m.es[i].P}}
			return i >= 0 && i+2 < len(m.es) && m.es[i+2].Time > m.es[i].Time &&
				m.insert(i+2, e)
		}, ""},
		{"two-primaries", inFifo, 1, func(m *mutation) bool {
			i := m.where(func(_ int, e *trace.Event) bool {
				return e.Kind == trace.ViewEvent && e.View.Primary > 1
			})
			return m.change(i, func(v *trace.View) { v.Primary-- })
		}, ""},
	}
}

// specMutants are the rest of them.
func specMutants() []mutant {
	return []mutant{
		{"wrong-transitional", inFifo, 1, func(m *mutation) bool {
			i := m.shared(2)
			return m.change(i, func(v *trace.View) {
				for _, q := range v.Members {
					k := slices.Index(v.Trans, q)
					if k >= 0 && len(v.Trans) > 1 && m.joined(q, v) {
						v.Trans = slices.Delete(v.Trans, k, k+1)
						return
					} else if k < 0 {
						v.Trans = append(v.Trans, q)
						return
					}
				}
				v.Trans = append(v.Trans, wire.Endpoint{Name: "nobody"})
			})
		}, ""},
		{"swap-two-deliveries", inFifo, 1, func(m *mutation) bool {
			return m.swap(func(a, b *trace.Event) bool {
				return a.Msg.Origin == b.Msg.Origin && a.MsgKind != trace.Pt2pt &&
					b.MsgKind != trace.Pt2pt
			})
		}, ""},
		{"swap-in-total-order", inTotal, 0.95, swapTotal, ""},
		{"skip-causal", inCausal, 1, skipCausal, ""},
		{"stale-incarnation", inFifo, 1, func(m *mutation) bool {
			i := m.where(func(_ int, e *trace.Event) bool {
				return e.Kind == trace.Deliver && e.Msg.Origin.Incarnation > 1
			})
			if i < 0 {
				return false
			}
			m.es[i].Msg.Origin.Incarnation--
			return true
		}, ""},
		{"late-joiner-hole", inFifo, 1, lateHole, ""},
		{"lose-delivery", inFifo, 0.85, func(m *mutation) bool {
			return m.remove(m.delivery(trace.Cast))
		}, ""},
		{"lose-last-before-view", inFifo, 0.85, func(m *mutation) bool {
			i := m.where(func(i int, e *trace.Event) bool {
				if e.Kind != trace.Deliver || e.MsgKind == trace.Pt2pt || m.rng.IntN(10) > 0 ||
					m.next(i, trace.ViewEvent, true) < 0 {
					return false
				}
				j := m.next(i, trace.Deliver, false)
				return j < 0 || j > m.next(i, trace.ViewEvent, true)
			})
			return i >= 0 && m.remove(i)
		}, ""},
		{"view-id-regress", inFifo, 1, func(m *mutation) bool {
			i := m.shared(1)
			return m.change(i, func(v *trace.View) { v.ID.Ltime = m.view(i).ID.Ltime - 1 })
		}, ""},
	}
}

// joined reports whether q accepts v.
func (m *mutation) joined(q wire.Endpoint, v *trace.View) bool {
	return slices.ContainsFunc(m.es, func(e trace.Event) bool {
		return e.Kind == trace.ViewEvent && e.P == q && e.View.ID == v.ID
	})
}

// skipCausal moves a delivery behind that of a message that it happened before.
func skipCausal(m *mutation) bool {
	type key struct {
		p wire.Endpoint
		m trace.MsgID
	}
	at := map[key]int{}
	for i := range m.es {
		if e := &m.es[i]; e.Kind == trace.Deliver {
			at[key{e.P, e.Msg}] = i
		}
	}
	// A cast a delivered by p, which then casts b: both somewhere else, at q.
	for range 2000 {
		i := m.delivery(trace.Cast)
		j := m.next(i, trace.Send, true)
		if j < 0 || m.es[j].MsgKind != trace.Cast {
			continue
		}
		for _, q := range m.view(i).Members {
			x, okx := at[key{q, m.es[i].Msg}]
			y, oky := at[key{q, m.es[j].Msg}]
			if okx && oky && x < y && q != m.es[i].P && q != m.es[i].Msg.Origin {
				return m.moveAfter(x, y)
			}
		}
	}
	return false
}

// swapTotal swaps two casts at a member that goes on together with another.
func swapTotal(m *mutation) bool {
	i := m.where(func(i int, e *trace.Event) bool {
		if e.Kind != trace.Deliver || e.MsgKind != trace.Cast || m.rng.IntN(10) > 0 {
			return false
		}
		j, k := m.next(i, trace.Deliver, true), m.next(i, trace.ViewEvent, true)
		return j > 0 && k > 0 && m.es[j].MsgKind == trace.Cast && len(m.es[k].View.Trans) > 1
	})
	if i < 0 {
		return false
	}
	j := m.next(i, trace.Deliver, true)
	a, b := m.es[i], m.es[j]
	a.Time, b.Time = b.Time, a.Time
	m.es[i], m.es[j] = b, a
	return true
}

// lateHole removes the first delivery of a sender in a member's first view,
// where a later one follows.
func lateHole(m *mutation) bool {
	i := m.where(func(i int, e *trace.Event) bool {
		if e.Kind != trace.Deliver || e.MsgKind == trace.Pt2pt || m.rng.IntN(5) > 0 {
			return false
		}
		j := m.next(i, trace.Deliver, true)
		for j > 0 && (m.es[j].Msg.Origin != e.Msg.Origin || m.es[j].MsgKind == trace.Pt2pt) {
			j = m.next(j, trace.Deliver, true)
		}
		return j > 0
	})
	if i < 0 {
		return false
	}
	return m.remove(i)
}
