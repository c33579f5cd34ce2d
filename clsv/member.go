package clsv

import (
	"context"
	"errors"
	"sync"

	"maestro/stack"
	"maestro/stack/trace"
)

// Member is a GroupMember that is a client or a server, and takes part in the
// transfer of the servers' state. What is said of a GroupMember holds for it
// too.
type Member struct {
	GroupMember
}

// New makes a member that has not joined yet, over real sockets.
func New(o Options) (*Member, error) { return NewMember(o, Net{}) }

// Open makes a member and joins the group; see Join. The caller must Close it.
func Open(ctx context.Context, o Options) (*Member, error) {
	m, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := m.Join(ctx); err != nil {
		_ = m.Close()
		return nil, err
	}
	return m, nil
}

// NewMember is New with another driver, such as a simulator.
func NewMember(o Options, d Driver) (*Member, error) {
	x, _ := o.Handler.(Exchanger)
	m := &Member{}
	return m, m.init(o, x, d)
}

// View is the view accepted last, nil if there is none.
func (m *Member) View() *View { return m.fullView() }

// State is the member's state now.
func (m *Member) State() State {
	s := Initial
	_ = m.try("state", func(c *core) error { s = c.state(); return nil })
	return s
}

// message is a message with the first of the options, if there is one.
func message(k Kind, to Endpoint, msg []byte, o []MsgOptions) *post {
	p := &post{kind: k, to: to, data: msg}
	if len(o) > 0 {
		p.safety, p.in, p.wait = o[0].Safety, o[0].In, o[0].Queue
		if k == Scast || k == Lsend {
			p.dests = o[0].Dests
		}
	}
	return p
}

// Cast sends a message to all members of the view; see GroupMember.Cast. A
// message whose safety the view does not allow waits for one that does, and is
// sent before that view's AcceptedView; messages that are allowed overtake it.
func (m *Member) Cast(ctx context.Context, msg []byte, o ...MsgOptions) (SendView, error) {
	return m.send(ctx, message(Cast, Endpoint{}, msg, o))
}

// TryCast is Cast, but never waits: when too much waits already, it returns
// ErrWouldBlock.
func (m *Member) TryCast(msg []byte, o ...MsgOptions) (SendView, error) {
	return m.trySend(message(Cast, Endpoint{}, msg, o))
}

// Send sends a message to one member; see GroupMember.Send and Cast.
func (m *Member) Send(ctx context.Context, to Endpoint, msg []byte,
	o ...MsgOptions) (SendView, error) {
	return m.send(ctx, message(Send, to, msg, o))
}

// TrySend is Send, but never waits; see TryCast.
func (m *Member) TrySend(to Endpoint, msg []byte, o ...MsgOptions) (SendView, error) {
	return m.trySend(message(Send, to, msg, o))
}

// Scast sends a message to all servers, normal and transferring, and to the
// members in MsgOptions.Dests. Any member may. It keeps its place in the order
// of this member's casts; otherwise it is like Cast.
func (m *Member) Scast(ctx context.Context, msg []byte, o ...MsgOptions) (SendView, error) {
	return m.send(ctx, message(Scast, Endpoint{}, msg, o))
}

// TryScast is Scast, but never waits; see TryCast.
func (m *Member) TryScast(msg []byte, o ...MsgOptions) (SendView, error) {
	return m.trySend(message(Scast, Endpoint{}, msg, o))
}

// Lsend sends a message to the members in MsgOptions.Dests, which may be none.
// It keeps its place in the order of this member's casts; otherwise it is like
// Cast.
func (m *Member) Lsend(ctx context.Context, msg []byte, o ...MsgOptions) (SendView, error) {
	return m.send(ctx, message(Lsend, Endpoint{}, msg, o))
}

// TryLsend is Lsend, but never waits; see TryCast.
func (m *Member) TryLsend(msg []byte, o ...MsgOptions) (SendView, error) {
	return m.trySend(message(Lsend, Endpoint{}, msg, o))
}

// AskState asks a normal server for a portion of the state, while this member's
// state is ServerXfer. The answers come by RcvState. The request is copied; it
// never waits for a view that allows it, but it may wait for the end of a view
// change, and be reported Dropped if either side is no longer what it was.
//
// Errors: ErrNotInTransfer, ErrNotMember, ErrNotServer, ErrTooLarge,
// ErrWouldBlock, ErrNotJoined, ErrClosed.
func (m *Member) AskState(server Endpoint, request []byte) error {
	_, err := m.trySend(&post{kind: Send, state: kindAsk, to: server, data: request})
	return err
}

// SendState answers a request: it sends a portion of the state to a server that
// transfers and has asked this one. The bytes are copied.
//
// Errors: ErrNotServer if this member is no normal server (any more),
// ErrNotMember, ErrNotTransferring if the other is done, has begun another
// transfer or has not asked; ErrTooLarge, ErrWouldBlock, ErrNotJoined,
// ErrClosed.
func (m *Member) SendState(to Endpoint, state []byte) error {
	_, err := m.trySend(&post{kind: Send, state: kindState, to: to, data: state})
	return err
}

// PushAsk is AskState, but waits for room until ctx is done. Within a callback
// it does not wait, but returns ErrWouldBlock. Errors: those of AskState, and
// ctx's.
func (m *Member) PushAsk(ctx context.Context, server Endpoint, request []byte) error {
	_, err := m.send(ctx, &post{kind: Send, state: kindAsk, to: server, data: request})
	return err
}

// Portion is a portion of a state: Front and Data, one after the other, so that
// large ones need not be copied to have something put before them.
type Portion struct {
	Front, Data []byte
	// More says that the next one follows at once: then they share datagrams.
	More bool
}

// PushState is SendState, but waits for room until ctx is done. Within a
// callback it does not wait, but returns ErrWouldBlock. Errors: those of
// SendState, and ctx's.
func (m *Member) PushState(ctx context.Context, to Endpoint, p Portion) error {
	_, err := m.send(ctx, &post{kind: Send, state: kindState, to: to, front: p.Front,
		data: p.Data, more: p.More})
	return err
}

// XferDone says that this member has the state: it is ServerXferDone at once
// and a normal server in the next view, which is made soon. No further state
// messages are received. Outside of a transfer nothing happens, and the error
// is ErrNotInTransfer; others are ErrNotJoined and ErrClosed.
func (m *Member) XferDone() error {
	return m.try("transfer done", func(c *core) error { return c.xferDone() })
}

// RetryTransfer has a server that gave up its transfer for want of progress
// begin another. Errors: ErrNotInTransfer if it did not, ErrNotJoined,
// ErrClosed.
func (m *Member) RetryTransfer() error {
	return m.try("retry transfer", func(c *core) error { return c.retry() })
}

// SetStateVersion tells how old this server's state is, in a measure of the
// application's that grows; merge policies compare it. Without it the version
// is the number of casts and scasts that the state has seen in primary views; with a
// quorum of those that a quorum has installed, and before each began to end.
func (m *Member) SetStateVersion(version uint64) error {
	return m.try("set version", func(c *core) error {
		c.versioned, c.version = true, version
		return nil
	})
}

// operation is one call of send. It is recycled, together with the function
// that it hands to the runtime.
type operation struct {
	core *core
	p    post
	sv   SendView
	err  error
	done bool
	room <-chan struct{}
	wait bool
	run  func(*stack.Group)
}

func newOperation() *operation {
	o := &operation{}
	o.run = func(*stack.Group) {
		c := o.core
		if c == nil {
			return // given up: the runtime comes too late
		}
		o.done = true
		switch {
		case o.p.state == 0:
			o.sv, o.err = c.submit(&o.p)
		case c.closed:
			o.err = c.ended()
		default:
			o.sv, o.err = c.stateTransfer(&o.p)
		}
		if o.wait && errors.Is(o.err, ErrWouldBlock) {
			o.room = c.roomy()
		}
		c.act()
	}
	return o
}

// send submits a message, and waits for room.
func (m *GroupMember) send(ctx context.Context, p *post) (SendView, error) {
	return m.submit(ctx, true, p)
}

// trySend submits a message if there is room.
func (m *GroupMember) trySend(p *post) (SendView, error) {
	return m.submit(context.Background(), false, p)
}

func (m *GroupMember) submit(ctx context.Context, wait bool, p *post) (SendView, error) {
	l := m.current()
	if l == nil {
		return SendView{}, m.fail(p.op(), ErrNotJoined)
	}
	o := m.ops.Get().(*operation)
	for {
		o.core, o.p, o.done, o.wait, o.room = l.core, *p, false, wait, nil
		o.sv, o.err = SendView{}, ErrClosed
		l.rt.Do(o.run)
		sv, err, room := o.sv, o.err, o.room
		if !o.done {
			o.core = nil
			if p.state != 0 {
				return sv, m.fail(p.op(), l.core.ended())
			}
			return sv, m.fail(p.op(), ErrClosed) // o may still be queued: lost
		}
		if room != nil && !inCallback() {
			if err = l.rt.Wait(ctx, room, 0); err == nil {
				continue
			}
		}
		o.core, o.p = nil, post{}
		m.ops.Put(o)
		if err != nil {
			err = &OpError{Op: p.op(), Group: m.opts.Group, View: sv.ID, Err: err}
		}
		return sv, err
	}
}

// serial makes calls of a recorder one at a time.
type serial struct {
	mu sync.Mutex
	to trace.Recorder
}

// Record passes e on.
func (s *serial) Record(e *trace.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to.Record(e)
}
