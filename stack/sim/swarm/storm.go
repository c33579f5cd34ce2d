package swarm

import (
	"fmt"
	"math/rand/v2"
	"time"

	"maestro/stack"
	"maestro/stack/sim"
)

// act does an action.
func (h *history) act(i int, a *action) {
	r := rand.New(rand.NewPCG(a.seed, uint64(i)))
	h.w.Note("action %d %s", i, actionNames[a.kind])
	h.acts[a.kind]++
	if h.blocked() {
		h.count("action in a view change", 1)
	}
	switch a.kind {
	case actJoin:
		h.start(h.freshName(), nil)
	case actRestart:
		h.restart(r)
	case actPartition:
		h.partition(r)
	case actHeal:
		h.w.Heal()
		h.w.SetLinks(h.p.links)
	default:
		if m := h.any(r); m != nil {
			h.actOn(a.kind, m, r)
		}
	}
}

// actOn does an action to a member.
func (h *history) actOn(k actionKind, m *sim.Member, r *rand.Rand) {
	app := recorder(m)
	switch k {
	case actLeave:
		m.Leave()
		h.left[m] = true
	case actCrash:
		if r.IntN(2) == 0 {
			m.Crash()
		} else {
			m.CrashAt(1+r.IntN(20), r.IntN(2) == 0)
		}
	case actCrashHost:
		m.CrashHost()
	case actCascade:
		h.cascade(m, r)
	case actPause:
		m.Pause()
		h.w.After(h.while(r), m.Resume)
	case actSlow:
		m.Callback = time.Duration(1+r.IntN(300)) * time.Millisecond
		h.w.After(h.while(r), func() { m.Callback = 0 })
	case actCut, actBadLink, actMute:
		h.hurt(k, m, r)
	case actBurst:
		for range 1 + r.IntN(300) {
			app.Cast(1 + r.IntN(1500))
		}
	case actLong:
		app.Cast(1 + r.IntN(h.p.long()))
	case actSuspect:
		if v := app.Current; v != nil {
			rank := r.IntN(len(v.Members))
			m.Do(func(g *stack.Group) {
				if rank < len(g.View().Members) && rank != g.View().Rank {
					g.Suspect(rank, "said so")
				}
			})
		}
	case actChange:
		m.Do(func(g *stack.Group) { g.RequestView("wanted") })
	}
}

// long is the size of long messages: above what one datagram holds, and less
// where the network is slow.
func (p *plan) long() int {
	if p.opts.Bandwidth > 0 && p.opts.Bandwidth < 100<<20 || p.links.Loss > 0.1 {
		return 70 << 10
	}
	return 300 << 10
}

// hurt makes links of a member bad for a while.
func (h *history) hurt(k actionKind, m *sim.Member, r *rand.Rand) {
	o := h.any(r)
	if o == m {
		return
	}
	a, b := m.Name, o.Name
	switch k {
	case actCut:
		if r.IntN(2) == 0 {
			h.w.Cut(a, b, true)
			h.w.After(h.while(r), func() { h.w.Cut(a, b, false) })
		} else {
			h.w.CutOneWay(a, b, true)
			h.w.After(h.while(r), func() { h.w.CutOneWay(a, b, false) })
		}
	case actBadLink:
		l := h.p.links
		l.Loss = r.Float64()
		l.Late, l.Reorder = 10*time.Millisecond, r.Float64()
		h.w.SetLink(a, b, l)
	case actMute:
		l := h.p.links
		l.NoMulticast = true
		for _, x := range h.w.Members() {
			if x.Live() && x != m {
				h.w.SetLink(a, x.Name, l)
			}
		}
		h.w.After(h.while(r), h.w.ClearLinks)
	}
}

// cascade has a view change begin, and the member crash or stand still after
// some of the datagrams that it sends in it. It aims at coordinators.
func (h *history) cascade(m *sim.Member, r *rand.Rand) {
	if c := h.coordinatorOf(m); c != nil && r.IntN(3) > 0 {
		m = c
	}
	k, after := 1+r.IntN(12), r.IntN(2) == 0
	recorder(m).OnStop = func() {
		recorder(m).OnStop = nil
		h.count("crash set for a view change", 1)
		m.CrashAt(k, after)
	}
	if o := h.any(r); o != nil && o != m && r.IntN(2) == 0 {
		o.Crash()
	} else {
		m.Do(func(g *stack.Group) { g.RequestView("cascade") })
	}
	if r.IntN(3) > 0 {
		h.w.After(h.while(r), func() { h.restartName(m.Name) })
	}
}

// coordinatorOf is the live member that leads m's view.
func (h *history) coordinatorOf(m *sim.Member) *sim.Member {
	v := m.Group.View()
	if v == nil || v.Private {
		return nil
	}
	c := h.w.Member(v.Members[0].ID.Name)
	if c == nil || c.Self != v.Members[0].ID {
		return nil
	}
	return c
}

// while draws how long a fault lasts: often very short, sometimes long enough
// to be taken for a failure.
func (h *history) while(r *rand.Rand) time.Duration {
	return time.Duration(r.IntN(pick(r, 3, 30, 300, 1500))+1) * time.Millisecond
}

// partition takes the network apart in one of several shapes.
func (h *history) partition(r *rand.Rand) {
	names := h.names
	n := len(names)
	shape := r.IntN(6)
	h.count(fmt.Sprintf("partition shape %d", shape), 1)
	perm := r.Perm(n)
	name := func(i int) string { return names[perm[i%n]] }
	switch shape {
	case 0: // two or three parts
		parts := make([][]string, pick(r, 2, 2, 3))
		for i := range n {
			k := r.IntN(len(parts))
			parts[k] = append(parts[k], names[i])
		}
		h.w.Partition(parts...)
	case 1: // one alone
		h.w.Partition([]string{name(0)})
	case 2: // a ring: each reaches its two neighbours
		for i := range n {
			for j := range n {
				if d := (i - j + n) % n; d > 1 && d < n-1 {
					h.w.CutOneWay(name(i), name(j), true)
				}
			}
		}
	case 3: // a bridge: two halves and one that reaches both
		for i := 1; i < n; i++ {
			for j := 1; j < n; j++ {
				if i != j && (i <= n/2) != (j <= n/2) {
					h.w.CutOneWay(name(i), name(j), true)
				}
			}
		}
	case 4: // one hears nobody, or is heard by nobody
		mute := r.IntN(2) == 0
		for i := 1; i < n; i++ {
			if mute {
				h.w.CutOneWay(name(0), name(i), true)
			} else {
				h.w.CutOneWay(name(i), name(0), true)
			}
		}
	case 5: // everyone alone
		parts := make([][]string, n)
		for i := range n {
			parts[i] = []string{names[i]}
		}
		h.w.Partition(parts...)
	}
	h.w.After(h.while(r), h.w.Heal)
}

func (h *history) restart(r *rand.Rand) {
	if m := h.any(r); m != nil && r.IntN(2) == 0 {
		m.Crash()
	}
	name := h.names[r.IntN(len(h.names))]
	h.w.After(time.Duration(r.IntN(100))*time.Millisecond, func() { h.restartName(name) })
}

// restartName starts a name again whose member is gone.
func (h *history) restartName(name string) {
	if h.w.Member(name) == nil && !h.calm {
		h.start(name, nil)
		h.w.Stats().Restarts++
	}
}
