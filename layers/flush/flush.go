// Package flush is the first round of a view change: all survivors stop sending
// and report what they have.
//
// Guarantee: when a ballot is complete, its coordinator has the reports of all
// members that are not failed; what each of them sent in the view is final, and
// none delivers more of the failed than it reported, until the cut is known. A
// member obeys the largest ballot it has seen, by (round, coordinator's rank).
//
// Needs: election; reliable streams, whose state it reports.
//
// Header: block (wire.Block) asks for a report, flushok (wire.FlushOk) is one.
// leave has no body and asks the coordinator for a view without its sender.
//
// Timers: blocks and reports that are not answered are repeated each Port.Retry,
// growing to maxRetry; BlockTimeout after the application was asked to stop,
// the flush goes on without its answer. A change that nobody's failure or leave
// forces waits until Port.Pace, so that many in a row share few views.
//
// Source: Ensemble's sync; ballots as in Paxos, so that a coordinator which
// takes over and one that was only slow cannot both be obeyed.
package flush

import (
	"fmt"
	"slices"
	"time"

	"maestro/stack"
	"maestro/wire"
)

const (
	maxRetry = 50 * time.Millisecond
	maxLeap  = 1 << 16 // rounds that one view's ballots can be ahead
	maxCount = 1 << 48 // segments of a stream: no view lives to have more
)

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "flush", Needs: stack.Elect | stack.Reliable | stack.Stable,
		Gives:   stack.Sync,
		Kinds:   []wire.Kind{wire.KindBlock, wire.KindFlushOk, wire.KindLeave},
		Answers: []stack.Query{(*stack.Promise)(nil)},
		New: func(p *stack.Port) stack.Layer {
			return &layer{Port: p, failed: make(stack.Set, p.N()), by: -1,
				stopAt: stack.Never, againAt: stack.Never, paceAt: stack.Never}
		}}
}

// phase is how far this member is in answering.
type phase int

const (
	idle     phase = iota
	stopping       // the application was asked to stop
	closing        // it has stopped; layers send their last
	reported       // the report is out
)

type layer struct {
	*stack.Port
	failed  stack.Set
	phase   phase
	round   uint32 // the ballot obeyed
	by      int
	leaving bool
	decided bool

	lead    bool // the ballot is ours
	replies []*wire.FlushOk
	flushed bool

	stopAt  stack.Time // when to stop waiting for the application
	againAt stack.Time // when to repeat what was not answered
	paceAt  stack.Time // when to begin a change that is wanted
	wait    time.Duration
	reach   stack.Reached
	buf     []byte
}

func (l *layer) Receive(d *stack.Datagram) {
	switch d.Kind {
	case wire.KindBlock:
		var m wire.Block
		if m.Parse(d.Body) != nil {
			l.Counters().Malformed++
			return
		}
		l.block(int(d.Sender), &m)
	case wire.KindFlushOk:
		m := new(wire.FlushOk)
		switch {
		case m.Parse(d.Body) != nil || len(m.Recv) != 0 && len(m.Recv) != l.Streams() ||
			len(m.Recv) > 0 && slices.Max(m.Recv) > maxCount:
			l.Counters().Malformed++
		case len(m.Recv) == 0:
			l.refused(int(d.Sender), m.Round)
		default:
			l.report(int(d.Sender), m)
		}
	case wire.KindLeave:
		if l.phase == idle && l.coordinator() {
			l.start()
		}
	}
}

func (l *layer) coordinator() bool { return l.failed.First() == l.Me() }

func (l *layer) Event(e stack.Event) {
	switch e := e.(type) {
	case stack.Fail:
		copy(l.failed, e.Failed)
	case stack.Lead:
		if l.phase != idle {
			l.Counters().FlushRestarts++
		}
		l.start()
	case stack.Change:
		l.paceAt = max(l.Pace(), l.Now())
		l.change()
	case stack.Leave:
		l.leaving = true
		if !l.coordinator() {
			l.wait = 0
			l.repeat()
		} else if l.phase == idle {
			l.start()
		}
	case stack.Stopped:
		if l.phase == stopping {
			l.close()
		}
	case stack.Decided:
		l.decided = true
		if r, by := e.Party.Round, int(e.Party.By); r > l.round || r == l.round && by > l.by {
			l.round, l.by = r, by
		}
	}
}

// change begins a view change that is wanted, when it is time.
func (l *layer) change() {
	switch {
	case !l.coordinator() || l.phase != idle:
		l.paceAt = stack.Never // somebody else's task, or under way
	case l.paceAt <= l.Now():
		l.start()
	default:
		l.wake()
	}
}

func (l *layer) wake() { l.SetDeadline(min(l.stopAt, l.againAt, l.paceAt)) }

// start begins a ballot of our own, larger than any that we know of.
func (l *layer) start() {
	l.Counters().FlushRounds++
	l.paceAt = stack.Never
	l.lead, l.flushed = true, false
	l.round, l.by = l.round+1, l.Me()
	l.replies = make([]*wire.FlushOk, l.N())
	l.reopen()
	l.wait = 0
	l.ask()
	l.obey()
}

// ask multicasts the block; those who have answered ignore a repetition.
func (l *layer) ask() {
	m := wire.Block{Round: l.round, Failed: l.failed.Ranks()}
	l.buf = m.Append(l.buf[:0])
	l.CastControl(wire.KindBlock, 0, l.buf)
	l.later()
}

func (l *layer) later() {
	l.wait = max(min(l.wait*3/2, maxRetry), l.Retry(l.N()))
	l.againAt = l.Now().Add(l.wait)
	l.wake()
}

// reopen gives up a decision that a larger ballot overtakes.
func (l *layer) reopen() {
	if l.decided {
		l.decided = false
		l.Tell(stack.Reopened{})
	}
}

// block takes another member's ballot.
func (l *layer) block(from int, m *wire.Block) {
	if m.Round > l.round+maxLeap {
		l.Counters().Malformed++
		return
	}
	if m.Round < l.round || m.Round == l.round && from < l.by {
		l.refuse(from)
		return
	}
	if stack.SetOf(l.N(), m.Failed)[l.Me()] {
		// It goes on without us; then we go on without it.
		l.Tell(stack.Suspect{Rank: from, Why: "excludes this member"})
		return
	}
	for _, r := range m.Failed {
		l.Tell(stack.Suspect{Rank: r, Why: fmt.Sprintf("taken for failed by rank %d", from)})
	}
	if m.Round == l.round && from == l.by {
		if l.phase == reported && !l.decided {
			l.again() // our report was lost
		}
		return
	}
	l.reopen()
	l.lead, l.flushed, l.replies = false, false, nil
	l.round, l.by = m.Round, from
	l.wait = 0
	l.obey()
}

// refuse tells a coordinator that a larger ballot than its own is needed, since
// the one that we obey has lost its coordinator. A refusal is a report without
// what every report has, so that it cannot be taken for one.
func (l *layer) refuse(from int) {
	if l.by >= 0 && l.failed[l.by] && !l.failed[from] {
		m := wire.FlushOk{Round: l.round}
		l.SendControl(from, wire.KindFlushOk, 0, m.Append(nil))
	}
}

// refused begins a ballot larger than the one that a member obeys.
func (l *layer) refused(from int, round uint32) {
	if l.lead && round >= l.round && round <= l.round+maxLeap && !l.decided {
		l.round = round
		l.Counters().FlushRestarts++
		l.start()
	}
}

// obey answers the ballot as soon as the application and the layers allow.
func (l *layer) obey() {
	switch l.phase {
	case idle:
		l.phase = stopping
		l.stopAt = l.Now().Add(l.Config().BlockTimeout)
		l.wake()
		l.Tell(stack.Stop{})
	case reported:
		l.phase = closing
	}
}

func (l *layer) close() {
	l.phase = closing
	l.stopAt = stack.Never
	l.Tell(stack.Closing{})
}

// Flush reports, once everything sent has left and, as far as others depend on
// it, arrived.
func (l *layer) Flush() {
	if l.phase != closing {
		return
	}
	l.Ask(&l.reach)
	if l.reach.Unsent {
		l.Again()
		return
	}
	var d stack.Drained
	l.Ask(&d)
	if d.Sends && (d.Casts || !l.leaving) {
		l.phase = reported
		l.again()
	}
}

// again sends our report, for the first time or once more.
func (l *layer) again() {
	l.Ask(&l.reach)
	m := &wire.FlushOk{Round: l.round, Leaving: l.leaving, Exchange: l.Hooks().Exchange(),
		Recv: append([]uint64(nil), l.reach.Recv...), Failed: l.failed.Ranks(),
		Attr: l.Hooks().Attr()}
	if l.by == l.Me() {
		l.report(l.Me(), m)
		return
	}
	l.buf = m.Append(l.buf[:0])
	l.SendControl(l.by, wire.KindFlushOk, 0, l.buf)
	l.later()
}

// report takes a member's report.
func (l *layer) report(from int, m *wire.FlushOk) {
	if !l.lead || m.Round != l.round || l.failed[from] {
		return
	}
	news := false
	for _, r := range m.Failed {
		if r < l.N() && !l.failed[r] {
			news = true
			l.Tell(stack.Suspect{Rank: r, Why: fmt.Sprintf("failed as rank %d says", from)})
		}
	}
	l.replies[from] = m
	if l.flushed || l.decided || news {
		return // news of a failure begin a larger ballot
	}
	for r, reply := range l.replies {
		if reply == nil && !l.failed[r] {
			return
		}
	}
	l.flushed = true
	l.Tell(stack.Flushed{Round: l.round, Failed: l.failed.Clone(), Replies: l.replies})
}

// Expire repeats what was not answered.
func (l *layer) Expire() {
	now := l.Now()
	if l.stopAt <= now {
		l.Counters().BlockTimeouts++
		l.Tell(stack.Note{Text: "the application did not stop sending in time"})
		l.close()
	}
	if l.againAt <= now {
		l.againAt = stack.Never
		l.repeat()
	}
	if l.paceAt <= now {
		l.change()
	}
	l.wake()
}

func (l *layer) repeat() {
	switch {
	case l.decided:
	case l.lead && !l.flushed:
		l.ask()
	case l.phase == reported && !l.lead:
		l.again()
	case l.phase == idle && l.leaving:
		if l.coordinator() {
			l.start()
			return
		}
		l.SendControl(l.failed.First(), wire.KindLeave, 0, nil)
		l.later()
	}
}

// Answer tells which ballot we obey.
func (l *layer) Answer(q stack.Query) {
	if p, ok := q.(*stack.Promise); ok {
		p.Round, p.By, p.Any = l.round, l.by, l.by >= 0
		p.Leaving = l.leaving
	}
}

// Dump prints the ballot.
func (l *layer) Dump() string {
	return fmt.Sprintf("phase %d ballot %d.%d lead %v flushed %v decided %v", l.phase, l.round,
		l.by, l.lead, l.flushed, l.decided)
}
