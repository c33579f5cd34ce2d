package clsv

import "time"

// Handler is what an application does with what happens in its group. Embed
// NopHandler in an implementation and write only the methods that matter;
// NopHandler also keeps it compiling when Handler grows.
//
// Callbacks of one member run one at a time, in order, on a goroutine of the
// member's. Every downcall may be made from within them. Bytes handed over are
// borrowed for the call: copy what is to be kept. Views are immutable and may
// be kept. A callback may take its time: senders are throttled by and by, and a
// view change waits for it, but not for ever.
//
// A callback that panics takes the member out of the group. It is the last one but
// Exit, which reports ErrPanic and where it was; if it was Exit itself, Leave and
// Close do. The same holds for whatever else of the application's is called by the
// library on its own account, whether it is a callback or not, here and in the
// packages above. What a downcall calls on behalf of its caller, such as CastFill's
// fill, fails that call only.
//
// A Handler that also is an Exchanger takes part in the exchange of state
// messages before each view, one that also is a StateHasher shows its state to
// traces, one that also is a PrimaryObserver is told of primary views.
type Handler interface {
	Receiver
	Observer
	Transferrer
}

// Receiver takes messages.
type Receiver interface {
	ReceiveCast(origin Endpoint, msg []byte)
	ReceiveSend(origin Endpoint, msg []byte)
	ReceiveScast(origin Endpoint, msg []byte)
	ReceiveLsend(origin Endpoint, msg []byte)
	// Dropped reports a message of this member that waited and will never be
	// sent: its destination or the member itself has left.
	Dropped(d Dropped)
}

// Observer takes what happens to the membership.
type Observer interface {
	// Block announces a view change. What is sent from within it still goes out
	// in the current view; after it returns, messages wait for the next view.
	Block()
	// AcceptedView begins a view: nothing of it is received before. viewMsg is
	// what the coordinator's ProposeView returned, the same bytes at every
	// member, empty without an exchange.
	AcceptedView(v *View, viewMsg []byte)
	// Degraded tells a server that it is about to lose its place, before the
	// AcceptedView that takes it away. Its state is still its own here.
	Degraded(d Degraded)
	// Exit is the last callback. err is nil after Leave.
	Exit(err error)
	// Heartbeat comes each Options.HeartbeatEvery, with the time since the
	// member was started.
	Heartbeat(since time.Duration)
}

// Transferrer takes part in state transfers.
type Transferrer interface {
	// AskState asks a normal server for a portion of the state. It answers, now
	// or later, with Member.SendState(origin, ...).
	AskState(origin Endpoint, request []byte)
	// RcvState hands a portion of the state to a server that transfers.
	RcvState(origin Endpoint, state []byte)
}

// Exchanger is a Handler that exchanges state messages before each view. If one
// member of a view is an Exchanger, the view is agreed on with one more round:
// each member's ChangingView is asked for its message, and the coordinator's
// ProposeView makes of them the message that AcceptedView gets everywhere. A
// member that is no Exchanger contributes empty messages.
//
// If a member fails meanwhile, it all begins again with another view; v may
// then never be accepted. In v, new, departed and old fields compare with the
// view that this member accepted last.
//
// The group does not wait for ever: a message that takes longer than
// GroupOptions.BlockTimeout counts as empty.
type Exchanger interface {
	ChangingView(v *View) (stateMsg []byte)
	// ProposeView is called at the coordinator only. stateMsgs are in the order
	// of v.Members; they are borrowed for the call.
	ProposeView(v *View, stateMsgs [][]byte) (viewMsg []byte)
}

// StateHasher is a Handler whose state can be compared with others'. StateHash
// is asked after each message and before each view, only when a trace is
// recorded, and never while a callback runs. It must not call the member. 0
// means that there is no state at present.
type StateHasher interface {
	StateHash() uint64
}

// Dropped is a message that will not be sent.
type Dropped struct {
	Kind Kind
	To   Endpoint // of a Send, an AskState or a SendState
	Msg  []byte   // borrowed for the call
	// State says that it is part of a state transfer: Ask or SendState.
	State bool
	Err   error
}

// Degraded tells why a server loses its place.
type Degraded struct {
	View ViewID // the view that takes it away
	// Version is the version of this member's state, Winner that of the state
	// which prevails.
	Version, Winner uint64
	// Err is ErrMergeLost, ErrSourcesLost or ErrDeadline.
	Err error
}

// NopHandler does nothing. Embed it.
type NopHandler struct{}

// ReceiveCast does nothing.
func (NopHandler) ReceiveCast(Endpoint, []byte) {}

// ReceiveSend does nothing.
func (NopHandler) ReceiveSend(Endpoint, []byte) {}

// ReceiveScast does nothing.
func (NopHandler) ReceiveScast(Endpoint, []byte) {}

// ReceiveLsend does nothing.
func (NopHandler) ReceiveLsend(Endpoint, []byte) {}

// Dropped does nothing.
func (NopHandler) Dropped(Dropped) {}

// Block does nothing.
func (NopHandler) Block() {}

// AcceptedView does nothing.
func (NopHandler) AcceptedView(*View, []byte) {}

// Degraded does nothing.
func (NopHandler) Degraded(Degraded) {}

// Exit does nothing.
func (NopHandler) Exit(error) {}

// Heartbeat does nothing.
func (NopHandler) Heartbeat(time.Duration) {}

// AskState does nothing: who asks gets no answer.
func (NopHandler) AskState(Endpoint, []byte) {}

// RcvState does nothing.
func (NopHandler) RcvState(Endpoint, []byte) {}

var _ Handler = NopHandler{}

// GroupHandler is the Handler of a GroupMember. It may be an Exchanger's
// counterpart GroupExchanger too.
type GroupHandler interface {
	ReceiveCast(origin Endpoint, msg []byte)
	ReceiveSend(origin Endpoint, msg []byte)
	GroupObserver
}

// GroupObserver takes what happens to the membership; see Observer.
type GroupObserver interface {
	Block()
	AcceptedView(v *GroupView, viewMsg []byte)
	Exit(err error)
	Heartbeat(since time.Duration)
}

// GroupExchanger is a GroupHandler that exchanges state messages; see
// Exchanger.
type GroupExchanger interface {
	ChangingView(v *GroupView) (stateMsg []byte)
	ProposeView(v *GroupView, stateMsgs [][]byte) (viewMsg []byte)
}

// NopGroupHandler does nothing. Embed it.
type NopGroupHandler struct{}

// ReceiveCast does nothing.
func (NopGroupHandler) ReceiveCast(Endpoint, []byte) {}

// ReceiveSend does nothing.
func (NopGroupHandler) ReceiveSend(Endpoint, []byte) {}

// Block does nothing.
func (NopGroupHandler) Block() {}

// AcceptedView does nothing.
func (NopGroupHandler) AcceptedView(*GroupView, []byte) {}

// Exit does nothing.
func (NopGroupHandler) Exit(error) {}

// Heartbeat does nothing.
func (NopGroupHandler) Heartbeat(time.Duration) {}

var _ GroupHandler = NopGroupHandler{}
