package clsv

import (
	"maestro/stack"
	"maestro/stack/node"
)

// Counts are what a member counts in its life, from Join on. Arrays are by
// Kind.
type Counts struct {
	Sent, Received           [4]uint64 // messages of users
	SentBytes, ReceivedBytes [4]uint64

	Malformed uint64 // messages dropped: not of their kind
	Unsafe    uint64 // messages dropped: the view does not allow their safety
	NotForUs  uint64 // messages for others that came by the group's multicast
	LateState uint64 // state messages dropped: forged, late or of another transfer
	BadViews  uint64 // views whose roles could not be read
	Dropped   uint64 // own messages that were never sent

	Views ViewCounts

	// Transfers of this member.
	XferBegun, XferRestarted, XferDone, XferExpired uint64
	StateIn, StateOut                               uint64 // bytes, all transfers
}

// ViewCounts are the views that were accepted, by what brought them about; a
// view may count more than once.
type ViewCounts struct {
	All        uint64
	First      uint64 // of this member
	Joins      uint64 // with members that joined
	Merges     uint64 // made of several views
	Departures uint64 // without members that left or failed
	Roles      uint64 // of the same members as the one before
}

// SocketStats are what the sockets count; see package wire/udp, Stats.
type SocketStats struct {
	DatagramsIn, BytesIn    uint64
	DatagramsOut, BytesOut  uint64
	SyscallsIn, SyscallsOut uint64

	Own         uint64
	Truncated   uint64
	Empty       uint64
	SocketDrops uint64
	LostOut     uint64

	SendEPERM, SendENOBUFS, SendENETUNREACH   uint64
	SendEMSGSIZE, SendECONNREFUSED, SendOther uint64

	PortUnreachable uint64
	GSOFallbacks    uint64

	LifelineHeld                                bool
	Lifelines, LifelineBreaks, LifelineRefusals uint64
}

// Stats is a snapshot of what a member counts and holds, for metrics.
type Stats struct {
	Counts
	Stack stack.Counters
	// Loop, Sockets and Transport, one line about the sockets, are empty where
	// there are no sockets.
	Loop      node.Stats
	Sockets   SocketStats
	Transport string

	View  *View // accepted last; nil before the first
	State State
	// QueuedMessages and QueuedBytes wait to be sent. Delayed of these messages
	// wait for a view that allows their safety. Callbacks wait to be run.
	QueuedMessages, QueuedBytes, Delayed, Callbacks int
	// XferBytes is what this member has got in its current transfer.
	XferBytes uint64
	// Buffers are the pooled buffers that are in use.
	Buffers int
}

// statser is a Runtime that knows of sockets.
type statser interface {
	socketStats(s *Stats)
}

// snapshot fills in a Stats, with the group locked.
func (c *core) snapshot(s *Stats) {
	*s = Stats{Counts: c.stats, Stack: *c.group.Counters(), View: c.view, State: c.state(),
		QueuedMessages: len(c.queue), QueuedBytes: c.bytes, Callbacks: len(c.in) - c.head,
		XferBytes: c.progress, Buffers: c.group.Pool().Live()}
	if c.app == nil {
		return
	}
	for level, n := range c.levels {
		if !c.allows(&post{safety: Safety(level)}) {
			s.Delayed += n
		}
	}
}

// countView counts an accepted view.
func (c *core) countView(in *intake, v *View) {
	n := &c.stats.Views
	n.All++
	add := func(k *uint64, is bool) {
		if is {
			*k++
		}
	}
	add(&n.First, v.MyOldRank < 0)
	add(&n.Joins, in.roles.joined)
	add(&n.Merges, in.roles.merged)
	add(&n.Departures, len(v.DepartedMembers) > 0)
	add(&n.Roles, v.MyOldRank >= 0 && len(v.NewMembers)+len(v.DepartedMembers) == 0)
	add(&c.stats.XferBegun, v.StartXfer && v.OldState != ServerXfer && v.OldState != ServerXferDone)
	add(&c.stats.XferRestarted, v.StartXfer &&
		(v.OldState == ServerXfer || v.OldState == ServerXferDone))
}
