package check

import (
	"slices"

	"maestro/stack/trace"
	"maestro/wire"
)

// This file has the messages and transfers of the modelled client/server layer.

// appState is what m records of its state; clients have none, and that of a
// server which wanted no transfer is nobody else's.
func (m *cmember) appState() uint64 {
	if m.role == trace.Client || m.xfer == trace.NoXfer {
		return 0
	}
	return m.h
}

// message is a new message of m.
func (w *clsvWorld) message(m *cmember) trace.Event {
	m.n++
	e := trace.Event{
		P: m.id, Msg: trace.MsgID{Origin: m.id, N: m.n}, Hash: w.rng.Uint64() | 1,
		MsgKind: trace.MsgKind(w.rng.IntN(4)), Safety: trace.Safety(1 + w.rng.IntN(3)),
	}
	switch to := pick(w.rng, m.g.ms).id; e.MsgKind {
	case trace.Pt2pt:
		e.Peer = to
		e.Safety = trace.XferSafe
	case trace.Lsend, trace.Scast:
		e.Dests = []wire.Endpoint{to}
	}
	if e.MsgKind == trace.Lsend {
		e.Safety = max(e.Safety, trace.Safe) // changes no state
	}
	return e
}

func (w *clsvWorld) submit(m *cmember) {
	e := w.message(m)
	e.Kind = trace.Submit
	w.emit(e)
	if !w.allowed(m, &e) {
		m.queue = append(m.queue, e)
		return
	}
	w.transmit(m, e)
}

func (w *clsvWorld) allowed(m *cmember, e *trace.Event) bool {
	return e.Safety >= trace.Safety(m.g.vtype)
}

// release sends what m's view lets go; the original waited for the end of all
// protected transfers.
func (w *clsvWorld) release(m *cmember) {
	var keep []trace.Event
	for _, e := range m.queue {
		if w.allowed(m, &e) && (!w.original || m.g.vtype <= trace.FreeXfer) {
			w.transmit(m, e)
		} else {
			keep = append(keep, e)
		}
	}
	m.queue = keep
}

// transmit sends e, and everybody for whom it is delivers it.
func (w *clsvWorld) transmit(m *cmember, e trace.Event) {
	e.Kind = trace.Send
	w.emit(e)
	for _, q := range m.g.ms {
		in := slices.Contains(e.Dests, q.id)
		switch e.MsgKind {
		case trace.Cast:
			in = true
		case trace.Scast:
			in = in || q.state == trace.ServerNormal || q.state == trace.ServerXfer ||
				q.state == trace.ServerXferDone
		case trace.Pt2pt:
			in = q.id == e.Peer
		}
		if !in {
			continue
		}
		d := e
		d.Kind, d.P, d.Dests, d.Peer = trace.Deliver, q.id, nil, wire.Endpoint{}
		if e.Safety == trace.Generic {
			q.h = q.h*1000003 + e.Hash
		}
		d.AppState = q.appState()
		w.emit(d)
	}
}

// transfer lets m get on with its transfer.
func (w *clsvWorld) transfer(m *cmember) {
	servers := m.g.list(trace.ServerNormal)
	if m.state != trace.ServerXfer || len(servers) == 0 {
		return
	}
	if m.got && w.rng.IntN(2) == 0 {
		w.emit(trace.Event{P: m.id, Kind: trace.XferDone, XferID: m.xid})
		m.state = trace.ServerXferDone
		m.got = false
		return
	}
	s := pick(w.rng, servers)
	e := trace.Event{XferID: m.xid, Hash: w.rng.Uint64() | 1}
	step := func(p, peer wire.Endpoint, k trace.Kind) {
		e.P, e.Peer, e.Kind = p, peer, k
		w.emit(e)
	}
	step(m.id, s.id, trace.Ask)
	if w.rng.IntN(8) == 0 {
		return // lost with its server, say
	}
	step(s.id, m.id, trace.AskCb)
	step(s.id, m.id, trace.SendState)
	step(m.id, s.id, trace.RcvState)
	m.got, m.h = true, s.h
}
