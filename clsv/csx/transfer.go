package csx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"maestro/clsv"
)

// Transfer is one transfer of the state to this member. Its methods may be
// called from any goroutine and from within callbacks; those that wait return
// an error in callbacks, see each.
type Transfer struct {
	m        *Member
	id       uint64
	view     *clsv.View
	start    uint64 // names the transfer in the group
	ctx      context.Context
	cancel   context.CancelCauseFunc
	returned chan struct{} // closed when StateTransfer has returned

	// With m.mu held:
	over    error // why it is over
	reqs    map[uint64]*request
	source  clsv.Endpoint
	shift   int    // how often the source was another than its turn
	cut     uint64 // the view (Ltime) that the stream's state is the beginning of
	out     []letter
	posting bool
}

// letter is a message that is to be sent in order.
type letter struct {
	to  clsv.Endpoint
	msg []byte
}

func newTransfer(m *Member, id uint64, v *clsv.View) *Transfer {
	x := &Transfer{m: m, id: id, view: v, reqs: map[uint64]*request{},
		returned: make(chan struct{})}
	if i := slices.Index(v.XferServers, v.Me); i >= 0 {
		x.start = v.XferStarts[i]
	}
	x.ctx, x.cancel = context.WithCancelCause(context.Background())
	return x
}

// ID numbers this member's transfers, from 1, larger for later ones, across
// views and lives.
func (x *Transfer) ID() uint64 { return x.id }

// View is the view in which the transfer began.
func (x *Transfer) View() *clsv.View { return x.view }

// Source is the server that is asked, zero while there is none.
func (x *Transfer) Source() clsv.Endpoint {
	x.m.mu.Lock()
	defer x.m.mu.Unlock()
	return x.source
}

// GetState asks a server for a portion of the state and waits for the reply,
// which is the caller's, until ctx is done. Several calls may wait at the same
// time.
//
// Errors: ErrTerminated, ErrDone, ErrRemote, ErrBusy, ErrTooLarge, ctx's;
// clsv.ErrTooLarge for the request; clsv.ErrWouldDeadlock within a callback.
func (x *Transfer) GetState(ctx context.Context, request []byte) ([]byte, error) {
	var reply []byte
	var err error
	done := make(chan struct{})
	id := x.Ask(request, func(b []byte, e error) {
		reply, err = b, e
		close(done)
	})
	if werr := x.m.Wait(ctx, done); werr != nil {
		x.Cancel(id)
		select {
		case <-done: // it came at the last moment
		default:
			return nil, werr
		}
	}
	return reply, err
}

// Ask is GetState, but does not wait: got is called with the reply, which is
// its own, or the error, exactly once unless Cancel comes before. It may be
// called before Ask has returned; it is called from a callback, or by Done or
// Ask itself. The id is that of the request; ids are larger for later ones.
func (x *Transfer) Ask(request []byte, got func(reply []byte, err error)) (id uint64) {
	r := newRequest(x, slices.Clone(request))
	r.got = got
	id, err := x.open(r)
	if err != nil {
		got(nil, err)
	}
	return id
}

// Cancel gives up a request of Ask, if it is outstanding: its function will not
// be called.
func (x *Transfer) Cancel(id uint64) {
	x.m.mu.Lock()
	r := x.reqs[id]
	x.m.mu.Unlock()
	if r != nil {
		r.stop()
	}
}

// Stream reads the whole state, the copy that Handler.Snapshot has made. Ctx
// bounds all its reads. It should be closed.
func (x *Transfer) Stream(ctx context.Context) *Stream {
	r := newRequest(x, nil)
	r.whole = true
	s := &Stream{r: r, ctx: ctx}
	s.digest.Reset()
	_, s.err = x.open(r)
	return s
}

// Load has f read the whole state, again from the beginning if that becomes
// necessary: f begins with nothing each time. Load returns nil when f has
// returned nil and the stream has come to its end, and otherwise the error of f
// or of the stream.
//
// When the transfer is terminated in the middle, f sees that as an error of its
// reader. If f returns nil nevertheless, what it has got so far is good enough,
// so does Load.
func (x *Transfer) Load(ctx context.Context, f func(r io.Reader) error) error {
	s := x.Stream(ctx)
	defer s.Close()
	for {
		a := &attempt{s: s}
		err := f(a)
		if a.err == nil && err == nil {
			_, err = io.Copy(io.Discard, a)
		}
		if !errors.Is(a.err, ErrRestart) {
			return err
		}
	}
}

// Done says that this member has the state. Requests that are outstanding end
// with ErrDone. The next view has the member among its servers. With
// Options.Hold, what has been held back is handed over first.
//
// Errors: why the transfer is over, if it was not by Done: nothing happens then.
func (x *Transfer) Done() error {
	m := x.m
	m.mu.Lock()
	if x.over != nil {
		defer m.mu.Unlock()
		if errors.Is(x.over, ErrDone) {
			return nil
		}
		return x.over
	}
	m.stats.Completed++
	ended := x.end(ErrDone)
	m.mu.Unlock()
	run(ended)
	if m.o.Hold {
		return m.Post(func() { m.replay(x) })
	}
	return m.XferDone()
}

// end ends the transfer, once. It returns what is to be called without the lock.
// Called with m.mu held.
func (x *Transfer) end(err error) (ended []func()) {
	if x.over != nil {
		return nil
	}
	if !errors.Is(err, ErrDone) {
		x.m.stats.Terminated++
	}
	x.over = err
	for _, r := range x.requests() {
		if f := r.finish(err); f != nil {
			ended = append(ended, f)
		}
	}
	x.out = nil
	return append(ended, func() { x.cancel(err) })
}

// requests are those that are outstanding, by id. Called with m.mu held.
func (x *Transfer) requests() []*request {
	list := make([]*request, 0, len(x.reqs))
	for _, r := range x.reqs {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *request) int { return int(a.id) - int(b.id) })
	return list
}

// open sends a request.
func (x *Transfer) open(r *request) (id uint64, err error) {
	m := x.m
	m.mu.Lock()
	m.lastReq++
	r.id = m.lastReq
	switch {
	case x.over != nil:
		err = x.over
	case len(x.reqs) >= m.o.Requests:
		err = ErrBusy
	}
	if err != nil {
		r.err = err
		m.mu.Unlock()
		return r.id, err
	}
	x.reqs[r.id] = r
	m.stats.Asked++
	x.choose()
	l := r.ask()
	m.mu.Unlock()
	x.post(l)
	return r.id, nil
}

// choose finds a source, if there is none: newcomers of several ranks ask
// several servers. Called with m.mu held.
func (x *Transfer) choose() {
	v := x.m.view
	if v == nil || len(v.Servers) == 0 {
		x.source = clsv.Endpoint{}
		return
	}
	if v.IsServer(x.source) {
		return
	}
	n := slices.Index(v.XferServers, v.Me) + x.shift
	x.source = v.Servers[max(n, 0)%len(v.Servers)]
}

// reask sends what waits for a source that is gone to another.
func (m *Member) reask() {
	m.mu.Lock()
	x := m.xfer
	if x == nil || x.over != nil {
		m.mu.Unlock()
		return
	}
	x.choose()
	var out []letter
	for _, r := range x.requests() {
		if r.source != x.source && !r.last {
			m.stats.Reasked++
			out = append(out, r.ask()...)
		}
	}
	m.mu.Unlock()
	x.post(out)
}

// post sends letters to sources, in order.
func (x *Transfer) post(list []letter) {
	if len(list) == 0 {
		return
	}
	x.m.mu.Lock()
	x.out = append(x.out, list...)
	busy := x.posting
	x.posting = true
	x.m.mu.Unlock()
	if !busy {
		x.deliver(false)
	}
}

// deliver sends what is to be sent. What does not go at once is waited for on a
// goroutine.
func (x *Transfer) deliver(wait bool) {
	m := x.m
	for {
		m.mu.Lock()
		if len(x.out) == 0 {
			x.posting = false
			m.mu.Unlock()
			return
		}
		l := x.out[0]
		m.mu.Unlock()
		var err error
		if wait {
			err = m.PushAsk(x.ctx, l.to, l.msg)
		} else {
			err = m.AskState(l.to, l.msg)
		}
		if errors.Is(err, clsv.ErrWouldBlock) && !wait {
			_ = m.Go(func() {
				defer m.guard() // of what undelivered calls
				x.deliver(true)
			})
			return
		}
		m.mu.Lock()
		if len(x.out) > 0 {
			x.out = x.out[1:]
		}
		m.mu.Unlock()
		x.undelivered(l, err)
	}
}

// undelivered ends a request that can never be sent. After other errors a view
// is about to come that has the request sent again.
func (x *Transfer) undelivered(l letter, err error) {
	var a ask
	if !errors.Is(err, clsv.ErrTooLarge) || !a.parse(l.msg) {
		return
	}
	x.m.mu.Lock()
	var f func()
	if r := x.reqs[a.id]; r != nil {
		f = r.finish(fmt.Errorf("csx: %w", clsv.ErrTooLarge))
	}
	x.m.mu.Unlock()
	if f != nil {
		f()
	}
}

// Current reports whether this is the member's last transfer.
func (x *Transfer) Current() bool {
	x.m.mu.Lock()
	defer x.m.mu.Unlock()
	return x.m.xfer == x && x.m.view != nil
}
