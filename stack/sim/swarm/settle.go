package swarm

import (
	"fmt"
	"strings"
	"time"

	"maestro/stack"
	"maestro/stack/sim"
	"maestro/stack/trace"
	"maestro/wire"
)

// run is the whole history: start, storm, peace.
func (h *history) run() {
	p := h.p
	for i := range p.members {
		name := h.freshName()
		if i == 0 || !p.apart {
			h.start(name, nil)
			continue
		}
		at := stack.Time(h.w.Rand().Int64N(int64(p.storm / 2)))
		h.w.At(at, func() {
			if h.w.Member(name) == nil {
				h.start(name, nil)
			}
		})
	}
	for i := range p.actions {
		a := &p.actions[i]
		if h.o.Omit != nil && h.o.Omit(i) {
			continue
		}
		h.w.At(stack.Time(a.at), func() { h.act(i, a) })
	}
	h.w.RunUntil(stack.Time(p.storm))
	h.settle()
}

// settle ends the storm, and judges whether the group comes to rest.
func (h *history) settle() {
	h.calm = true
	w := h.w
	w.Note("the storm is over")
	w.Heal()
	w.ClearLinks()
	w.SetLinks(h.p.calm)
	for _, m := range h.live() {
		m.CrashAt(0, false)
		recorder(m).OnStop = nil
		m.Resume()
		m.Callback = 0
		recorder(m).Discard()
	}
	for _, name := range h.names {
		if w.Member(name) == nil && w.Rand().IntN(2) == 0 {
			h.start(name, nil)
		}
	}
	if len(h.staying()) == 0 {
		h.start(h.names[0]+"x", nil)
	}
	stay := h.staying()
	ids := make([]wire.Endpoint, len(stay))
	for i, m := range stay {
		ids[i] = m.Self
	}
	h.harness(trace.Heal, wire.Endpoint{}, ids)
	bound := h.bound()
	start := w.Now()
	if !h.becomeWhole(stay, bound) {
		h.fail("not one view %v after the storm:\n%s", bound, h.dump(stay))
		return
	}
	h.counts["settle microseconds"] = uint64(w.Now().Sub(start) / time.Microsecond)
	h.rest(stay, bound)
}

// becomeWhole waits until the members are one and have been for so long that no
// suspicion from the storm can be left.
func (h *history) becomeWhole(stay []*sim.Member, bound time.Duration) bool {
	w := h.w
	end := w.Now().Add(bound)
	for w.WaitFor(end.Sub(w.Now()), func() bool { return h.whole(stay) }) {
		w.Note("whole")
		views := recorder(stay[0]).Accepted
		w.RunFor(2*stay[0].Group.Config().Silence + 100*time.Millisecond)
		if h.whole(stay) && recorder(stay[0]).Accepted == views {
			return true
		}
	}
	return false
}

func (h *history) bound() time.Duration {
	if l := h.live(); len(l) > 0 {
		return h.p.bound(l[0].Group.Config())
	}
	return time.Minute
}

// staying are the members that should be in the last view.
func (h *history) staying() []*sim.Member {
	var l []*sim.Member
	for _, m := range h.live() {
		if !h.left[m] {
			l = append(l, m)
		}
	}
	return l
}

// whole reports whether the members are in one view of just them, which is not
// about to change, and have sent and received everything.
func (h *history) whole(l []*sim.Member) bool {
	first := recorder(l[0])
	for _, m := range l {
		r := recorder(m)
		v := r.Current
		if v == nil || r.Blocked || r.Queued() > 0 || v.ID != first.Current.ID ||
			len(v.Members) != len(l) || m.Group.Epoch() != r.Epoch() ||
			m.Group.Changing() {
			return false
		}
	}
	return len(h.live()) == len(l)
}

// rest has the members say a last word, and then watches for quiet: no more
// views, everything delivered, few datagrams.
func (h *history) rest(l []*sim.Member, bound time.Duration) {
	w := h.w
	views := recorder(l[0]).Accepted
	for _, m := range l {
		for range 3 {
			recorder(m).Cast(10)
		}
	}
	done := func() bool {
		for _, m := range l {
			for _, o := range l {
				if (o != m || !h.p.cfg.NoLocal) &&
					recorder(m).LastOf(o.Self) < recorder(o).Number() {
					return false
				}
			}
		}
		return true
	}
	if !w.WaitFor(bound, done) {
		h.fail("last words not delivered within %v:\n%s", bound, h.dump(l))
		return
	}
	w.RunFor(bound / 4)
	before := w.Stats().Sent
	w.RunFor(time.Second)
	rate := float64(w.Stats().Sent-before) / float64(len(l))
	if most := idleRate(l[0].Group.Config(), len(l)); rate > most {
		h.fail("an idle member sends %.0f datagrams a second, more than %.0f", rate, most)
	}
	if n := recorder(l[0]).Accepted; n != views {
		h.fail("%d more views at rest", n-views)
	}
	w.RunFor(max(0, bound-w.Now().Sub(stack.Time(h.p.storm))+time.Second))
}

// idleRate is how many datagrams a second an idle member may send: heartbeats,
// probes and their answers, presence, announcements.
func idleRate(c *stack.Config, n int) float64 {
	per := func(d time.Duration) float64 { return float64(time.Second) / float64(d) }
	return 2*(per(c.Heartbeat)+2*per(c.Probe)+per(c.Presence)) + 40 + 10*float64(n)
}

// dump prints where members are stuck.
func (h *history) dump(l []*sim.Member) string {
	var b strings.Builder
	for _, m := range h.live() {
		r := recorder(m)
		fmt.Fprintf(&b, "%v left %t blocked %t queued %d view %v\n%s", m.Self, h.left[m], r.Blocked,
			r.Queued(), r.Current, m.Group.Dump())
	}
	if len(h.live()) != len(l) {
		fmt.Fprintf(&b, "%d members run, %d should\n", len(h.live()), len(l))
	}
	return b.String()
}
