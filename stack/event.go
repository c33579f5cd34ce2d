package stack

import (
	"net/netip"
	"time"

	"maestro/wire"
)

// Event is what layers tell each other. Each kind is a struct of its own, so
// that who speaks it can be found by searching for its name.
type Event interface{ event() }

// Suspect says that a member seems to be gone. Told by failure detection, by
// the driver and by the application; election decides what follows.
type Suspect struct {
	Rank int
	Why  string
}

// Gone says that members of this view live on in a view without this member.
type Gone struct {
	View    wire.ViewID // theirs
	Members []wire.Endpoint
}

// Replaced says that a later life of this member is in the group.
type Replaced struct{ By wire.Endpoint }

// Fail says which members are failed for good, as far as this view goes. Told
// by election; nobody waits for them or hears them any more.
type Fail struct{ Failed Set }

// Lead says that this member coordinates what remains of the view, and is to
// begin a new ballot now, whatever is under way.
type Lead struct{}

// Change says that a new view is wanted although nobody failed. The coordinator
// acts on it, unless a view change is under way already.
type Change struct{ Why string }

// Stop says that the flush has begun: the application is to stop sending.
type Stop struct{}

// Stopped says that the application has stopped: what has been sent in this
// view is all that will be.
type Stopped struct{}

// Closing says that this member is about to report what it has sent: layers
// send now what they still have to send in this view, or never.
type Closing struct{}

// Leave says that this member wants to leave the group.
type Leave struct{}

// Flushed says, at the coordinator, that all survivors have reported.
type Flushed struct {
	Round   uint32
	Failed  Set
	Replies []*wire.FlushOk // by rank, nil for the failed
}

// Cut is how far the view's messages are delivered: all that the survivors
// sent, and of the failed as much as any survivor has.
func (f *Flushed) Cut(v *View, by int) wire.Party {
	n := v.Streams()
	p := wire.Party{View: v.ID, Round: f.Round, By: uint16(by), Failed: f.Failed.Ranks(),
		Cut: make([]uint64, n), Holder: make([]uint16, n)}
	for s := range n {
		origin := s % len(v.Members)
		p.Holder[s] = uint16(origin)
		if r := f.Replies[origin]; r != nil && !f.Failed[origin] {
			p.Cut[s] = r.Recv[s] // its own: what it has sent
			continue
		}
		for q, r := range f.Replies {
			// Who leaves may be gone before it has been asked for repairs.
			if r != nil && !f.Failed[q] && !r.Leaving && r.Recv[s] > p.Cut[s] {
				p.Cut[s], p.Holder[s] = r.Recv[s], uint16(q)
			}
		}
	}
	return p
}

// Decided says that this member knows what follows. Its promises, its freeze
// and its cut are now those of the decision.
type Decided struct {
	Decision *wire.Decision
	Party    *wire.Party // the part that speaks of this view
	Raw      []byte      // the decision, encoded
}

// Reopened says that a decision has been given up for a new ballot: of those who
// answer it nobody has acted on it.
type Reopened struct{}

// CutReached says that everything up to the cut has been passed up.
type CutReached struct{}

// Install says that this view has ended and what follows.
type Install struct {
	Decision *wire.Decision
	Raw      []byte // the decision, encoded
}

// Left says that the view ended and that this member, as it wanted, is out.
type Left struct {
	Decision *wire.Decision
	Raw      []byte
}

// Foreign says that a member of this view was heard speaking another one.
type Foreign struct{ Rank int }

// Unreachable says that no process listens at an address that is no member's.
type Unreachable struct{ Addr netip.AddrPort }

// Lifeline says whether the lifeline to the member that is watched (Port.Watch) holds:
// while it does, the end of that process is told at once.
type Lifeline struct {
	Rank int
	Held bool
}

// Note is for people: something that is worth a line in a log.
type Note struct{ Text string }

func (Suspect) event()     {}
func (Gone) event()        {}
func (Replaced) event()    {}
func (Fail) event()        {}
func (Lead) event()        {}
func (Change) event()      {}
func (Stop) event()        {}
func (Stopped) event()     {}
func (Closing) event()     {}
func (Leave) event()       {}
func (Flushed) event()     {}
func (Decided) event()     {}
func (CutReached) event()  {}
func (Reopened) event()    {}
func (Install) event()     {}
func (Left) event()        {}
func (Foreign) event()     {}
func (Unreachable) event() {}
func (Lifeline) event()    {}
func (Note) event()        {}

// Query is an event that the layers who know fill in before Ask returns. It
// must not lead to anything else being sent or told.
type Query interface{ query() topic }

// Reached asks how far this member has got in every multicast stream.
// Answered by reliable multicast.
type Reached struct {
	Recv   []uint64 // by stream: last segment received without a gap; own: sent
	Passed []uint64 // by stream: last segment passed up
	Unsent bool     // something waits to be transmitted
}

// Drained asks whether everything that this member has sent has been received
// by those who live. Answered by point-to-point (Sends) and stability (Casts).
type Drained struct {
	Sends bool
	Casts bool
}

// Merging asks what the merge protocol wants. Answered by merge.
type Merging struct {
	Following bool          // this view is about to join another: do not decide
	Parties   []*wire.Merge // views to take in
	Gathering bool          // more are about to come: decide a little later
}

// Promise asks which ballot this member has answered last. Answered by flush.
type Promise struct {
	Round   uint32
	By      int
	Any     bool
	Leaving bool // this member wants to leave
}

// Heard asks when each member was last heard. Answered by the lowest layer.
type Heard struct {
	At    []Time // by rank; the asker may change it
	Shift time.Duration
}

// Credit asks how far a multicast stream of this member may be transmitted and
// how far it is stable. Answered by stability.
type Credit struct {
	Log    int    // which of Port.Logs
	Limit  uint64 // last segment that may be transmitted
	Stable uint64 // last segment that all live receivers have
	Wide   bool   // the window lasts for many bursts
}

// Holding asks for messages that have come up but are not done with. Those who
// hold some lower the numbers. Answered by total order and the application's
// place.
type Holding struct {
	Sends bool     // asked of point-to-point streams, which are numbered by rank
	From  int      // the first stream asked for
	Done  []uint64 // by stream: last segment whose messages are all done with
}

// Room asks whether there is room for more sends to a member. Answered by
// point-to-point.
type Room struct {
	To   int
	Full bool
}

// Unheard asks whether there are members who have not acknowledged a decision
// that this member made. Answered by view installation.
type Unheard struct{ Any bool }

// Marked says how far a multicast stream goes and is stable, by its sender's own
// word.
type Marked struct {
	Stream       int
	Sent, Stable uint64
	Core         uint64 // of a stream to all: how far the core stream is stable
}

// Awaited says that members wait to hear that this member's core stream is
// stable up to a segment. Told by the layer that weaves streams.
type Awaited struct{ Seq uint64 }

// Gathered says that the merge protocol waits for nobody else.
type Gathered struct{}

func (Marked) event()   {}
func (Gathered) event() {}
func (Awaited) event()  {}

func (*Heard) query() topic   { return ofHeard }
func (*Unheard) query() topic { return ofUnheard }
func (*Room) query() topic    { return ofRoom }
func (*Credit) query() topic  { return ofCredit }
func (*Holding) query() topic { return ofHolding }
func (*Reached) query() topic { return ofReached }
func (*Drained) query() topic { return ofDrained }
func (*Merging) query() topic { return ofMerging }
func (*Promise) query() topic { return ofPromise }
