package check

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"maestro/stack/trace"
	"maestro/wire"
)

// mutant is one way to spoil a correct trace. Spoil reports false if it finds
// no place for it.
type mutant struct {
	name  string
	mode  int     // of modes
	least float64 // fraction of the spoiled traces that must be caught
	spoil func(m *mutation) bool
	prop  string // that must be among what is found; any if empty
}

// mutation is a trace that is being spoiled.
type mutation struct {
	rng *rand.Rand
	es  []trace.Event
}

// where picks an event for which ok holds, or -1.
func (m *mutation) where(ok func(i int, e *trace.Event) bool) int {
	var l []int
	for i := range m.es {
		if ok(i, &m.es[i]) {
			l = append(l, i)
		}
	}
	if len(l) == 0 {
		return -1
	}
	return pick(m.rng, l)
}

func (m *mutation) kind(k trace.Kind) int {
	return m.where(func(_ int, e *trace.Event) bool { return e.Kind == k })
}

func (m *mutation) insert(i int, e trace.Event) bool {
	if i < len(m.es) {
		e.Time = m.es[i].Time
	}
	m.es = slices.Insert(m.es, i, e)
	return true
}

func (m *mutation) remove(i int) bool {
	m.es = slices.Delete(m.es, i, i+1)
	return true
}

// next is the next event of the same process after i of kind k, before its next
// view if within; -1 if there is none.
func (m *mutation) next(i int, k trace.Kind, within bool) int {
	for j := i + 1; j < len(m.es); j++ {
		e := &m.es[j]
		switch {
		case e.P != m.es[i].P:
		case e.Kind == k:
			return j
		case within && e.Kind == trace.ViewEvent:
			return -1
		}
	}
	return -1
}

// view is the view in which event i happens.
func (m *mutation) view(i int) *trace.View {
	for j := i - 1; j >= 0; j-- {
		if m.es[j].P == m.es[i].P && m.es[j].Kind == trace.ViewEvent {
			return m.es[j].View
		}
	}
	return nil
}

// change replaces the view of event i by a changed copy.
func (m *mutation) change(i int, f func(v *trace.View)) bool {
	if i < 0 {
		return false
	}
	v := *m.es[i].View
	v.Members, v.Trans = slices.Clone(v.Members), slices.Clone(v.Trans)
	v.Servers = slices.Clone(v.Servers)
	f(&v)
	m.es[i].View = &v
	return true
}

// shared picks a view event of a view of several members, not the first of its
// process.
func (m *mutation) shared(size int) int {
	seen := map[wire.ViewID]int{}
	for i := range m.es {
		if m.es[i].Kind == trace.ViewEvent {
			seen[m.es[i].View.ID]++
		}
	}
	return m.where(func(i int, e *trace.Event) bool {
		return e.Kind == trace.ViewEvent && seen[e.View.ID] >= size && m.view(i) != nil
	})
}

// moveAfter moves event i behind event j.
func (m *mutation) moveAfter(i, j int) bool {
	e := m.es[i]
	m.es = slices.Insert(m.es, j+1, e)
	m.es[j+1].Time = m.es[j].Time
	return m.remove(i)
}

func (m *mutation) delivery(k trace.MsgKind) int {
	return m.where(func(i int, e *trace.Event) bool {
		return e.Kind == trace.Deliver && e.MsgKind == k
	})
}

// pair picks two deliveries of one process in one view of which the first is
// directly followed by the second and ok holds, or -1.
func (m *mutation) pair(ok func(a, b *trace.Event) bool) (int, int) {
	i := m.where(func(i int, e *trace.Event) bool {
		if e.Kind != trace.Deliver || m.rng.IntN(20) > 0 {
			return false
		}
		j := m.next(i, trace.Deliver, true)
		return j > 0 && ok(e, &m.es[j])
	})
	if i < 0 {
		return -1, -1
	}
	return i, m.next(i, trace.Deliver, true)
}

func (m *mutation) swap(ok func(a, b *trace.Event) bool) bool {
	i, j := m.pair(ok)
	if i < 0 {
		return false
	}
	a, b := m.es[i], m.es[j]
	a.Time, b.Time = b.Time, a.Time
	m.es[i], m.es[j] = b, a
	return true
}

// TestMutants is the kill matrix: every way of spoiling a trace is noticed in
// nearly every trace, off-line as well as on-line, and there is one for every
// property.
func TestMutants(t *testing.T) {
	seeds, steps := uint64(40), 2500
	if testing.Short() {
		seeds, steps = 12, 2500
	}
	all := map[string]int{}
	traces := make([][][]trace.Event, len(modes()))
	for i, md := range modes() {
		for seed := range seeds {
			traces[i] = append(traces[i], newWorld(seed, md).run(steps))
		}
	}
	for _, mu := range slices.Concat(mutants(), specMutants(), moreMutants(),
		orderMutants()) {
		kill(t, mu, modes()[mu.mode].options(), all, traces[mu.mode])
	}
	var plain, broken [][]trace.Event
	for seed := range seeds {
		w := newClSv(seed, false, trace.FreeXfer, trace.ProtectedXfer, trace.AtomicXfer)
		plain = append(plain, w.run(steps/4))
		w = newClSv(seed, false, trace.FreeXfer, trace.ProtectedXfer, trace.AtomicXfer)
		w.keepLosers = true
		broken = append(broken, w.run(steps/4))
	}
	for _, mu := range slices.Concat(clsvMutants(), messageMutants(), invariantMutants()) {
		kill(t, mu, clsvOptions(), all, plain)
	}
	kill(t, mutant{"merge-keeps-losers", 0, 0.9, func(*mutation) bool { return true }, "CS16"},
		clsvOptions(), all, broken)
	for _, h := range append(handmade(), endless()) {
		for _, c := range []*Checker{online(h.o, h.es), offline(h.o, h.es)} {
			if c.Counts()[h.prop] == 0 {
				t.Errorf("%s is not found: %v", h.prop, c.Counts())
			}
		}
		all[h.prop]++
	}
	for _, p := range Properties() {
		if all[p.ID] == 0 {
			t.Errorf("no mutant violates %s", p.ID)
		}
		delete(all, p.ID)
	}
	if len(all) > 0 {
		t.Errorf("not in the list of properties: %v", all)
	}
}

// kill runs one mutant over many traces.
func kill(t *testing.T, mu mutant, o Options, all map[string]int, traces [][]trace.Event) {
	t.Helper()
	done, killed, off := 0, 0, 0
	props := map[string]int{}
	for seed, es := range traces {
		m := &mutation{rng: rand.New(rand.NewPCG(uint64(seed), 7)), es: slices.Clone(es)}
		if !mu.spoil(m) {
			continue
		}
		done++
		on := online(o, m.es)
		for p := range on.Counts() {
			props[p]++
			all[p]++
		}
		hit := func(c *Checker) int {
			if len(c.Counts()) > 0 && (mu.prop == "" || c.Counts()[mu.prop] > 0) {
				return 1
			}
			return 0
		}
		killed += hit(on)
		off += hit(offline(o, m.es))
	}
	t.Logf("%-24s %3d of %3d, off-line %3d: %v", mu.name, killed, done, off, props)
	if done < len(traces)/3 || float64(min(killed, off)) < mu.least*float64(done) {
		t.Errorf("%s: caught %d (off-line %d) of %d", mu.name, killed, off, done)
	}
}

// ghost is an event of a new process.
func ghost(k trace.Kind) trace.Event {
	return trace.Event{P: wire.Endpoint{Name: fmt.Sprint("ghost", k)}, Kind: k}
}
