package csx

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"maestro/clsv"
)

// Member is a clsv.Member with the Handler of this package. All methods may be
// called from any goroutine and from within callbacks.
type Member struct {
	*clsv.Member
	o Options
	h Handler
	backlog
	primary *primary // what h is, if the application is a PrimaryObserver

	mu       sync.Mutex // never held while calling the handler or the member below
	view     *clsv.View
	degraded error  // why this server is about to lose its place
	lastXfer uint64 // ids, which are never used twice
	lastReq  uint64
	xfer     *Transfer // the last one
	joiners  map[clsv.Endpoint]*joiner
	pending  []pending
	stats    Stats
}

// Stats are what a member counts, from its making on.
type Stats struct {
	Begun, Completed, Terminated uint64 // transfers of this member
	Asked                        uint64 // requests, and Reasked of them once more
	Reasked                      uint64
	Restarted                    uint64 // streams and replies that began again
	Corrupt                      uint64 // chunks with a wrong hash
	Late                         uint64 // portions and requests of what is over
	Duplicate                    uint64 // portions that there were already
	Malformed                    uint64 // not what this package sends
	BytesIn, WireIn              uint64 // of state, before and after compression
	BytesOut, WireOut            uint64
	Skipped                      uint64 // bytes that a newcomer had from others already
	Held                         uint64 // messages held back
}

// Stats is a snapshot of the counters. The counters of the member below are
// those of m.Member.Stats.
func (m *Member) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// adapter shows the member below what it calls.
type adapter struct{ m *Member }

type exchanger struct {
	adapter
	clsv.Exchanger
}

func (a adapter) ReceiveCast(e clsv.Endpoint, msg []byte) {
	if !a.m.keep(clsv.Cast, e, msg) {
		a.m.h.ReceiveCast(e, msg)
	}
}

func (a adapter) ReceiveScast(e clsv.Endpoint, msg []byte) {
	if !a.m.keep(clsv.Scast, e, msg) {
		a.m.h.ReceiveScast(e, msg)
	}
}

func (a adapter) ReceiveLsend(e clsv.Endpoint, msg []byte) {
	if !a.m.keep(clsv.Lsend, e, msg) {
		a.m.h.ReceiveLsend(e, msg)
	}
}

func (a adapter) ReceiveSend(e clsv.Endpoint, msg []byte) { a.m.h.ReceiveSend(e, msg) }
func (a adapter) Block()                                  { a.m.h.Block() }
func (a adapter) Heartbeat(since time.Duration)           { a.m.h.Heartbeat(since) }

// Dropped passes on what is the application's.
func (a adapter) Dropped(d clsv.Dropped) {
	if !d.State {
		a.m.h.Dropped(d)
	}
}

// Degraded notes why a transfer is about to end.
func (a adapter) Degraded(d clsv.Degraded) {
	a.m.mu.Lock()
	a.m.degraded = d.Err
	a.m.mu.Unlock()
	a.m.h.Degraded(d)
}

// StateHash shows the application's state, if it does.
func (a adapter) StateHash() uint64 {
	if h, ok := a.m.o.Handler.(clsv.StateHasher); ok {
		return h.StateHash()
	}
	return 0
}

// AcceptedView ends what the view ends, tells the handler, and begins what the
// view begins.
func (a adapter) AcceptedView(v *clsv.View, viewMsg []byte) {
	m := a.m
	x, prev, ended := m.enter(v)
	begun := false
	defer func() {
		if x != nil && !begun { // the handler has panicked, or the member is closed
			close(x.returned)
		}
	}()
	run(ended)
	if v.StartXfer || v.State == clsv.BecomingServer {
		m.primary.forget()
	}
	m.h.AcceptedView(v, viewMsg)
	m.hold(v)
	if v.State != clsv.ServerNormal {
		m.retire()
	} else if !m.holding {
		m.capture(v)
	}
	switch {
	case x != nil:
		begun = m.Go(func() { m.transfer(x, prev) }) == nil
	case v.State == clsv.ServerXfer:
		m.reask()
	case v.State == clsv.ServerNormal && m.holding:
		m.promoted(prev)
	}
}

// enter takes note of a view. It returns the transfer that begins and the one
// before, and the functions that wait for replies which will not come.
func (m *Member) enter(v *clsv.View) (x, prev *Transfer, ended []func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.view, prev = v, m.xfer
	why := m.degraded
	m.degraded = nil
	if prev != nil && (v.StartXfer || v.State != clsv.ServerXfer) {
		if why == nil {
			why = clsv.ErrMergeLost
			if v.State == clsv.ServerNormal {
				why = clsv.ErrSourcesLost
			}
		}
		ended = prev.end(fmt.Errorf("%w: %w", ErrTerminated, why))
	}
	if v.StartXfer {
		m.lastXfer++
		m.stats.Begun++
		x = newTransfer(m, m.lastXfer, v)
		x.choose()
		m.xfer = x
	}
	return x, prev, ended
}

// transfer runs the handler's StateTransfer, when the call before has returned.
func (m *Member) transfer(x, prev *Transfer) {
	defer close(x.returned)
	if prev != nil {
		_ = m.Wait(context.Background(), prev.returned)
	}
	if x.ctx.Err() != nil {
		return
	}
	defer m.guard()
	m.h.StateTransfer(x.ctx, x)
}

// guard makes a panic of the application's, on a goroutine of ours, one of a
// callback, which takes the member out of the group. A member that is about to
// leave anyway can only log it.
func (m *Member) guard() {
	p := recover()
	if p == nil {
		return
	}
	text := fmt.Sprintf("%v\n%s", p, debug.Stack())
	if m.Post(func() { panic(text) }) != nil && m.o.Logger != nil {
		m.o.Logger.Error("panic", "group", m.o.Group, "err", text)
	}
}

// run calls what is the application's. If one panics the others are called all the
// same, since somebody may wait for them.
func run(list []func()) {
	for _, f := range slices.Backward(list) {
		defer f()
	}
}

// Exit ends everything.
func (a adapter) Exit(err error) {
	m := a.m
	why := err
	if why == nil {
		why = clsv.ErrNotJoined
	}
	m.mu.Lock()
	var ended []func()
	if m.xfer != nil {
		ended = m.xfer.end(fmt.Errorf("%w: %w", ErrTerminated, why))
	}
	m.view = nil
	m.mu.Unlock()
	m.forget()
	m.primary.forget()
	defer m.h.Exit(err)
	m.retire()
	run(ended)
}
