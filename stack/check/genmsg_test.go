package check

import (
	"slices"

	"maestro/stack/trace"
	"maestro/wire"
)

// This file has the messages of the modelled group.

func (w *world) send(p *gproc) {
	r := p.room
	if r == nil {
		return
	}
	from := slices.Index(r.ps, p)
	p.n++
	m := &gmsg{from: from, dest: make([]bool, len(r.ps)), idx: len(r.log)}
	m.e = trace.Event{
		Time: w.now, P: p.id, Kind: trace.Send, Msg: trace.MsgID{Origin: p.id, N: p.n},
		Hash: w.rng.Uint64() | 1,
	}
	to := w.rng.IntN(len(r.ps))
	switch w.rng.IntN(8) {
	case 0:
		m.e.MsgKind = trace.Pt2pt
		m.e.Peer = r.ps[to].id
		m.dest[to] = true
		key := [2]int{from, to}
		r.pairs[key] = append(r.pairs[key], m)
		w.emit(m.e)
		return
	case 1:
		m.e.MsgKind = trace.Lsend
		for i, q := range r.ps {
			if w.rng.IntN(2) == 0 {
				m.dest[i] = true
				m.e.Dests = append(m.e.Dests, q.id)
			}
		}
	default:
		for i := range m.dest {
			m.dest[i] = true
		}
	}
	m.vec = slices.Clone(p.vec)
	p.vec[from] = len(r.by[from]) + 1
	r.log = append(r.log, m)
	r.by[from] = append(r.by[from], m)
	w.emit(m.e)
}

func (w *world) give(p *gproc, m *gmsg) {
	if m.dest[slices.Index(p.room.ps, p)] {
		e := m.e
		e.Time, e.P, e.Kind, e.Dests, e.Peer = w.now, p.id, trace.Deliver, nil,
			wire.Endpoint{}
		w.emit(e)
	}
}

func (w *world) deliverOne(p *gproc) {
	r := p.room
	if r == nil {
		return
	}
	me := slices.Index(r.ps, p)
	from := w.rng.IntN(len(r.ps))
	if q := r.pairs[[2]int{from, me}]; p.pairs[from] < len(q) && w.rng.IntN(4) == 0 {
		m := q[p.pairs[from]]
		p.pairs[from]++
		w.give(p, m)
		return
	}
	if w.mode.total {
		if p.at < len(r.log) {
			w.take(p, r.log[p.at])
		}
		return
	}
	if k := p.in[from]; k < len(r.by[from]) && w.ready(p, r.by[from][k]) {
		w.take(p, r.by[from][k])
	}
}

// ready reports whether p may go through m now.
func (w *world) ready(p *gproc, m *gmsg) bool {
	if !w.mode.causal {
		return true
	}
	for s, n := range m.vec {
		if p.in[s] < n && s != m.from {
			return false
		}
	}
	return true
}

// take makes p go through m, which it delivers if it is for p.
func (w *world) take(p *gproc, m *gmsg) {
	p.at++
	p.room.high = max(p.room.high, p.at)
	p.in[m.from]++
	for s, n := range m.vec {
		p.vec[s] = max(p.vec[s], n)
	}
	p.vec[m.from] = max(p.vec[m.from], p.in[m.from])
	p.gotten[m.idx] = true
	w.give(p, m)
}

// flush blocks the members of l and brings them to the same point.
func (w *world) flush(r *room, l []*gproc) {
	for _, p := range l {
		if len(r.ps) > 1 || w.rng.IntN(2) == 0 {
			w.emit(trace.Event{Time: w.now, P: p.id, Kind: trace.Block})
		}
	}
	goal := make([]int, len(r.ps)) // by sender
	upTo := 0
	who := l
	if w.mode.safe {
		who, upTo = r.here(), r.high
	}
	for _, p := range who {
		me := slices.Index(r.ps, p)
		goal[me] = len(r.by[me])
		for s, n := range p.in {
			goal[s] = max(goal[s], n)
		}
		upTo = max(upTo, p.at)
		for _, m := range r.by[me] {
			upTo = max(upTo, m.idx+1)
		}
	}
	for _, p := range l {
		for w.mode.total && p.at < upTo {
			w.take(p, r.log[p.at])
		}
		for more := !w.mode.total; more; {
			more = false
			for s := range goal {
				for p.in[s] < goal[s] && w.ready(p, r.by[s][p.in[s]]) {
					w.take(p, r.by[s][p.in[s]])
					more = true
				}
			}
		}
	}
}

// stable tells p of a message that all have.
func (w *world) stable(p *gproc) {
	r := p.room
	if r == nil || r.torn || len(r.log) == 0 {
		return
	}
	m := pick(w.rng, r.log)
	for i, q := range r.ps {
		if m.dest[i] && (q.room != r || !q.gotten[m.idx]) {
			return
		}
	}
	w.emit(trace.Event{Time: w.now, P: p.id, Kind: trace.Stable, Msg: m.e.Msg})
}
