package clsv

import (
	"fmt"
	"slices"
	"strings"

	"maestro/stack"
)

// GroupView is a view as one member sees it: who is in the group, and what has
// changed since the view that this member accepted before. It is never changed
// after it has been handed over; its slices must not be changed either.
type GroupView struct {
	Group string
	ID    ViewID
	// Members are in rank order. New and departed members are relative to the
	// view that this member accepted before.
	Members, NewMembers, DepartedMembers []Endpoint
	// Me is this member; MyRank and MyOldRank are its ranks in this view and in
	// the one before, -1 if there was none.
	Me                Endpoint
	MyRank, MyOldRank int
	// Coordinator is the member of rank 0.
	Coordinator, OldCoordinator Endpoint
	// Primary says that the view has enough members on its list for a quorum; always
	// true without one. It may be that only a few of them ever install the view, while
	// the rest of the list goes to another primary one: that a quorum has installed it
	// is told by PrimaryObserver, and waited for with GroupOptions.PrimaryOnly, by
	// package prim, and by package rsm before it acknowledges anything.
	Primary bool
	// Protocol and Properties are the stack's.
	Protocol   string
	Properties stack.Props
}

// RankOf returns the rank of a member, or -1.
func (v *GroupView) RankOf(e Endpoint) int { return slices.Index(v.Members, e) }

// View is a view of clients and servers. All lists are in rank order.
type View struct {
	GroupView

	Servers, NewServers, DepartedServers             []Endpoint // normal servers
	XferServers, NewXferServers, DepartedXferServers []Endpoint // servers that transfer
	Clients, NewClients, DepartedClients             []Endpoint
	// XferStarts names, for each of XferServers, the transfer that it is in: the
	// logical time (ViewID.Ltime) of the view in which it began.
	XferStarts []uint64

	// ServerCoordinator is the server of the lowest rank, zero if there is none.
	ServerCoordinator, OldServerCoordinator Endpoint
	// MyXferType and MyMbrshipType are the options of this member.
	MyXferType    Xfer
	MyMbrshipType Role
	// ViewType is the strictest transfer type of XferServers, NoXfer if there
	// are none. Messages whose safety it does not allow wait.
	ViewType Xfer
	// State is this member's state in this view, OldState that in the view
	// before, Joining if there was none.
	State, OldState State
	// MyServerRank is the index of this member in Servers, -1 if it is none.
	MyServerRank, MyOldServerRank int
	// StartXfer says that this member's state transfer begins here, or begins
	// again: what it has got so far of the state is void.
	StartXfer bool
	// SourcesLost says that servers which were getting their state have lost
	// everybody who had it; see Options.SourcesLost.
	SourcesLost bool
	// Lineage names the group's state: it changes when a state is begun anew.
	// Version is how old it was at the beginning of the view.
	Lineage, Version uint64
}

// IsServer reports whether a member is a normal server.
func (v *View) IsServer(e Endpoint) bool { return slices.Contains(v.Servers, e) }

// IsXferServer reports whether a member is a server that transfers.
func (v *View) IsXferServer(e Endpoint) bool { return slices.Contains(v.XferServers, e) }

// String prints the id and the lists.
func (v *View) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s of M=%v S=%v T=%v C=%v type %v: %v was %v", v.ID, v.Me, v.Members,
		v.Servers, v.XferServers, v.Clients, v.ViewType, v.State, v.OldState)
	if v.StartXfer {
		b.WriteString(" startXfer")
	}
	if v.SourcesLost {
		b.WriteString(" sourcesLost")
	}
	return b.String()
}

// Since is the view compared with an earlier one of the same member, nil for
// none: what is new, what has departed and what was before is relative to that.
func (v *View) Since(old *View) *View {
	c := *v
	c.compare(old)
	return &c
}

// diff lists the members of a that are not in b.
func diff(a, b []Endpoint) []Endpoint {
	in := make(map[Endpoint]struct{}, len(b))
	for _, e := range b {
		in[e] = struct{}{}
	}
	var d []Endpoint
	for _, e := range a {
		if _, ok := in[e]; !ok {
			d = append(d, e)
		}
	}
	return d
}

// compare fills in what is relative to the view accepted before, nil for none.
func (v *View) compare(old *View) {
	if old == nil {
		old = &View{GroupView: GroupView{MyRank: -1}, MyServerRank: -1, State: Joining}
	}
	v.NewMembers, v.DepartedMembers = diff(v.Members, old.Members), diff(old.Members, v.Members)
	v.NewServers, v.DepartedServers = diff(v.Servers, old.Servers), diff(old.Servers, v.Servers)
	v.NewXferServers = diff(v.XferServers, old.XferServers)
	v.DepartedXferServers = diff(old.XferServers, v.XferServers)
	v.NewClients, v.DepartedClients = diff(v.Clients, old.Clients), diff(old.Clients, v.Clients)
	v.MyOldRank, v.OldCoordinator = old.MyRank, old.Coordinator
	v.MyOldServerRank, v.OldServerCoordinator = old.MyServerRank, old.ServerCoordinator
	v.OldState = old.State
}
