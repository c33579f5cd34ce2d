package check

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"maestro/stack/trace"
	"maestro/wire"
)

// clsvWorld makes traces of the client/server layer over a perfect group:
// every message reaches everybody in one step, in one order, and view changes
// take one step too. Original turns on the algorithm of the original source,
// with the defects that the specification lists; see original_test.go.
type clsvWorld struct {
	rng      *rand.Rand
	original bool
	types    []trace.Xfer // of transferring members
	now      int64
	ltime    uint64
	names    int
	groups   []*cgroup
	out      []trace.Event

	keepLosers bool // a defect: servers of both sides of a merge stay servers
}

// cmember is a member of the client/server layer.
type cmember struct {
	id    wire.Endpoint
	role  trace.Role
	xfer  trace.Xfer
	state trace.State
	next  trace.State // in the view being made
	start bool        // startXfer in it
	own   *trace.View // accepted last
	g     *cgroup
	n     uint64
	h     uint64 // application state
	queue []trace.Event
	xid   uint64
	got   bool // it has received state in this transfer
}

// cgroup is a group or a partition of it.
type cgroup struct {
	ms      []*cmember // by rank
	servers []*cmember // in the original: in order of promotion
	xfers   []*cmember
	vtype   trace.Xfer
}

func newClSv(seed uint64, original bool, types ...trace.Xfer) *clsvWorld {
	return &clsvWorld{rng: rand.New(rand.NewPCG(seed, 5)), original: original, types: types}
}

func clsvOptions() Options {
	o := VSync()
	o.Total, o.Causal, o.Uniform, o.ClSv, o.StateEqual = true, true, true, true, true
	return o
}

func (w *clsvWorld) emit(e trace.Event) {
	e.Time = w.now
	w.out = append(w.out, e)
}

func (w *clsvWorld) run(n int) []trace.Event {
	for range n {
		w.now += 1000
		w.step()
	}
	return w.out
}

func (w *clsvWorld) all() []*cmember {
	var l []*cmember
	for _, g := range w.groups {
		l = append(l, g.ms...)
	}
	return l
}

func (w *clsvWorld) step() {
	l := w.all()
	switch x := w.rng.IntN(100); {
	case len(l) < 2 || x < 5 && len(l) < 7:
		w.join()
	case x < 8:
		w.crash(pick(w.rng, l))
	case x < 10 && !w.original:
		w.split(pick(w.rng, w.groups))
	case x < 14 && len(w.groups) > 1:
		w.merge()
	case x < 30:
		w.change(pick(w.rng, w.groups).ms, nil)
	case x < 50:
		w.transfer(pick(w.rng, l))
	default:
		w.submit(pick(w.rng, l))
	}
}

func (w *clsvWorld) join() {
	m := &cmember{
		id:    wire.Endpoint{Name: fmt.Sprintf("c%d", w.names), Incarnation: 1},
		state: trace.Joining, h: 1,
	}
	w.names++
	if w.rng.IntN(4) > 0 {
		m.role, m.xfer = trace.Server, pick(w.rng, w.types)
	}
	w.emit(trace.Event{P: m.id, Kind: trace.Start, Role: m.role, Xfer: m.xfer})
	if len(w.groups) == 0 || !w.original && w.rng.IntN(5) == 0 {
		w.install([]*cmember{m}, map[*cmember]bool{m: true}, nil)
		return
	}
	g := pick(w.rng, w.groups)
	w.change(append(slices.Clone(g.ms), m), g)
}

func (w *clsvWorld) crash(m *cmember) {
	w.emit(trace.Event{P: m.id, Kind: trace.Crash})
	w.now++
	g := m.g
	g.ms = slices.DeleteFunc(slices.Clone(g.ms), func(x *cmember) bool { return x == m })
	if len(g.ms) == 0 {
		w.drop(g)
		return
	}
	w.change(g.ms, g)
}

func (w *clsvWorld) drop(g *cgroup) {
	w.groups = slices.DeleteFunc(w.groups, func(x *cgroup) bool { return x == g })
}

func (w *clsvWorld) split(g *cgroup) {
	if len(g.ms) < 2 {
		return
	}
	k := 1 + w.rng.IntN(len(g.ms)-1)
	a, b := slices.Clone(g.ms[:k]), slices.Clone(g.ms[k:])
	w.change(a, g)
	w.change(b, nil)
}

func (w *clsvWorld) merge() {
	a, b := w.groups[0], w.groups[1]
	if len(b.list(trace.ServerNormal)) > len(a.list(trace.ServerNormal)) {
		a, b = b, a
	}
	winners := map[*cmember]bool{}
	for _, m := range a.ms {
		winners[m] = true
	}
	ms := append(slices.Clone(a.ms), b.ms...)
	w.rng.Shuffle(len(ms), func(i, j int) { ms[i], ms[j] = ms[j], ms[i] })
	for _, m := range b.ms {
		winners[m] = w.keepLosers
	}
	w.drop(b)
	w.block(ms)
	w.install(ms, winners, a)
}

// list are the members in one of the given states.
func (g *cgroup) list(states ...trace.State) []*cmember {
	var l []*cmember
	for _, m := range g.ms {
		if slices.Contains(states, m.state) {
			l = append(l, m)
		}
	}
	return l
}

// change installs a view of ms, all on the winning side, in place of old, or of
// the group of its first member.
func (w *clsvWorld) change(ms []*cmember, old *cgroup) {
	winners := map[*cmember]bool{}
	for _, m := range ms {
		winners[m] = true
		if old == nil {
			old = m.g
		}
	}
	w.block(ms)
	w.install(ms, winners, old)
}

func (w *clsvWorld) block(ms []*cmember) {
	for _, m := range ms {
		if m.own == nil {
			continue
		}
		w.emit(trace.Event{P: m.id, Kind: trace.Block})
		if w.rng.IntN(3) == 0 { // waits for the next view
			e := w.message(m)
			e.Kind = trace.Submit
			w.emit(e)
			m.queue = append(m.queue, e)
		}
	}
}

// assign decides what everybody is in the next view: the rules of the
// specification.
func assign(ms []*cmember, winners map[*cmember]bool) {
	var wait []*cmember
	servers := false
	for _, m := range ms {
		m.next, m.start = trace.ServerNormal, false
		lose := !winners[m] && m.own != nil
		switch {
		case m.role == trace.Client:
			m.next = trace.ClientNormal
		case m.xfer == trace.NoXfer:
			if lose {
				m.next = trace.BecomingServer
			}
		case lose, m.state == trace.Joining, m.state == trace.ServerXfer:
			wait = append(wait, m)
			m.start = lose || m.state == trace.Joining
			m.next = trace.ServerXfer
		}
		servers = servers || m.next == trace.ServerNormal
	}
	if servers || len(wait) == 0 {
		return
	}
	best := wait[0]
	for _, m := range wait {
		if winners[m] && m.got && !(winners[best] && best.got) {
			best = m
		}
		m.start = true
	}
	best.next, best.start = trace.ServerNormal, false
}

// install makes the view and lets all accept it.
func (w *clsvWorld) install(ms []*cmember, winners map[*cmember]bool, old *cgroup) {
	g := &cgroup{ms: slices.Clone(ms)}
	if w.original {
		assignOriginal(g, old)
	} else {
		assign(g.ms, winners)
		for _, m := range g.ms {
			if m.next == trace.ServerNormal {
				g.servers = append(g.servers, m)
			}
			if m.next == trace.ServerXfer {
				g.xfers = append(g.xfers, m)
				g.vtype = max(g.vtype, m.xfer)
			}
		}
	}
	w.drop(old)
	w.groups = append(w.groups, g)
	w.ltime++
	tv := g.view(w.ltime)
	tv.SourcesLost = !w.original && slices.ContainsFunc(g.servers, func(m *cmember) bool {
		return m.state == trace.ServerXfer
	})
	w.propose(g, &tv)
	come := map[*cgroup][]wire.Endpoint{} // by the group that they come from
	for _, m := range g.ms {
		come[m.g] = append(come[m.g], m.id)
	}
	for _, m := range g.ms {
		own := w.own(m, tv)
		if own.Trans = []wire.Endpoint{m.id}; m.g != nil {
			own.Trans = come[m.g]
		}
		m.g, m.own, m.state = g, own, m.next
		if m.start {
			m.xid++
			m.got = false
		}
		w.emit(trace.Event{P: m.id, Kind: trace.ViewEvent, View: own, AppState: m.appState()})
	}
	for _, m := range g.ms {
		w.release(m)
	}
}

func endpoints(l []*cmember) []wire.Endpoint {
	var e []wire.Endpoint
	for _, m := range l {
		e = append(e, m.id)
	}
	return e
}

func (g *cgroup) view(ltime uint64) trace.View {
	v := trace.View{
		ID: wire.ViewID{Ltime: ltime, Coord: g.ms[0].id}, Members: endpoints(g.ms),
		ClSv: true, Servers: endpoints(g.servers), XferServers: endpoints(g.xfers),
		ViewType: g.vtype,
	}
	v.Clients = without(v.Members, append(slices.Clone(v.Servers), v.XferServers...))
	if len(v.Servers) > 0 {
		v.ServerCoord = v.Servers[0]
	}
	return v
}

// propose plays the callbacks that make the view message.
func (w *clsvWorld) propose(g *cgroup, tv *trace.View) {
	if w.rng.IntN(2) == 0 {
		return
	}
	tv.ViewMsg = w.rng.Uint64() | 1
	will := *tv
	for _, m := range g.ms {
		w.emit(trace.Event{P: m.id, Kind: trace.Changing, View: &will, Hash: m.n + 1})
	}
	w.emit(trace.Event{P: g.ms[0].id, Kind: trace.Propose, View: &will, Hash: tv.ViewMsg,
		Count: uint64(len(g.ms))})
}

// own is the view as m sees it.
func (w *clsvWorld) own(m *cmember, tv trace.View) *trace.View {
	prev := m.own
	if prev == nil {
		prev = &trace.View{ServerRank: -1, State: trace.Joining}
	}
	diff := func(now, old []wire.Endpoint) trace.Change {
		return trace.Change{New: without(now, old), Departed: without(old, now)}
	}
	tv.MemberChange = diff(tv.Members, prev.Members)
	tv.ServerChange = diff(tv.Servers, prev.Servers)
	tv.XferChange = diff(tv.XferServers, prev.XferServers)
	tv.ClientChange = diff(tv.Clients, prev.Clients)
	tv.OldServerCoord, tv.OldServerRank = prev.ServerCoord, prev.ServerRank
	if w.original {
		tv.OldServerCoord = prev.ID.Coord
	}
	tv.ServerRank = slices.Index(tv.Servers, m.id)
	tv.State, tv.OldState, tv.StartXfer = m.next, prev.State, m.start
	return &tv
}
