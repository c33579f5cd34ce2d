package trace

import (
	"fmt"
	"slices"
	"strings"

	"maestro/wire"
)

// MsgID names a message: the N-th submission of Origin, counted over all four
// downcalls. Numbers need not be dense but must not repeat, and those of one
// origin should be near each other.
type MsgID struct {
	Origin wire.Endpoint
	N      uint64
}

// String prints the id as origin and number.
func (m MsgID) String() string { return fmt.Sprintf("%s/%d", m.Origin, m.N) }

// Event is one event. It is flat so that a caller can keep one and refill it;
// each kind says which fields it uses, the others are ignored.
type Event struct {
	Time int64         // nanoseconds of the member's clock, or of virtual time
	P    wire.Endpoint // whose event it is
	Kind Kind

	Msg     MsgID
	MsgKind MsgKind
	Order   Order
	Safety  Safety
	Hash    uint64          // of the payload, by Hash; 0 is unknown
	Dests   []wire.Endpoint // as given by the sender
	Peer    wire.Endpoint   // the other side

	View *View

	Role     Role
	Xfer     Xfer   // transfer type of the member that starts
	XferID   uint64 // number of the transfer, growing at each member; 0 unknown
	Count    uint64 // number of state messages
	AppState uint64 // hash of the application's state after the event; 0 unknown
	Up       bool
}

// Recorder takes events. Record borrows e and its Dests for the call; the view
// it points to is immutable and may be kept. A Recorder is used from one
// goroutine, that of its member, unless it says otherwise.
type Recorder interface {
	Record(e *Event)
}

// Hash is the payload hash of the specification's integrity property: FNV-1a,
// never 0.
func Hash(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	if h == 0 {
		return 1
	}
	return h
}

// Clone is a copy of e that shares nothing but the view.
func (e *Event) Clone() Event {
	c := *e
	c.Dests = slices.Clone(e.Dests)
	return c
}

// String prints e on one line.
func (e *Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%12.6f %-8s %s", float64(e.Time)/1e9, e.P, e.Kind)
	switch e.Kind {
	case Submit, Send, Deliver:
		fmt.Fprintf(&b, " %s %s", e.Msg, e.MsgKind)
		if e.MsgKind == Pt2pt && e.Kind != Deliver {
			fmt.Fprintf(&b, " to %s", e.Peer)
		}
		if len(e.Dests) > 0 {
			fmt.Fprintf(&b, " to %v", e.Dests)
		}
		if e.Safety > Generic {
			fmt.Fprintf(&b, " %s", e.Safety)
		}
	case Drop, Stable:
		fmt.Fprintf(&b, " %s", e.Msg)
	case ViewEvent, Changing, Propose:
		if e.View != nil {
			fmt.Fprintf(&b, " %s", e.View)
		}
	case Ask, AskCb, SendState, RcvState:
		fmt.Fprintf(&b, " %s xfer %d", e.Peer, e.XferID)
	case Start:
		fmt.Fprintf(&b, " %s %s", e.Role, e.Xfer)
	case Link:
		fmt.Fprintf(&b, " to %s up=%t", e.Peer, e.Up)
	case Heal:
		fmt.Fprintf(&b, " %v", e.Dests)
	}
	return b.String()
}
