package layers_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"maestro/layers"
	"maestro/stack"
	"maestro/wire"
)

// world is some members and a network of which a program decides, packet by
// packet, what arrives when: schedules that no real network would play.
type world struct {
	t      testing.TB
	name   string
	makers []stack.Maker
	now    stack.Time
	actors []*actor
	flight []inFlight
	views  map[wire.ViewID]string // the members of each view installed by anybody
}

// inFlight is one datagram on its way to one member.
type inFlight struct {
	from, to *actor
	data     []byte
}

// actor is a member and its application, and what it has seen.
type actor struct {
	*world
	id    string
	group *stack.Group
	pool  wire.Pool
	gone  bool // crashed or left
	busy  bool
	owes  bool
	cast  uint64 // messages sent in the current view
	taken []delivered
	past  []passage
}

// passage is one view in the life of a member.
type passage struct {
	view *stack.View
	got  []string // what was delivered in it, in order
	from map[string]uint64
}

func newWorld(t testing.TB, n int, want stack.Props) *world {
	w := &world{t: t, views: map[wire.ViewID]string{}}
	w.name, w.makers = layers.For(want)
	for i := range n {
		a := &actor{world: w, id: string(rune('a' + i))}
		cfg := stack.Config{Group: "g", Self: soloID(a.id), Addr: soloAddr(a.id), StackName: w.name,
			Layers: w.makers, Segment: 256, Discovery: 5 * time.Millisecond,
			Presence: 20 * time.Millisecond, BlockTimeout: 20 * time.Millisecond}
		g, err := stack.NewGroup(cfg, a, a, &a.pool, rand.New(rand.NewPCG(uint64(i), 3)))
		if err != nil {
			t.Fatal(err)
		}
		a.group = g
		w.actors = append(w.actors, a)
	}
	for _, a := range w.actors { // one after the other, so that a leads
		if err := a.group.Join(); err != nil {
			t.Fatal(err)
		}
		a.turn()
		w.pass(15*time.Millisecond, true)
	}
	return w
}

// step lets time pass to the next deadline, at most to end.
func (w *world) step(end stack.Time) bool {
	next := stack.Never
	for _, a := range w.actors {
		if !a.gone {
			next = min(next, a.group.Next())
		}
	}
	if next > end {
		return false
	}
	w.now = max(w.now, next)
	for _, a := range w.actors {
		if !a.gone && a.group.Next() <= w.now {
			a.group.Advance(w.now)
			a.turn()
		}
	}
	return true
}

// pass lets d pass; what is sent arrives at once and in order, if deliver.
func (w *world) pass(d time.Duration, deliver bool) {
	end := w.now.Add(d)
	for range 20000 {
		for deliver && len(w.flight) > 0 {
			w.arrive(0, true)
		}
		if !w.step(end) {
			w.now = end
			return
		}
	}
	w.t.Fatal("time does not pass")
}

// arrive delivers what is under way at place i.
func (w *world) arrive(i int, last bool) {
	p := w.flight[i]
	if last {
		w.flight = slices.Delete(w.flight, i, i+1)
	}
	a := p.to
	if a.gone {
		return
	}
	buf := a.pool.Get()
	n := copy(buf.B, p.data)
	a.group.Advance(w.now)
	a.group.Receive(&wire.Packet{From: soloAddr(p.from.id), Buf: buf, Data: buf.B[:n], Seg: n})
	buf.Drop()
	a.turn()
}

func (a *actor) turn() {
	for range 2 {
		a.consume()
		if a.owes && !a.busy {
			a.owes = false
			a.group.Stopped()
		}
		a.group.EndTurn()
	}
}

func (a *actor) consume() {
	for i := range a.taken {
		m := &a.taken[i]
		a.group.Consumed(m.epoch, m.Stream, m.Seq)
		if m.Buf != nil {
			m.Buf.Drop()
		}
	}
	a.taken = a.taken[:0]
}

func (a *actor) end() {
	a.gone = true
	a.consume()
	a.group.Close()
	if n := a.pool.Live(); n != 0 {
		a.t.Fatalf("%s holds %d buffers", a.id, n)
	}
}

// submit casts a message that says who sent it in which view as which one.
func (a *actor) submit() {
	v := a.group.View()
	text := fmt.Appendf(nil, "%v %s %d ", v.ID, a.id, a.cast+1)
	if a.group.Cast(1, nil, append(text, make([]byte, 40*(a.cast%9))...)) == nil {
		a.cast++
	}
}

// Watch holds no lifelines.
func (*actor) Watch(netip.AddrPort) bool { return false }

func (a *actor) Transmit(to netip.AddrPort, b []byte, seg int) {
	for ; len(b) > 0; b = b[min(seg, len(b)):] {
		for _, q := range a.actors {
			if q != a && !q.gone && (!to.IsValid() || soloAddr(q.id) == to) {
				a.flight = append(a.flight, inFlight{a, q, bytes.Clone(b[:min(seg, len(b))])})
			}
		}
	}
}

// Deliver checks that the message was sent in this view, and comes in its turn.
func (a *actor) Deliver(epoch uint64, m *stack.Msg) {
	if m.Buf != nil {
		m.Buf.Keep()
	}
	a.taken = append(a.taken, delivered{*m, epoch})
	p := &a.past[len(a.past)-1]
	from := p.view.Members[m.From].ID.Name
	p.from[from]++
	want := fmt.Sprintf("%v %s %d ", p.view.ID, from, p.from[from])
	if !bytes.HasPrefix(m.Data, []byte(want)) {
		a.t.Fatalf("%s: %.40q instead of %q", a.id, m.Data, want)
	}
	p.got = append(p.got, want)
}

// View checks that everybody who installs the view has the same one.
func (a *actor) View(_ uint64, v *stack.View) {
	members := fmt.Sprint(v.Endpoints())
	if w, ok := a.views[v.ID]; ok && w != members {
		a.t.Fatalf("view %v is %s here and %s elsewhere", v.ID, members, w)
	}
	a.views[v.ID] = members
	if n := len(a.past); n > 0 {
		old := a.past[n-1]
		if v.ID.Compare(old.view.ID) <= 0 {
			a.t.Fatalf("%s: view %v after %v", a.id, v, old.view)
		}
		if got := old.from[a.id]; got != a.cast {
			a.t.Fatalf("%s leaves %v with %d of its %d casts", a.id, old.view, got, a.cast)
		}
	}
	a.owes, a.cast = false, 0
	a.past = append(a.past, passage{view: v, from: map[string]uint64{}})
}

func (a *actor) Stop()                      { a.owes = true }
func (a *actor) Exit(error)                 {}
func (a *actor) Writable()                  {}
func (a *actor) Note(string)                {}
func (a *actor) Attr() []byte               { return nil }
func (a *actor) Exchange() bool             { return false }
func (a *actor) Weight() []byte             { return nil }
func (a *actor) Compose(*stack.Proposal)    {}
func (a *actor) Core(*stack.View) stack.Set { return nil }

// synchronous checks virtual synchrony: those who go together from one view to
// the next have delivered the same in it, with total order in the same order.
func (w *world) synchronous(total bool) {
	for _, p := range w.actors {
		for _, q := range w.actors {
			if q.id > p.id {
				w.together(p, q, total)
			}
		}
	}
}

func (w *world) together(p, q *actor, total bool) {
	for i := range len(p.past) - 1 {
		a, next := &p.past[i], p.past[i+1].view
		for j := range len(q.past) - 1 {
			b, also := &q.past[j], q.past[j+1].view
			if next.ID != also.ID {
				continue
			}
			with := next.Together[next.RankOf(soloID(q.id))]
			if with != also.Together[next.RankOf(soloID(p.id))] {
				w.t.Fatalf("%s and %s differ on whether they come together to %v", p.id, q.id, next)
			}
			if !with {
				continue
			}
			if a.view.ID != b.view.ID {
				w.t.Fatalf("%s comes from %v and %s from %v, together, to %v", p.id, a.view, q.id,
					b.view, next)
			}
			x, y := a.got, b.got
			if !total {
				x, y = slices.Sorted(slices.Values(x)), slices.Sorted(slices.Values(y))
			}
			if !slices.Equal(x, y) {
				w.t.Fatalf("%s and %s go from %v to %v: %q %q", p.id, q.id, a.view, next,
					a.got, b.got)
			}
		}
	}
}

// command runs one command of a program.
func (p *program) command(w *world) {
	a := w.actors[p.below(len(w.actors))]
	switch op := p.below(32); {
	case op < 14: // in order, more or less
		if len(w.flight) > 0 {
			w.arrive(p.below(min(len(w.flight), 1+p.below(12))), true)
		}
	case op < 17:
		for range p.below(20) {
			if len(w.flight) > 0 {
				w.arrive(0, true)
			}
		}
	case op < 20: // lost
		if len(w.flight) > 0 {
			i := p.below(len(w.flight))
			w.flight = slices.Delete(w.flight, i, i+1)
		}
	case op < 21: // doubled
		if len(w.flight) > 0 {
			w.arrive(p.below(len(w.flight)), false)
		}
	case op < 26:
		w.step(stack.Never - 1)
	case a.gone || a.group.Out() || len(a.past) == 0:
	case op < 29:
		a.submit()
	case op < 30:
		a.busy = !a.busy
	default:
		p.trouble(w, a)
		return
	}
	if !a.gone {
		a.turn()
	}
}

// trouble makes a member crash, leave, be suspected or want a new view.
func (p *program) trouble(w *world, a *actor) {
	switch op := p.below(12); {
	case op < 2:
		alive := 0
		for _, b := range w.actors {
			if !b.gone {
				alive++
			}
		}
		if alive > 2 {
			a.end()
			return
		}
	case op < 3:
		_ = a.group.Leave()
	case op < 6:
		a.group.RequestView("wanted")
	case op < 8:
		if r := p.below(len(w.actors)); r != a.group.View().Rank {
			a.group.Suspect(r, "by mistake")
		}
	default: // the kernel tells of dead neighbours
		for _, q := range w.actors {
			if q.gone {
				a.group.Unreachable(soloAddr(q.id))
			}
		}
	}
	a.turn()
}

// settle ends the trouble, and sees that those who are left are one view again.
func (w *world) settle() {
	one := func() bool {
		var v *stack.View
		for _, a := range w.actors {
			switch {
			case a.gone || a.group.Out():
			case v == nil:
				v = a.group.View()
			case v.ID != a.group.View().ID:
				return false
			}
		}
		for i := 0; v != nil && i < len(v.Members); i++ {
			a := w.actors[v.Members[i].ID.Name[0]-'a']
			if a.gone || a.group.Out() {
				return false
			}
		}
		return true
	}
	for _, a := range w.actors {
		a.busy = false
	}
	for range 80 {
		if w.pass(100*time.Millisecond, true); one() {
			return
		}
	}
	for _, a := range w.actors {
		w.t.Logf("%s gone %v out %v %s", a.id, a.gone, a.group.Out(), a.group.Dump())
	}
	w.t.Fatal("8 s later there is not one view of all who live")
}

// schedule plays a program on a world.
func (p program) schedule(t testing.TB) {
	var want stack.Props
	if p.below(3) == 0 {
		want = stack.Total
	}
	w := newWorld(t, 3+p.below(3), want)
	for steps := 0; len(p) > 0 && steps < 400; steps++ {
		p.command(w)
	}
	w.synchronous(want != 0)
	w.settle()
	w.synchronous(want != 0)
	for _, a := range w.actors {
		if !a.gone {
			a.end()
		}
	}
}

// FuzzSchedule lets bytes decide what happens to each packet of a group, and
// holds what its members see against virtual synchrony.
func FuzzSchedule(f *testing.F) {
	for seed := range uint64(4) {
		f.Add([]byte(chance(seed, 400)))
	}
	f.Fuzz(func(t *testing.T, in []byte) { program(in).schedule(t) })
}

func chance(seed uint64, n int) program {
	r := rand.New(rand.NewPCG(seed, 0))
	p := make(program, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

var schedules = flag.Int("schedules", 150, "how many random schedules TestSchedules plays")

func TestSchedules(t *testing.T) {
	for seed := range uint64(*schedules) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { chance(seed, 1000).schedule(t) })
	}
}
