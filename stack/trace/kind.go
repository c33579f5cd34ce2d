package trace

// Kind says what happened. The comment of each kind names the fields of Event
// that it uses beside Time, P and Kind.
type Kind uint8

// Events of one process, in the order in which its application saw them.
const (
	_ Kind = iota

	// Start is the first event of an endpoint. Role, Xfer.
	Start
	// Submit is a send downcall, whether or not the message may go at once.
	// Msg, MsgKind, Order, Safety, Hash; Dests (Scast, Lsend) or Peer (Send).
	Submit
	// Send is the transmission of a message in the current view: the moment
	// that fixes its place in the sender's order. Fields as for Submit. A
	// stack that never delays may record Send alone.
	Send
	// Drop is a submitted message given up and reported so. Msg.
	Drop
	// Deliver is the upcall of a message. Msg, MsgKind, Order, Safety, Hash;
	// AppState where the application offers it.
	Deliver
	// Stable is the notice that every member of the view has Msg.
	Stable
	// Block is the return of the block callback: nothing that is submitted
	// afterwards goes out in the current view.
	Block
	// Changing is a ChangingView callback: View (id and members of the view to
	// come), Hash of the state message returned.
	Changing
	// Propose is a ProposeView callback: View, Count of state messages given,
	// Hash of the view message returned.
	Propose
	// ViewEvent is the acceptance of a view by the application, recorded
	// before its AcceptedView runs and before the messages that waited for the
	// view are released. View; AppState where the application offers it.
	ViewEvent
	// Exit is the last event of an endpoint that left or was taken out.
	Exit
	// Ask is an AskState downcall that was accepted. Peer (the server),
	// XferID, Hash.
	Ask
	// AskCb is the askState callback at a server. Peer (who asks), XferID, Hash.
	AskCb
	// SendState is a SendState downcall that was accepted. Peer (the one that
	// transfers), XferID, Hash.
	SendState
	// RcvState is the rcvState callback. Peer (the server), XferID, Hash.
	RcvState
	// XferDone is an XferDone downcall that ended a transfer. XferID.
	XferDone
)

// Events that the harness writes: a simulator, a test script, a checker that
// reads files.
const (
	// Crash ends process P: no event of P later than Time is real.
	Crash Kind = iota + 64
	// Link cuts (Up false) or restores the link from P to Peer.
	Link
	// Heal says that from Time on there is no fault: Dests is the component
	// that must form one view.
	Heal
	// Lost says that the end of P's trace is missing, as after a SIGKILL: what
	// P did last is unknown, and P counts as crashed.
	Lost
)

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool {
	return k >= Start && k <= XferDone || k >= Crash && k <= Lost
}

// Harness reports whether events of kind k come from the harness and not from
// the process P itself.
func (k Kind) Harness() bool { return k >= Crash }

// String is the kind's name in printed traces.
func (k Kind) String() string {
	if k.Harness() {
		return name(k-Crash, "crash", "link", "heal", "lost")
	}
	return name(k, "?", "start", "submit", "send", "drop", "deliver", "stable", "block",
		"changing", "propose", "view", "exit", "ask", "askcb", "sendstate", "rcvstate",
		"xferdone")
}

// MsgKind is the downcall by which a message was sent.
type MsgKind uint8

// The four downcalls. The zero value is a cast.
const (
	Cast  MsgKind = iota // to every member of the view
	Scast                // to servers, transferring servers and Dests
	Lsend                // to Dests
	Pt2pt                // Send: to Peer
)

// String is the downcall's name.
func (k MsgKind) String() string { return name(k, "cast", "scast", "lsend", "pt2pt") }

// Order is the order class of a message. The zero value means that the message
// has the order of its stack, whatever that is.
type Order uint8

// The order classes; each includes those before it.
const (
	OrderStack Order = iota
	OrderNone
	OrderFifo
	OrderCausal
	OrderTotal
	OrderSafe
)

// String is the order's name.
func (o Order) String() string {
	return name(o, "stack", "none", "fifo", "causal", "total", "safe")
}

// Safety is the state-transfer safety level of a message. The zero value
// counts as Generic.
type Safety uint8

// The safety levels. A message may go in a view iff its safety is at least the
// view's type.
const (
	Generic  Safety = 1
	Safe     Safety = 2
	XferSafe Safety = 3
)

// Level is s with the zero value replaced by Generic.
func (s Safety) Level() Safety { return max(s, Generic) }

// String is the level's name.
func (s Safety) String() string { return name(s, "generic", "generic", "safe", "xfer") }

// Xfer is the type of a state transfer, of a member or of a view.
type Xfer uint8

// The transfer types, by strictness.
const (
	NoXfer Xfer = iota
	FreeXfer
	ProtectedXfer
	AtomicXfer
)

// String is the type's name.
func (x Xfer) String() string { return name(x, "none", "free", "protected", "atomic") }

// Role is what a member is made as.
type Role uint8

// The roles. The zero value is a client.
const (
	Client Role = iota
	Server
)

// String is the role's name.
func (r Role) String() string { return name(r, "client", "server") }

// State is the ClSv state of a member. The zero value is no state: the stack
// has no ClSv.
type State uint8

// The states, see the specification of ClSv.
const (
	NoState State = iota
	Joining
	ClientNormal
	BecomingServer
	ServerXfer
	ServerXferDone
	ServerNormal
	Leaving
)

// String is the state's name.
func (s State) String() string {
	return name(s, "-", "joining", "client", "becoming", "xfer", "xferdone", "server",
		"leaving")
}

// name picks the i-th of names, or a question mark.
func name[T ~uint8](i T, names ...string) string {
	if int(i) < len(names) {
		return names[i]
	}
	return "?"
}
