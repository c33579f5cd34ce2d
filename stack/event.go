package stack

import "maestro/wire"

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

// Fail says which members are failed for good, as far as this view goes. Told
// by election; nobody waits for them or hears them any more.
type Fail struct{ Failed Set }

// Lead says that this member coordinates what remains of the view.
type Lead struct{}

// Change says that a new view is wanted although nobody failed. The coordinator
// acts on it.
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

// Decide says, at the coordinator, what follows; it is made known to all.
type Decide struct{ Decision *wire.Decision }

// Decided says that this member knows what follows. Its promises, its freeze
// and its cut are now those of the decision.
type Decided struct {
	Decision *wire.Decision
	Party    *wire.Party // the part that speaks of this view
}

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

// Consumed says that the application has done with a stream's messages up to a
// segment: a multicast stream, or with Sends a point-to-point one.
type Consumed struct {
	From  int
	Sends bool
	Seq   uint64
}

// Writable says that there is room in a send log again.
type Writable struct{}

// Note is for people: something that is worth a line in a log.
type Note struct{ Text string }

func (Suspect) event()    {}
func (Gone) event()       {}
func (Fail) event()       {}
func (Lead) event()       {}
func (Change) event()     {}
func (Stop) event()       {}
func (Stopped) event()    {}
func (Closing) event()    {}
func (Leave) event()      {}
func (Flushed) event()    {}
func (Decide) event()     {}
func (Decided) event()    {}
func (CutReached) event() {}
func (Install) event()    {}
func (Left) event()       {}
func (Foreign) event()    {}
func (Consumed) event()   {}
func (Writable) event()   {}
func (Note) event()       {}

// Query is an event that the layers who know fill in before Ask returns. It
// must not lead to anything else being sent or told.
type Query interface{ query() }

// Reached asks how far this member has got in every multicast stream.
// Answered by reliable multicast.
type Reached struct {
	Sent   uint64   // last segment transmitted by this member
	Recv   []uint64 // by rank: last segment received without a gap
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
	Round uint32
	By    int
	Any   bool
}

func (*Reached) query() {}
func (*Drained) query() {}
func (*Merging) query() {}
func (*Promise) query() {}
