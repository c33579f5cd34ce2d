package clsv

import (
	"context"
	"errors"
	"sync"
	"time"

	"maestro/stack"
)

// GroupMember is one endpoint in one group. All its methods may be called from
// any goroutine and from within callbacks; those that wait for the group do not
// wait when called from within a callback of any member of this process, as
// each of them says.
//
// Errors are *OpError.
type GroupMember struct {
	opts   Options
	h      Handler
	x      Exchanger
	driver Driver
	ops    sync.Pool

	joining sync.Mutex // held while a life begins

	mu     sync.Mutex // held for moments only: downcalls wait for it
	life   *life      // the last, attached to its group; nil before Join
	closed bool
}

// life is what lives from Join to Exit.
type life struct {
	core *core
	rt   Runtime
}

// NewGroupMember makes a member that has not joined yet, over real sockets.
func NewGroupMember(o GroupOptions, h GroupHandler) (*GroupMember, error) {
	return NewGroupMemberOn(o, h, Net{})
}

// NewGroupMemberOn is NewGroupMember with another driver, such as a simulator.
func NewGroupMemberOn(o GroupOptions, h GroupHandler, d Driver) (*GroupMember, error) {
	if h == nil {
		h = NopGroupHandler{}
	}
	m := &GroupMember{}
	a := adapter{h: h}
	var x Exchanger
	if gx, ok := h.(GroupExchanger); ok {
		x = exchanger{gx}
	}
	return m, m.init(Options{GroupOptions: o, Handler: a}, x, d)
}

// adapter shows a GroupHandler what a Handler is shown.
type adapter struct {
	NopHandler
	h GroupHandler
}

func (a adapter) ReceiveCast(e Endpoint, msg []byte)   { a.h.ReceiveCast(e, msg) }
func (a adapter) ReceiveSend(e Endpoint, msg []byte)   { a.h.ReceiveSend(e, msg) }
func (a adapter) Block()                               { a.h.Block() }
func (a adapter) AcceptedView(v *View, viewMsg []byte) { a.h.AcceptedView(&v.GroupView, viewMsg) }
func (a adapter) Exit(err error)                       { a.h.Exit(err) }
func (a adapter) Heartbeat(since time.Duration)        { a.h.Heartbeat(since) }

func (a adapter) PrimaryView(v *View, viewMsg []byte) {
	if p, ok := a.h.(GroupPrimaryObserver); ok {
		p.PrimaryView(&v.GroupView, viewMsg)
	}
}

type exchanger struct{ x GroupExchanger }

func (e exchanger) ChangingView(v *View) []byte { return e.x.ChangingView(&v.GroupView) }
func (e exchanger) ProposeView(v *View, msgs [][]byte) []byte {
	return e.x.ProposeView(&v.GroupView, msgs)
}

func (m *GroupMember) init(o Options, x Exchanger, d Driver) error {
	if err := o.fill(); err != nil {
		return err
	}
	if o.Trace != nil {
		o.Trace = &serial{to: o.Trace}
	}
	m.opts, m.h, m.x, m.driver = o, o.Handler, x, d
	m.ops.New = func() any { return newOperation() }
	return nil
}

// Join finds the group, or founds it, and returns when the first AcceptedView
// callback has returned. It waits for that until ctx is done, and then gives
// up joining. Within a callback it only begins to join. After Exit it may be
// called again: the member is then a new endpoint.
//
// Errors: ErrJoined, ErrClosed, what the sockets report, ctx's, and what ended
// the membership if that came first.
func (m *GroupMember) Join(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return m.fail("join", err)
	}
	if err := m.StartJoin(); err != nil || inCallback() {
		return err
	}
	l := m.current()
	if err := l.rt.Wait(ctx, l.core.joined, 0); err != nil {
		_ = m.StartLeave()
		return m.fail("join", err)
	}
	if l.core.joinErr != nil {
		return m.fail("join", l.core.joinErr)
	}
	return nil
}

// StartJoin begins to join and does not wait; the first AcceptedView tells that
// it is done. Errors as of Join.
func (m *GroupMember) StartJoin() error {
	if !m.joining.TryLock() {
		return m.fail("join", ErrJoined) // somebody else is about to
	}
	defer m.joining.Unlock()
	l, err := m.begin()
	if err != nil {
		return m.fail("join", err)
	}
	err = ErrClosed
	l.rt.Do(func(g *stack.Group) {
		l.core.attach(g, l.rt.Do)
		if err = m.publish(l); err == nil {
			err = l.core.join()
		}
	})
	if err != nil {
		_ = l.rt.Close()
		return m.fail("join", err)
	}
	return nil
}

// begin starts a life. The last callback of the one before may be running: it is
// waited for.
func (m *GroupMember) begin() (*life, error) {
	m.mu.Lock()
	last, closed := m.life, m.closed
	m.mu.Unlock()
	switch {
	case closed:
		return nil, ErrClosed
	case last == nil:
	case !last.core.leaves():
		return nil, ErrJoined
	default:
		_ = last.rt.Close() // its successor counts from now on
	}
	c := newCore(&m.opts, m.h, m.x)
	rt, err := m.driver.Start(&m.opts.GroupOptions, c)
	if err != nil {
		return nil, err
	}
	return &life{c, rt}, nil
}

// publish makes a life the one that downcalls are for.
func (m *GroupMember) publish(l *life) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.life = l
	return nil
}

// Leave leaves the group and returns when Exit has returned, or when ctx is
// done. Messages sent before are still delivered in the current view; those
// that wait are dropped. Messages that have come are still handed to the handler,
// but once the member is out for BlockTimeout at most. Within a callback it only
// begins to leave: Exit follows.
//
// Errors: ErrNotJoined before Join and after Leave, ErrClosed, ctx's; ErrPanic if
// Exit has panicked.
func (m *GroupMember) Leave(ctx context.Context) error {
	if err := m.StartLeave(); err != nil || inCallback() {
		return err
	}
	l := m.current()
	if err := l.rt.Wait(ctx, l.core.exited, 0); err != nil {
		return m.fail("leave", err)
	}
	if l.core.exitErr != nil {
		return m.fail("leave", l.core.exitErr)
	}
	return nil
}

// StartLeave begins to leave and does not wait; Exit tells that it is done.
// Errors as of Leave.
func (m *GroupMember) StartLeave() error {
	return m.try("leave", func(c *core) error { return c.leave(nil) })
}

// Close leaves the group, if need be, waits for Exit as long as
// Options.LeaveTimeout says, and gives back sockets and memory. It does not
// interrupt a callback that is running, but waits for it. The member is
// of no use afterwards. Within a callback it returns at once, and the end comes
// afterwards. Close may be called more than once.
func (m *GroupMember) Close() error {
	m.mu.Lock()
	l, was := m.life, m.closed
	m.closed = true
	m.mu.Unlock()
	if l == nil || was {
		return nil
	}
	if inCallback() {
		l.rt.Do(func(*stack.Group) { l.core.closing(l.rt) })
		return nil
	}
	l.rt.Do(func(*stack.Group) { _ = l.core.leave(nil); l.core.act() })
	err := l.rt.Wait(context.Background(), l.core.exited, m.opts.LeaveTimeout)
	if cerr := l.rt.Close(); err == nil || cerr != nil {
		err = cerr
	}
	l.core.finish()
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		err = l.core.exitErr
	}
	if err != nil {
		return m.fail("close", err)
	}
	return nil
}

// current is the current life.
func (m *GroupMember) current() *life {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.life
}

// fail wraps an error.
func (m *GroupMember) fail(op string, err error) error {
	return &OpError{Op: op, Group: m.opts.Group, Err: err}
}

// try runs f with the current life's group, and wraps what it returns.
func (m *GroupMember) try(op string, f func(*core) error) error {
	l := m.current()
	if l == nil {
		return m.fail(op, ErrNotJoined)
	}
	var view ViewID
	err := l.core.ended()
	l.rt.Do(func(*stack.Group) {
		if l.core.closed {
			return
		}
		err = f(l.core)
		l.core.act()
		if l.core.view != nil {
			view = l.core.view.ID
		}
	})
	if err != nil {
		return &OpError{Op: op, Group: m.opts.Group, View: view, Err: err}
	}
	return nil
}

// Cast sends a message to all members of the view, this one included unless
// Options.NoLocal says otherwise. The message is copied: the caller may reuse
// it. The SendView says in which view the message goes out: the current one, or
// a later one if a view change is under way.
//
// When too much waits already, Cast waits for room until ctx is done. Within a
// callback it does not wait, but returns ErrWouldBlock.
//
// Errors: ErrNotJoined, ErrTooLarge, ErrWouldBlock, ErrClosed, ctx's.
func (m *GroupMember) Cast(ctx context.Context, msg []byte) (SendView, error) {
	return m.send(ctx, &post{kind: Cast, data: msg})
}

// TryCast is Cast, but never waits: when too much waits already, it returns
// ErrWouldBlock.
func (m *GroupMember) TryCast(msg []byte) (SendView, error) {
	return m.trySend(&post{kind: Cast, data: msg})
}

// Send sends a message to one member; otherwise it is like Cast. Messages from
// one member to another arrive in order; in relation to casts there is none.
// One that waits for a view in which its destination is gone is reported by
// the Dropped callback.
//
// Errors: those of Cast, and ErrNotMember; ErrSelf with Options.NoLocal.
func (m *GroupMember) Send(ctx context.Context, to Endpoint, msg []byte) (SendView, error) {
	return m.send(ctx, &post{kind: Send, to: to, data: msg})
}

// TrySend is Send, but never waits; see TryCast.
func (m *GroupMember) TrySend(to Endpoint, msg []byte) (SendView, error) {
	return m.trySend(&post{kind: Send, to: to, data: msg})
}

// RequestView asks for a new view with the same members. Only the coordinator
// may. Errors: ErrNotCoordinator, ErrNotJoined, ErrClosed.
func (m *GroupMember) RequestView() error {
	return m.try("request view", func(c *core) error {
		switch {
		case c.view == nil || c.leaving || c.over:
			return ErrNotJoined
		case c.cur.view.Rank != 0:
			return ErrNotCoordinator
		case !c.cur.stopping:
			c.todo |= doView
		}
		return nil
	})
}

// Suspect takes a member for failed: the group goes on without it. Errors:
// ErrNotMember, ErrSelf, ErrNotJoined, ErrClosed.
func (m *GroupMember) Suspect(e Endpoint) error {
	return m.try("suspect", func(c *core) error {
		if c.view == nil || c.leaving || c.over {
			return ErrNotJoined
		}
		switch r := c.cur.view.RankOf(e); {
		case r < 0:
			return ErrNotMember
		case r == c.cur.view.Rank:
			return ErrSelf
		default:
			c.group.Suspect(r, "the application says so")
		}
		return nil
	})
}

// Endpoint is this member's endpoint, zero before Join.
func (m *GroupMember) Endpoint() Endpoint {
	var e Endpoint
	_ = m.try("endpoint", func(c *core) error { e = c.self; return nil })
	return e
}

// View is the view accepted last, nil if there is none.
func (m *GroupMember) View() *GroupView {
	if v := m.fullView(); v != nil {
		return &v.GroupView
	}
	return nil
}

func (m *GroupMember) fullView() *View {
	var v *View
	_ = m.try("view", func(c *core) error { v = c.view; return nil })
	return v
}

// Stats is a snapshot of the member's counters. ok is false before Join and
// after Close.
func (m *GroupMember) Stats() (s Stats, ok bool) {
	err := m.try("stats", func(c *core) error { c.snapshot(&s); return nil })
	if l := m.current(); err == nil {
		if r, ok := l.rt.(statser); ok {
			r.socketStats(&s)
		}
	}
	return s, err == nil
}

// Dump prints the state of the stack, for people.
func (m *GroupMember) Dump() string {
	s := ""
	_ = m.try("dump", func(c *core) error { s = c.group.Dump(); return nil })
	return s
}
