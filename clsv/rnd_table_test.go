package clsv_test

import (
	"fmt"
	"strings"
	"sync/atomic"

	"maestro/clsv"
)

// cond is what must be so, beside the lists, for a row of the table.
type cond uint8

const (
	isClient cond = 1 << iota // the member is a client
	noXfer                    // it is a server without transfer
	done                      // it has called XferDone in this transfer
	lost                      // the view says that sources were lost
	told                      // Degraded was called, for a merge or lost sources
	expired                   // Degraded was called, for want of progress
	first                     // no other server has a state
	source                    // there is a normal server
)

// lists a member may be in.
const (
	inC = 'C'
	inT = 'T'
	inS = 'S'
)

// row is a step that the state of a member may take from one view that it
// accepts to the next: what it was, in which list it is now, what else is and
// is not so, and what it is then.
type row struct {
	before clsv.State
	in     byte
	is     cond
	not    cond
	after  clsv.State
	start  bool
	rare   bool // may not occur in random runs
}

func (r row) String() string {
	return fmt.Sprintf("%v in %c is=%#x not=%#x: %v start=%t", r.before, r.in, r.is, r.not,
		r.after, r.start)
}

// table is the table of states: a server that joins begins its transfer in its
// first view, unless the coordinator has not granted that yet (D1), and of the
// transferring servers that lose their sources exactly one goes on (D10).
var table = []row{
	{before: clsv.Joining, in: inC, is: isClient, after: clsv.ClientNormal},
	{before: clsv.Joining, in: inS, is: noXfer, after: clsv.ServerNormal},
	{before: clsv.Joining, in: inC, is: noXfer, after: clsv.BecomingServer, rare: true},
	{before: clsv.Joining, in: inT, is: source, not: isClient | noXfer, after: clsv.ServerXfer,
		start: true},
	{before: clsv.Joining, in: inS, is: first, not: isClient | noXfer, after: clsv.ServerNormal},
	{before: clsv.Joining, in: inC, not: isClient | noXfer, after: clsv.BecomingServer,
		rare: true},
	{before: clsv.ClientNormal, in: inC, is: isClient, after: clsv.ClientNormal},
	{before: clsv.BecomingServer, in: inC, not: isClient, after: clsv.BecomingServer},
	{before: clsv.BecomingServer, in: inT, is: source, not: isClient | noXfer,
		after: clsv.ServerXfer, start: true},
	{before: clsv.BecomingServer, in: inS, is: noXfer, after: clsv.ServerNormal},
	{before: clsv.BecomingServer, in: inS, is: first, not: isClient | noXfer,
		after: clsv.ServerNormal, rare: true},
	{before: clsv.ServerXfer, in: inT, is: source, not: done | told, after: clsv.ServerXfer},
	{before: clsv.ServerXfer, in: inT, is: source | told, after: clsv.ServerXfer, start: true},
	{before: clsv.ServerXfer, in: inT, is: source | done, not: told, after: clsv.ServerXferDone},
	{before: clsv.ServerXfer, in: inS, is: done, not: told, after: clsv.ServerNormal},
	{before: clsv.ServerXfer, in: inS, is: lost | first, not: done, after: clsv.ServerNormal},
	{before: clsv.ServerXfer, in: inC, is: expired, not: done, after: clsv.BecomingServer},
	{before: clsv.ServerXferDone, in: inT, is: source | done, not: told,
		after: clsv.ServerXferDone, rare: true},
	{before: clsv.ServerXferDone, in: inT, is: source | told, after: clsv.ServerXfer, start: true,
		rare: true},
	{before: clsv.ServerXferDone, in: inS, is: done, not: told, after: clsv.ServerNormal,
		rare: true},
	{before: clsv.ServerNormal, in: inS, not: told, after: clsv.ServerNormal},
	{before: clsv.ServerNormal, in: inT, is: source | told, not: noXfer, after: clsv.ServerXfer,
		start: true},
	{before: clsv.ServerNormal, in: inC, is: told | noXfer, after: clsv.BecomingServer},
}

// steps counts how often each row was taken.
type steps struct {
	rows            [64]atomic.Int64
	views, received atomic.Int64
}

func (s *steps) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d views, %d messages", s.views.Load(), s.received.Load())
	for i, r := range table {
		fmt.Fprintf(&b, "\n%8d  %v", s.rows[i].Load(), r)
	}
	return b.String()
}

// take finds the row of a step and counts it, or reports that there is none.
func (s *steps) take(before clsv.State, in byte, c cond, after clsv.State, start bool) bool {
	for i, r := range table {
		if r.before == before && r.in == in && c&r.is == r.is && c&r.not == 0 &&
			r.after == after && r.start == start {
			s.rows[i].Add(1)
			return true
		}
	}
	return false
}
