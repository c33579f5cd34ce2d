package clsv

import (
	"maestro/stack"
	"maestro/wire"
)

// op is what a callback is.
type op uint8

const (
	opNone op = iota
	opMessage
	opBatch // several messages, as frames
	opAsk
	opState
	opBlock
	opChanging
	opPropose
	opAccept
	opExit
	opDropped
	opHeartbeat
	opCall
	opPrimary
)

// item is a callback that waits. Messages use the plain fields, the others ev.
type item struct {
	op     op
	sends  bool // the message came point to point
	from   int32
	stream int32 // of the group
	count  int32 // messages that it stands for
	head   userHead
	seq    uint64 // segment that ends the message
	xfer   uint64 // transfer that a state message belongs to
	data   []byte
	buf    *wire.Buf
	ev     *event
}

func itemOf(m *stack.Msg, data []byte) item {
	return item{sends: !m.Multicast(), from: int32(m.From), stream: int32(m.Stream), seq: m.Seq,
		data: data, buf: m.Buf, count: 1}
}

// isMessage reports whether it came from another member.
func (it *item) isMessage() bool {
	return it.op == opMessage || it.op == opBatch || it.op == opAsk || it.op == opState
}

// event is what rarer callbacks need.
type event struct {
	in       *intake
	view     *View
	degraded *Degraded
	msgs     [][]byte // state messages
	data     []byte   // a view message or a state message, coming or going
	drop     Dropped
	err      error
	call     func()
}

func (it *item) drop() {
	if it.buf != nil {
		it.buf.Drop()
		it.buf = nil
	}
}

// intake is what this member knows of one view of the group.
type intake struct {
	epoch     uint64
	view      *stack.View
	roles     roles
	me        place
	typ       Xfer
	prime     bool   // a quorum has installed it, and messages may flow
	begun     bool   // its application is about to know that
	here      []bool // who has installed it, by rank; nil if nobody tells
	announced int
	agreed    bool // a quorum has, and this member knew before Stop
	viewMsg   []byte
	streams   []stream // the group's
	applied   uint64   // messages received that may have changed the state, see apply
	entered   bool     // its acceptance is queued, or past
	blocking  bool     // its Block is queued, or past
	blocked   bool     // its Block has returned
	stopping  bool     // the group is about to leave it
	requests  int      // for a next view, at the coordinator
	held      []item   // what came before it was entered
	exchange  *exchange
}

// stream is how far the application is with what came from one member.
type stream struct {
	seen    uint64 // last segment that came up
	done    uint64 // last segment handled
	waiting int    // messages that wait
	touched bool
}

func newIntake(epoch uint64, v *stack.View) *intake {
	return &intake{epoch: epoch, view: v, streams: make([]stream, 3*len(v.Members))}
}

// apply counts a message that may have changed the state: in a view that is not
// primary, applications refuse it. With a quorum none counts from Stop on: with
// total order what counts is then a beginning of the one order that the view has,
// and who has counted more has what all others have counted.
func (in *intake) apply() {
	if in.view.Primary && !(in.here != nil && in.stopping) {
		in.applied++
	}
}

// age is how old the state is, see Side: what came in a view that may have been
// installed by few does not make it older.
func (in *intake) age() (agreed, version uint64) {
	agreed, version = in.roles.agreed, in.roles.version
	switch {
	case in.here == nil:
		version += in.applied
	case in.agreed:
		agreed, version = in.view.ID.Ltime, version+in.applied
	}
	return agreed, version
}

// consumed tells the group how far the application is.
func (c *core) consumed() {
	in := c.app
	for _, n := range c.inbox.touched {
		s := &in.streams[n]
		s.touched = false
		seq := s.done
		if s.waiting == 0 {
			seq = s.seen
		}
		if c.over {
			continue
		}
		c.group.Consumed(in.epoch, int(n), seq)
	}
	c.inbox.touched = c.inbox.touched[:0]
}
