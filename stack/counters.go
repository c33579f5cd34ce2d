package stack

import "maestro/wire"

// Counters are a group's counters, across its views. The loop that owns the
// group adds to them; a driver copies them for whoever wants to look.
type Counters struct {
	PacketsIn   [wire.KindCount]uint64 // datagrams by kind
	PacketsOut  [wire.KindCount]uint64
	BytesIn     [wire.KindCount]uint64
	BytesOut    [wire.KindCount]uint64
	MessagesIn  uint64 // delivered to the application
	MessagesOut uint64 // sent by the application

	MessageBytesIn  uint64
	MessageBytesOut uint64

	Malformed  uint64 // datagrams dropped: not a message of their kind
	NotForUs   uint64 // dropped: cast to a core that this member is not in
	OtherGroup uint64 // dropped: of nobody in this view, as of another group or key
	OtherView  uint64 // dropped: of a member, but of no view of ours
	Stashed    uint64 // kept for a view that is not installed yet
	Duplicates uint64 // segments that were there already
	Window     uint64 // segments beyond the window
	FromFailed uint64 // datagrams of failed members

	NaksOut        uint64
	NaksIn         uint64
	Repairs        uint64 // segments sent again
	RepairsForeign uint64 // of these, of other members' streams
	RepairsHushed  uint64 // not sent again because they just had been
	Announces      uint64
	FlowLimited    uint64 // times that the window stopped a sender
	BlockedNanos   uint64 // time senders were blocked by flushes

	SocketDrops uint64 // datagrams dropped by the sockets, set by the driver

	Suspicions     uint64
	Unreachable    uint64 // suspicions that came from the kernel
	SelfStalls     uint64 // times that this member itself was late
	Views          uint64
	FlushRounds    uint64
	FlushRestarts  uint64
	Adopted        uint64 // decisions of a lost coordinator carried on
	Merges         uint64
	MergeRequests  uint64
	MergeDenials   uint64
	Exclusions     uint64
	BlockTimeouts  uint64
	ViewNanosLast  uint64 // last view change, from stop to install
	ViewNanosTotal uint64
}
