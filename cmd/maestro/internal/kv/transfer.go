package kv

import "maestro/clsv"

// incoming is the state that this server is getting.
type incoming struct {
	source  clsv.Endpoint
	attempt uint64 // the number of the copy that it asks for, growing
	asked   uint64 // portions
	got     uint64
	total   uint64 // 0: not known yet
	bytes   int
	before  uint64 // what got was at the last Heartbeat
	idle    int    // Heartbeats since it has changed
	t       *table
}

// snapshot is a copy of the state for a server that transfers.
type snapshot struct {
	attempt uint64
	chunks  [][]byte
}

// begin asks a server for the state, from its beginning. Called with s.mu held.
func (s *Store) begin(events []Event) ([]Event, []post) {
	v := s.view
	s.in = incoming{attempt: s.in.attempt + 1}
	if len(v.Servers) == 0 {
		return events, nil
	}
	// Several newcomers ask several servers, and who tries again asks another.
	n := uint64(max(v.MyRank, 0)) + s.in.attempt
	s.in.source, s.in.t = v.Servers[n%uint64(len(v.Servers))], newTable()
	return append(events, Event{What: Transferring, Source: s.in.source}), s.wants()
}

// wants are requests for as many portions as may be under way. Until the first
// has come, it is the only one. Called with s.mu held.
func (s *Store) wants() (out []post) {
	in := &s.in
	for in.asked == 0 || in.asked < min(in.total, in.got+uint64(s.o.Window)) {
		w := want{in.attempt, in.asked}
		out = append(out, post{to: in.source, data: w.append(nil), state: true, ask: true})
		in.asked++
	}
	return out
}

// prod begins a transfer again that has made no progress for two Heartbeats.
// Called with s.mu held.
func (s *Store) prod() ([]Event, []post) {
	if s.view == nil || s.view.State != clsv.ServerXfer || s.have {
		return nil, nil
	}
	in := &s.in
	if in.got != in.before {
		in.before, in.idle = in.got, 0
	} else if in.idle++; in.idle == 2 {
		return s.begin(nil)
	}
	return nil, nil
}

// AskState answers a request for a portion of the state.
func (s *Store) AskState(origin clsv.Endpoint, request []byte) {
	w, err := decodeWant(request)
	if err != nil {
		return
	}
	s.mu.Lock()
	var out []post
	if p := s.snaps[origin]; s.have && (p == nil || p.attempt < w.attempt) {
		s.snaps[origin] = &snapshot{w.attempt, s.t.snapshot(s.o.Chunk)}
	}
	if p := s.snaps[origin]; p != nil && p.attempt == w.attempt && w.index < uint64(len(p.chunks)) {
		c := chunk{w, uint64(len(p.chunks)), p.chunks[w.index]}
		out = append(out, post{to: origin, data: c.append(nil), state: true})
	}
	s.mu.Unlock()
	s.post(out)
}

// RcvState takes a portion of the state. They come in order.
func (s *Store) RcvState(_ clsv.Endpoint, state []byte) {
	c, err := decodeChunk(state)
	s.mu.Lock()
	in := &s.in
	if err != nil || in.t == nil || c.attempt != in.attempt || c.index != in.got {
		s.mu.Unlock()
		return
	}
	if in.t.restore(c.records) != nil {
		in.got, in.before = 0, 0 // never mind what it was: Heartbeat begins again
		s.mu.Unlock()
		return
	}
	in.got, in.total, in.bytes = in.got+1, c.total, in.bytes+len(c.records)
	if in.got < in.total {
		out := s.wants()
		s.mu.Unlock()
		s.post(out)
		return
	}
	e := Event{What: Restored, Source: in.source, Bytes: in.bytes}
	s.t, s.have = in.t, true
	e.Backlog = s.catchUp()
	e.Entries = len(s.t.data)
	s.in = incoming{attempt: in.attempt}
	s.changed()
	out := append(s.next(), s.askAgain()...)
	s.mu.Unlock()
	s.o.Notify(e)
	_ = s.m.XferDone() // or the transfer is void already
	s.post(out)
}
