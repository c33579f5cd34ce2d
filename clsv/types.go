package clsv

import (
	"maestro/stack/trace"
	"maestro/wire"
)

// Endpoint identifies one life of one member: its name and its incarnation.
// Endpoints are comparable.
type Endpoint = wire.Endpoint

// ViewID names a view; see its Compare.
type ViewID = wire.ViewID

// Role is what a member is made as, for its whole life.
type Role uint8

// The roles.
const (
	Client Role = iota // the default
	Server
)

// String is the role's name.
func (r Role) String() string { return name(r, "client", "server") }

// Xfer is how strictly the group is protected while a server gets its state: a
// server's own, or the strictest of those that run in a view. Larger is
// stricter.
type Xfer uint8

// The transfer types.
const (
	// NoXfer is a server without state: it is a normal server at once.
	NoXfer Xfer = iota
	// FreeXfer lets all messages be sent during the transfer.
	FreeXfer
	// ProtectedXfer delays Generic messages until the transfer is over.
	ProtectedXfer
	// AtomicXfer delays Generic and Safe messages until the transfer is over.
	AtomicXfer
)

// String is the type's name.
func (x Xfer) String() string { return name(x, "none", "free", "protected", "atomic") }

// Safety says what a message does to the state that servers transfer. A message
// goes out in a view whose ViewType allows its safety; in others it waits.
type Safety uint8

// The safety levels.
const (
	// Generic messages may change the state. The default.
	Generic Safety = iota
	// Safe messages leave the state alone.
	Safe
	// XferSafe messages are part of a state transfer.
	XferSafe
)

// String is the level's name.
func (s Safety) String() string { return name(s, "generic", "safe", "xfer") }

// allowed reports whether a message of this safety goes in a view of a type.
func (s Safety) allowed(in Xfer) bool { return Xfer(s)+FreeXfer >= in }

// State is what a member is in a view, and outside of views.
type State uint8

// The states.
const (
	Initial        State = iota // Join has not been called
	Joining                     // no view has been accepted yet
	ClientNormal                // a client
	BecomingServer              // a server that is among the clients: it has no transfer
	ServerXfer                  // a server that gets its state
	ServerXferDone              // it has called XferDone; the next view has it in Servers
	ServerNormal                // a server
	Leaving                     // Leave has been called
)

// String is the state's name.
func (s State) String() string {
	return name(s, "initial", "joining", "client", "becoming", "xfer", "xferdone", "server",
		"leaving")
}

// traced is the state in terms of the trace.
func (s State) traced() trace.State {
	switch s {
	case Joining:
		return trace.Joining
	case ClientNormal:
		return trace.ClientNormal
	case BecomingServer:
		return trace.BecomingServer
	case ServerXfer:
		return trace.ServerXfer
	case ServerXferDone:
		return trace.ServerXferDone
	case ServerNormal:
		return trace.ServerNormal
	case Leaving:
		return trace.Leaving
	}
	return trace.NoState
}

// Kind is the downcall that a message is sent by.
type Kind uint8

// The kinds of messages.
const (
	Cast  Kind = iota // to all members
	Scast             // to all servers and the destinations
	Lsend             // to the destinations
	Send              // to one member
)

// String is the kind's name.
func (k Kind) String() string { return name(k, "cast", "scast", "lsend", "send") }

// SourcesLost says what becomes of servers that are getting their state when
// the last normal server is gone.
type SourcesLost uint8

// The policies. The coordinator's counts; give all members of a group the same.
const (
	// Promote makes the most complete of them a normal server, the others get
	// their state from it. The default.
	Promote SourcesLost = iota
	// Wait leaves them as they are until a normal server joins by a merge.
	Wait
	// Fail has them leave the group with ErrSourcesLost.
	Fail
)

// String is the policy's name.
func (s SourcesLost) String() string { return name(s, "promote", "wait", "fail") }

// SendView tells where a message goes.
type SendView struct {
	// ID is the view in which the message went out. With Next it is the view
	// in which the sender called, which may be none.
	ID ViewID
	// Next says that the message waits, for the next view or for one that
	// allows its safety.
	Next bool
}

// MsgOptions are options of one message. The zero value is a Generic message
// without destinations.
type MsgOptions struct {
	Safety Safety
	// Dests are the clients that get an Scast beside the servers, or all
	// receivers of an Lsend. Those that are not in the view in which the
	// message goes out are ignored. The slice is the caller's again when the
	// call returns.
	Dests []Endpoint
	// In, if not zero, is the only view in which the message may go out. If that
	// is not the view any more, or does not allow the message, the error is
	// ErrOtherView, and if it ends while the message waits for room, Dropped
	// reports the same.
	In ViewID
	// Queue has a message for which there is no room wait as one for the next
	// view does, instead of its sender; then only QueueBytes is a bound.
	Queue bool
}

// name picks the i-th of names, or a question mark.
func name[T ~uint8](i T, names ...string) string {
	if int(i) < len(names) {
		return names[i]
	}
	return "?"
}
