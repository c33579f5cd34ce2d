package check

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"maestro/stack/trace"
	"maestro/wire"
)

// world makes correct traces: a group without a protocol, in which messages
// reach whom they should because the model says so. Members crash, come back,
// leave, split and merge; views may be accepted by a part of their members.
type world struct {
	rng    *rand.Rand
	mode   mode
	now    int64
	out    []trace.Event
	procs  []*gproc // alive
	rooms  []*room  // views in which somebody is
	ltime  uint64
	names  int
	prim   *room
	primNo uint64
	dead   []wire.Endpoint
}

// mode is what the modelled stack promises.
type mode struct {
	causal, total, uniform, safe bool
	max                          int // members
}

func (m mode) options() Options {
	o := VSync()
	o.Causal, o.Total, o.Uniform, o.Safe = m.causal, m.total, m.uniform, m.safe
	o.Primary = true
	return o
}

// gproc is a member.
type gproc struct {
	id     wire.Endpoint
	n      uint64 // messages sent in its life
	room   *room
	in     map[int]int // sender's rank to number of its casts gone through
	at     int         // place in the room's log
	pairs  map[int]int // sender's rank to number of its sends delivered
	prim   uint64
	vec    []int
	gotten map[int]bool
}

// room is a view.
type room struct {
	view  *trace.View
	ps    []*gproc // by rank; who is not here any more has another room
	log   []*gmsg
	by    [][]*gmsg          // casts by sender
	pairs map[[2]int][]*gmsg // sends by sender and receiver
	high  int                // the furthest that anybody came in the log
	torn  bool
}

// gmsg is a message.
type gmsg struct {
	e    trace.Event
	from int
	dest []bool
	vec  []int
	idx  int
}

func newWorld(seed uint64, m mode) *world {
	return &world{rng: rand.New(rand.NewPCG(seed, 99)), mode: m}
}

func (w *world) emit(e trace.Event) {
	w.out = append(w.out, e)
}

// run makes n steps.
func (w *world) run(n int) []trace.Event {
	for range n {
		w.now += 1 + w.rng.Int64N(1e6)
		w.step()
	}
	return w.out
}

func (w *world) step() {
	switch x := w.rng.IntN(1000); {
	case len(w.procs) < 2 || x < 4 && len(w.procs) < w.mode.max:
		w.join(w.fresh())
	case x < 8:
		w.crash()
	case x < 11 && len(w.rooms) > 1:
		w.merge()
	case x < 13:
		w.split()
	case x < 15:
		w.change(pick(w.rng, w.rooms), nil) // same members
	case x < 300:
		w.send(pick(w.rng, w.procs))
	case x < 320:
		w.stable(pick(w.rng, w.procs))
	default:
		w.deliverOne(pick(w.rng, w.procs))
	}
}

func pick[T any](r *rand.Rand, l []T) T { return l[r.IntN(len(l))] }

// fresh is a new member, often one that takes the name of one that died.
func (w *world) fresh() *gproc {
	p := &gproc{id: wire.Endpoint{Name: fmt.Sprintf("m%d", w.names), Incarnation: 1}}
	w.names++
	if len(w.dead) > 0 && w.rng.IntN(2) == 0 {
		p.id = w.dead[len(w.dead)-1]
		p.id.Incarnation++
		w.dead = w.dead[:len(w.dead)-1]
		w.names--
	}
	w.emit(trace.Event{Time: w.now, P: p.id, Kind: trace.Start})
	w.procs = append(w.procs, p)
	return p
}

// here are the members that are in r.
func (r *room) here() []*gproc {
	var l []*gproc
	for _, p := range r.ps {
		if p.room == r {
			l = append(l, p)
		}
	}
	return l
}

func (w *world) join(p *gproc) {
	if len(w.rooms) == 0 || w.rng.IntN(3) == 0 {
		w.install([]*gproc{p}, nil)
		return
	}
	w.change(pick(w.rng, w.rooms), []*gproc{p})
}

// change takes everybody in r to a new view, with the joiners.
func (w *world) change(r *room, joiners []*gproc) {
	l := r.here()
	w.flush(r, l)
	w.install(append(l, joiners...), []*room{r})
}

func (w *world) merge() {
	i := w.rng.IntN(len(w.rooms) - 1)
	a, b := w.rooms[i], w.rooms[i+1]
	if a.view.ID.Ltime%2 == 0 {
		a, b = b, a
	}
	la, lb := a.here(), b.here()
	w.flush(a, la)
	w.flush(b, lb)
	w.install(append(la, lb...), []*room{a, b})
}

func (w *world) split() {
	r := pick(w.rng, w.rooms)
	l := r.here()
	if len(l) < 2 {
		return
	}
	k := 1 + w.rng.IntN(len(l)-1)
	w.rng.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
	if w.mode.safe { // both at once, with one cut
		w.flush(r, l)
		w.install(l[:k], []*room{r})
		w.install(l[k:], []*room{r})
		return
	}
	r.torn = true // the others go on in the old view for a while
	w.flush(r, l[:k])
	w.install(l[:k], []*room{r})
}

func (w *world) crash() {
	p := pick(w.rng, w.procs)
	r := p.room
	if w.rng.IntN(3) > 0 || w.mode.safe {
		w.emit(trace.Event{Time: w.now, P: p.id, Kind: trace.Crash})
	} else {
		w.emit(trace.Event{Time: w.now, P: p.id, Kind: trace.Exit})
	}
	w.now++
	p.room = nil
	w.dead = append(w.dead, p.id)
	w.procs = slices.DeleteFunc(w.procs, func(q *gproc) bool { return q == p })
	w.sweep()
	if l := r.here(); len(l) > 0 && w.rng.IntN(2) == 0 {
		w.change(r, nil)
	}
}

func (w *world) sweep() {
	w.rooms = slices.DeleteFunc(w.rooms, func(r *room) bool { return len(r.here()) == 0 })
}

// install makes a new view of members that have been flushed, and lets them
// accept it; sometimes only some do, before the next view comes.
func (w *world) install(l []*gproc, from []*room) {
	l = slices.Clone(l)
	w.ltime++
	ids := func(in []*gproc) []wire.Endpoint {
		var e []wire.Endpoint
		for _, p := range in {
			e = append(e, p.id)
		}
		return e
	}
	some := l
	if len(from) > 0 && len(l) > 2 && w.rng.IntN(6) == 0 {
		some = l[:1+w.rng.IntN(len(l)-1)]
	}
	tv := trace.View{
		ID: wire.ViewID{Ltime: w.ltime, Coord: l[0].id}, Members: ids(l),
		ViewMsg: w.rng.Uint64(),
	}
	r := &room{ps: l, by: make([][]*gmsg, len(l)), pairs: map[[2]int][]*gmsg{}}
	w.number(&tv, l, some, r)
	r.view = &tv
	for _, p := range some {
		own := tv
		own.Trans = nil
		for _, q := range some {
			if p.room != nil && q.room == p.room || p == q {
				own.Trans = append(own.Trans, q.id)
			}
		}
		w.emit(trace.Event{Time: w.now, P: p.id, Kind: trace.ViewEvent, View: &own})
		p.prim = max(p.prim, tv.Primary)
	}
	for _, p := range some {
		p.room, p.at, p.in, p.pairs = r, 0, map[int]int{}, map[int]int{}
		p.vec, p.gotten = make([]int, len(l)), map[int]bool{}
	}
	w.rooms = append(w.rooms, r)
	w.sweep()
	if len(some) == len(l) {
		return
	}
	for range w.rng.IntN(20) {
		if p := pick(w.rng, some); w.rng.IntN(2) == 0 {
			w.send(p)
		} else {
			w.deliverOne(p)
		}
	}
	w.flush(r, some)
	w.install(l, []*room{r})
}

// number gives the view a primary number if it continues the last primary.
func (w *world) number(tv *trace.View, l, some []*gproc, r *room) {
	common, able := 0, false
	if w.prim != nil {
		for _, p := range l {
			if slices.Contains(w.prim.view.Members, p.id) {
				common++
			}
		}
		for _, p := range some {
			able = able || p.prim == w.primNo
		}
	}
	if w.prim == nil || able && 2*common > len(w.prim.view.Members) {
		w.primNo++
		tv.Primary = w.primNo
		w.prim = r
	}
}
