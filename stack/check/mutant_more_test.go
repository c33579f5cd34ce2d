package check

import (
	"slices"

	"maestro/stack/trace"
	"maestro/wire"
)

// moreMutants reach the properties that the specification's list leaves out.
func moreMutants() []mutant {
	return []mutant{
		{"send-twice", inFifo, 1, func(m *mutation) bool {
			i := m.kind(trace.Send)
			return m.insert(i+1, m.es[i])
		}, ""},
		{"foreign-send", inFifo, 1, func(m *mutation) bool {
			i := m.kind(trace.Send)
			e := m.es[i]
			e.Msg = trace.MsgID{Origin: wire.Endpoint{Name: "x"}, N: 3}
			return m.insert(i+1, e)
		}, ""},
		{"before-first-view", inFifo, 1, func(m *mutation) bool {
			return m.insert(m.rng.IntN(len(m.es)), ghost(trace.Block))
		}, ""},
		{"other-content", inFifo, 1, func(m *mutation) bool {
			m.es[m.delivery(trace.Cast)].Hash ^= 4
			return true
		}, ""},
		{"start-again", inFifo, 1, func(m *mutation) bool {
			i := m.kind(trace.Block)
			return m.insert(i, trace.Event{P: m.es[i].P, Kind: trace.Start})
		}, ""},
		{"wrong-destination", inFifo, 1, wrongDestination, ""},
		{"block-twice", inFifo, 1, func(m *mutation) bool {
			i := m.kind(trace.Block)
			return m.insert(i+1, m.es[i])
		}, ""},
		{"no-block", inFifo, 1, func(m *mutation) bool {
			i := m.where(func(i int, e *trace.Event) bool {
				return e.Kind == trace.Block && len(m.view(i).Members) > 1 &&
					m.next(i, trace.ViewEvent, false) > 0
			})
			return i >= 0 && m.remove(i)
		}, ""},
		{"view-message-differs", inFifo, 1, func(m *mutation) bool {
			return m.change(m.shared(2), func(v *trace.View) { v.ViewMsg++ })
		}, ""},
	}
}

// orderMutants are about views, orders and safety.
func orderMutants() []mutant {
	return []mutant{
		{"primary-out-of-nothing", inFifo, 1, func(m *mutation) bool {
			i := m.where(func(_ int, e *trace.Event) bool {
				return e.Kind == trace.ViewEvent && len(e.View.Members) == 1
			})
			return m.change(i, func(v *trace.View) { v.Primary = 1 << 40 })
		}, ""},
		{"no-self-delivery", inFifo, 1, func(m *mutation) bool {
			i := m.where(func(i int, e *trace.Event) bool {
				return e.Kind == trace.Deliver && e.P == e.Msg.Origin && e.MsgKind == trace.Cast &&
					m.rng.IntN(10) == 0 && m.next(i, trace.ViewEvent, false) > 0
			})
			return i >= 0 && m.remove(i)
		}, ""},
		{"self-before-send", inFifo, 1, func(m *mutation) bool {
			i := m.kind(trace.Send)
			for e := m.es[i]; i >= 0; i-- {
				if m.es[i].P == e.P && m.es[i].Kind == trace.ViewEvent {
					e.Kind = trace.Deliver
					return m.insert(i+1, e)
				}
			}
			return false
		}, ""},
		{"swap-pair", inFifo, 1, (*mutation).swapPairs, ""},
		{"stable-too-early", inTotal, 0.9, stableTooEarly, ""},
		{"swap-at-the-crashed", inUniform, 0.9, func(m *mutation) bool {
			last := map[wire.Endpoint]bool{}
			for i := range m.es {
				if k := m.es[i].Kind; k == trace.Crash {
					last[m.es[i].P] = true
				}
			}
			i := m.where(func(i int, e *trace.Event) bool {
				return e.Kind == trace.Deliver && e.MsgKind == trace.Cast && last[e.P] &&
					m.next(i, trace.ViewEvent, false) < 0 && m.others(i)
			})
			if i < 0 {
				return false
			}
			j := m.next(i, trace.Deliver, true)
			a, b := m.es[i], m.es[j]
			a.Time, b.Time = b.Time, a.Time
			m.es[i], m.es[j] = b, a
			return true
		}, ""},
		{"unsafe-delivery", inSafe, 0.9, unsafeDelivery, ""},
	}
}

// others reports whether the delivery after i is of another sender's cast.
func (m *mutation) others(i int) bool {
	j := m.next(i, trace.Deliver, true)
	return j > 0 && m.es[j].Msg.Origin != m.es[i].Msg.Origin && m.es[j].MsgKind == trace.Cast
}

// wrongDestination gives a copy of somebody's message to one it is not for.
func wrongDestination(m *mutation) bool {
	i := m.where(func(i int, e *trace.Event) bool {
		return e.Kind == trace.Deliver && e.MsgKind == trace.Pt2pt && len(m.view(i).Members) > 2
	})
	if i < 0 {
		return false
	}
	v := m.view(i)
	for j := i; j < len(m.es); j++ {
		e := m.es[j]
		if e.Kind == trace.Deliver && e.P != m.es[i].P && m.view(j).ID == v.ID {
			p := e.P
			e = m.es[i]
			e.P = p
			return m.insert(j, e)
		}
	}
	return false
}

// swapPairs swaps two point-to-point deliveries of one pair.
func (m *mutation) swapPairs() bool {
	i := m.where(func(i int, e *trace.Event) bool {
		return e.Kind == trace.Deliver && e.MsgKind == trace.Pt2pt && m.nextPair(i) > 0
	})
	if i < 0 {
		return false
	}
	j := m.nextPair(i)
	m.es[i].Msg, m.es[j].Msg = m.es[j].Msg, m.es[i].Msg
	m.es[i].Hash, m.es[j].Hash = m.es[j].Hash, m.es[i].Hash
	return true
}

// nextPair is the next point-to-point delivery of the pair of i in its view.
func (m *mutation) nextPair(i int) int {
	for j := m.next(i, trace.Deliver, true); j > 0; j = m.next(j, trace.Deliver, true) {
		if m.es[j].MsgKind == trace.Pt2pt && m.es[j].Msg.Origin == m.es[i].Msg.Origin {
			return j
		}
	}
	return -1
}

// missed picks a cast delivered by somebody who leaves the view regularly while
// another goes on from it without the message.
func (m *mutation) missed() (from, by int) {
	for range 500 {
		i := m.delivery(trace.Cast)
		v, next := m.view(i), m.next(i, trace.ViewEvent, true)
		if next < 0 || len(v.Members) < 2 {
			continue
		}
		for j := i; j < len(m.es); j++ {
			e := &m.es[j]
			if e.Kind == trace.Deliver && e.Msg == m.es[i].Msg && e.P != m.es[i].P &&
				m.next(j, trace.ViewEvent, true) > 0 {
				return i, j
			}
		}
	}
	return -1, -1
}

// stableTooEarly says that a message is stable, and takes it away from another.
func stableTooEarly(m *mutation) bool {
	i, j := m.missed()
	if i < 0 {
		return false
	}
	e := trace.Event{P: m.es[i].P, Kind: trace.Stable, Msg: m.es[i].Msg}
	m.remove(j)
	return m.insert(i+1, e)
}

// unsafeDelivery removes the delivery of a message that others have as safe,
// and what follows it in the view, so that the order stays a prefix.
func unsafeDelivery(m *mutation) bool {
	_, j := m.missed()
	if j < 0 {
		return false
	}
	p, end := m.es[j].P, m.next(j, trace.ViewEvent, true)
	k := -1
	m.es = slices.DeleteFunc(m.es, func(e trace.Event) bool {
		k++
		return k >= j && k < end && e.P == p && e.Kind == trace.Deliver
	})
	return true
}
