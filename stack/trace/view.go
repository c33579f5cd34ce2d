package trace

import (
	"fmt"
	"strings"

	"maestro/wire"
)

// View is a view as one member accepted it. The first group of fields is equal
// at all members that accept the view; the second is the member's own. It is
// not changed after it has been recorded.
type View struct {
	ID      wire.ViewID
	Members []wire.Endpoint // in rank order
	Primary uint64          // number of the primary view, 0 if it is not one
	ViewMsg uint64          // hash of the view message, 0 if there is none

	ClSv        bool // the lists below are filled in
	Servers     []wire.Endpoint
	XferServers []wire.Endpoint
	Clients     []wire.Endpoint
	ViewType    Xfer
	ServerCoord wire.Endpoint
	Lineage     uint64 // of the servers' state; 0 unknown
	SourcesLost bool

	// Trans is the transitional set: the members that come from the same
	// previous view as this one, itself included. Empty is not recorded.
	Trans []wire.Endpoint

	MemberChange Change // against the view that this member accepted before
	ServerChange Change
	XferChange   Change
	ClientChange Change

	OldServerCoord wire.Endpoint
	ServerRank     int // -1 if none
	OldServerRank  int // -1 if none
	State          State
	OldState       State
	StartXfer      bool
}

// Change is the difference between two lists of members.
type Change struct {
	New      []wire.Endpoint
	Departed []wire.Endpoint
}

// String prints id, members and, with ClSv, the lists.
func (v *View) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v", v.ID, v.Members)
	if v.Primary > 0 {
		fmt.Fprintf(&b, " primary %d", v.Primary)
	}
	if v.ClSv {
		fmt.Fprintf(&b, " S=%v T=%v C=%v type %s %s from %s", v.Servers, v.XferServers,
			v.Clients, v.ViewType, v.State, v.OldState)
		if v.StartXfer {
			b.WriteString(" startXfer")
		}
	}
	return b.String()
}
