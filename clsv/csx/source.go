package csx

import (
	"bytes"
	"context"
	"errors"
	"io"

	"maestro/clsv"
)

// joiner is a server that transfers, as the normal servers see it. With m.mu
// held.
type joiner struct {
	start uint64 // names its transfer
	cut   uint64 // the view that copy is of
	copy  *snapshot
	outs  map[uint64]*answer // by request
}

// snapshot is a copy of the state, for those who transfer since one view.
type snapshot struct {
	src  io.WriterTo
	refs int
}

// pending is a request that waits until this server has the state itself.
type pending struct {
	origin clsv.Endpoint
	ask    ask
}

// maxPending bounds the requests that wait.
const maxPending = 256

// answer is what goes to one newcomer for one request.
type answer struct {
	m      *Member
	to     clsv.Endpoint
	ask    ask
	cut    uint64
	copy   *snapshot
	ctx    context.Context
	cancel context.CancelFunc
	sent   uint64 // chunks
	credit uint64
	room   chan struct{} // closed when there is credit
}

// capture has the state copied for those whose transfer has begun, at a normal
// server, in a callback at the beginning of view v.
func (m *Member) capture(v *clsv.View) {
	m.mu.Lock()
	var gone []io.Closer
	var fresh []int
	for e, j := range m.joiners {
		if !v.IsXferServer(e) {
			gone = append(gone, m.dismiss(e, j)...)
		}
	}
	for i, e := range v.XferServers {
		j := m.joiners[e]
		if j != nil && j.start == v.XferStarts[i] {
			continue
		}
		if j != nil {
			gone = append(gone, m.dismiss(e, j)...)
		}
		fresh = append(fresh, i)
	}
	m.mu.Unlock()
	shut(gone)
	var s *snapshot
	if len(fresh) > 0 {
		s = &snapshot{src: m.h.Snapshot(v), refs: len(fresh)}
	}
	m.mu.Lock()
	for _, i := range fresh {
		m.joiners[v.XferServers[i]] = &joiner{start: v.XferStarts[i], cut: v.ID.Ltime, copy: s,
			outs: map[uint64]*answer{}}
	}
	late := m.pending
	m.pending = nil
	m.mu.Unlock()
	for i := range late {
		m.answer(late[i].origin, &late[i].ask)
	}
}

// dismiss forgets a newcomer. Called with m.mu held.
func (m *Member) dismiss(e clsv.Endpoint, j *joiner) []io.Closer {
	for _, a := range j.outs {
		a.cancel()
	}
	delete(m.joiners, e)
	return j.copy.drop()
}

// drop gives back one use of a copy, and returns what is to be closed.
func (s *snapshot) drop() []io.Closer {
	if s.refs--; s.refs == 0 {
		if c, ok := s.src.(io.Closer); ok {
			return []io.Closer{c}
		}
	}
	return nil
}

func shut(list []io.Closer) {
	for _, c := range list {
		_ = c.Close()
	}
}

// retire forgets all newcomers: this member is no normal server.
func (m *Member) retire() {
	m.mu.Lock()
	var gone []io.Closer
	for e, j := range m.joiners {
		gone = append(gone, m.dismiss(e, j)...)
	}
	m.pending = nil
	m.mu.Unlock()
	shut(gone)
}

// AskState takes a request, or what belongs to one.
func (a adapter) AskState(origin clsv.Endpoint, request []byte) {
	m := a.m
	var q ask
	if !q.parse(request) {
		m.count(&m.stats.Malformed)
		return
	}
	if q.kind == askOpen {
		q.request = bytes.Clone(q.request)
	}
	if m.holding { // this server was promoted: its state is on its way
		m.wait(origin, q)
		return
	}
	if q.kind == askOpen {
		m.answer(origin, &q)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var o *answer
	if j := m.joiners[origin]; j != nil {
		o = j.outs[q.id]
	}
	switch {
	case o == nil || o.ask.try != q.try:
		m.stats.Late++
	case q.kind == askStop:
		o.cancel()
	default:
		o.credit = max(o.credit, q.credit)
		o.signal()
	}
}

func (a *answer) signal() {
	if a.room != nil {
		close(a.room)
		a.room = nil
	}
}

// wait keeps a request for later, or drops one that is not wanted any more.
func (m *Member) wait(origin clsv.Endpoint, q ask) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case q.kind == askOpen && len(m.pending) < maxPending:
		m.pending = append(m.pending, pending{origin, q})
	case q.kind == askStop:
		for i, p := range m.pending {
			if p.origin == origin && p.ask.id == q.id {
				m.pending = append(m.pending[:i], m.pending[i+1:]...)
				break
			}
		}
	default:
		m.stats.Late++
	}
}

// answer begins to answer a request. It is called by callbacks.
func (m *Member) answer(to clsv.Endpoint, q *ask) {
	m.mu.Lock()
	j := m.joiners[to]
	if j == nil || j.start != q.start {
		m.stats.Late++
		m.mu.Unlock()
		return
	}
	old := j.outs[q.id]
	if old != nil && old.ask.try >= q.try || old == nil && len(j.outs) >= maxRequests {
		m.stats.Late++
		m.mu.Unlock()
		return
	}
	if old != nil {
		old.cancel()
	}
	a := &answer{m: m, to: to, ask: *q, cut: j.cut, credit: q.credit}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	j.outs[q.id] = a
	if q.whole {
		a.copy = j.copy
		a.copy.refs++
	}
	m.mu.Unlock()
	var src io.WriterTo
	var err error
	if q.whole {
		src, err = a.copy.open()
	} else {
		src, err = m.h.AskState(a.ctx, to, q.request)
	}
	if m.Go(func() { a.run(src, err) }) != nil {
		a.end()
	}
}

var errNoSnapshot = errors.New("no snapshot")

// open is the copy, to be written from its beginning.
func (s *snapshot) open() (io.WriterTo, error) {
	type sized interface {
		io.ReaderAt
		Size() int64
	}
	switch r := s.src.(type) {
	case nil:
		return nil, errNoSnapshot
	case *bytes.Reader:
		b := *r
		_, _ = b.Seek(0, io.SeekStart)
		return &b, nil
	case sized:
		return From(io.NewSectionReader(r, 0, r.Size())), nil
	}
	return s.src, nil
}

// run writes the answer.
func (a *answer) run(src io.WriterTo, err error) {
	defer a.m.guard()
	defer a.end() // which may close the copy
	if a.ask.offset > 0 && a.ask.cut != a.cut {
		err = errDiffers
	}
	if err == nil {
		c := newChunker(a)
		if src != nil {
			_, err = src.WriteTo(c)
		}
		if err == nil {
			err = c.finish()
		}
		if c.err != nil {
			err = c.err
		}
	}
	switch {
	case err == nil || a.ctx.Err() != nil || errors.Is(err, errSend):
	case errors.Is(err, errDiffers):
		a.tell(stateAgain, "")
	default:
		a.tell(stateError, err.Error())
	}
}

func (a *answer) tell(kind byte, text string) {
	p := portion{kind: kind, id: a.ask.id, try: a.ask.try}
	b := append(p.appendHead(nil), text[:min(len(text), maxText)]...)
	_ = a.m.PushState(a.ctx, a.to, clsv.Portion{Data: b})
}

// end forgets the answer.
func (a *answer) end() {
	m := a.m
	a.cancel()
	m.mu.Lock()
	if j := m.joiners[a.to]; j != nil && j.outs[a.ask.id] == a {
		delete(j.outs, a.ask.id)
	}
	var gone []io.Closer
	if a.copy != nil {
		gone = a.copy.drop()
	}
	m.mu.Unlock()
	shut(gone)
}
