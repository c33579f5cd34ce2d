// Package install is the second round of a view change: the cut and the next
// view are decided, made known, and obeyed.
//
// Guarantee: members that install the same view after this one have delivered
// the same messages in it: all of the survivors', and of the failed as much as
// any survivor had. A decision that one survivor has acted on is acted on by
// all: who acted on it answers every later ballot with it, and its coordinator
// carries it on.
//
// Needs: the flush; reliable multicast, which gets what is missing up to the
// cut from whoever has it.
//
// Header: decision (wire.Decision) is multicast outside of any view, since it
// may end several; decided (wire.ViewRef) acknowledges it. query (wire.ViewRef)
// asks somebody who speaks another view what became of this one.
//
// Timers: the decision is sent again to those who have not acknowledged it,
// each Port.Retry, growing, until Linger; a coordinator that cannot reach the cut for
// stuck begins a new ballot.
//
// Source: Ensemble's intra and sync; the cut as the flush of Birman and Joseph;
// carrying on a decision as in Paxos.
package install

import (
	"fmt"
	"slices"
	"time"

	"maestro/stack"
	"maestro/wire"
)

const (
	maxRetry = 200 * time.Millisecond
	stuck    = 150 * time.Millisecond
	askEvery = 10 * time.Millisecond
	crowd    = 16 // members to whom rather a multicast goes
)

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "install", Needs: stack.Sync, Gives: stack.Views,
		Kinds:   []wire.Kind{wire.KindDecision, wire.KindDecided},
		Answers: []stack.Query{(*stack.Unheard)(nil)},
		New: func(p *stack.Port) stack.Layer {
			return &layer{Port: p, failed: make(stack.Set, p.N()), againAt: stack.Never,
				stuckAt: stack.Never}
		}}
}

type layer struct {
	*stack.Port
	failed  stack.Set
	flushed *stack.Flushed // complete, and not decided yet

	decision *wire.Decision
	party    *wire.Party
	raw      []byte
	reached  bool
	over     bool // this member is on its way out of the view

	mine    bool // we make the decision known
	acked   []bool
	againAt stack.Time
	wait    time.Duration
	until   stack.Time
	stuckAt stack.Time
	askedAt stack.Time
}

// Retired keeps the layer making its decision known when the view is over.
func (l *layer) Retired() []wire.Kind { return []wire.Kind{wire.KindDecided} }

func (l *layer) Event(e stack.Event) {
	switch e := e.(type) {
	case stack.Fail:
		copy(l.failed, e.Failed)
		l.flushed = nil
	case stack.Lead:
		l.flushed = nil
	case stack.Flushed:
		if l.decision == nil {
			l.flushed = &e
			l.try()
		}
	case stack.Gathered:
		l.try()
	case stack.CutReached:
		l.reached = true
		l.finish()
	case stack.Reopened:
		l.decision, l.party, l.raw, l.reached = nil, nil, nil, false
		l.mine, l.againAt, l.stuckAt = false, stack.Never, stack.Never
	case stack.Foreign:
		l.query(e.Rank)
	}
}

// query asks a member that speaks another view what became of ours.
func (l *layer) query(rank int) {
	if l.decision != nil || l.askedAt > 0 && l.Now().Sub(l.askedAt) < askEvery {
		return
	}
	l.askedAt = l.Now()
	v := l.View()
	m := wire.ViewRef{View: v.ID, Members: []wire.Endpoint{v.Members[l.Me()].ID}}
	l.Wire().SendForeign(v.Members[rank].Addr, wire.KindQuery, m.Append(nil))
}

// try decides, if the ballot is complete and nobody is waited for.
func (l *layer) try() {
	var m stack.Merging
	l.Ask(&m)
	if l.flushed == nil || l.decision != nil || m.Following || m.Gathering {
		return
	}
	d := compose(l, l.flushed, m.Parties)
	l.flushed = nil
	if len(d.Next.Members) == 0 {
		l.over = true
		raw := d.Append(nil)
		if l.N() > 1 {
			l.Wire().CastForeign(wire.KindDecision, raw) // all leave at once
		}
		l.Tell(stack.Left{Decision: d, Raw: raw})
		return
	}
	l.publish(d)
}

// publish makes a decision known, and obeys it.
func (l *layer) publish(d *wire.Decision) {
	l.mine = true
	l.raw = d.Append(nil)
	l.acked = make([]bool, len(d.Next.Members))
	l.until = l.Now().Add(l.Config().Linger)
	if l.N() > 1 || len(d.Parties) > 1 {
		l.Wire().CastForeign(wire.KindDecision, l.raw)
		l.wait = l.Retry(len(d.Next.Members))
		l.againAt = l.Now().Add(l.wait)
		l.SetDeadline(min(l.againAt, l.stuckAt))
	}
	l.adopt(d, l.raw)
}

func (l *layer) Receive(d *stack.Datagram) {
	switch d.Kind {
	case wire.KindDecision:
		m := new(wire.Decision)
		if m.Parse(d.Body) != nil {
			l.Counters().Malformed++
			return
		}
		l.decided(d, m)
	case wire.KindDecided:
		var m wire.ViewRef
		if m.Parse(d.Body) != nil || len(m.Members) != 1 {
			l.Counters().Malformed++
			return
		}
		if l.mine && l.decision != nil && m.Now == l.decision.Next.ID {
			for i := range l.decision.Next.Members {
				if l.decision.Next.Members[i].ID == m.Members[0] {
					l.acked[i] = true
				}
			}
		}
	}
}

// decided takes a decision from the network.
func (l *layer) decided(d *stack.Datagram, m *wire.Decision) {
	if m.Next.ID == l.View().ID || l.decision != nil && m.Next.ID == l.decision.Next.ID {
		l.acknowledge(d, m)
		if m.Next.ID == l.View().ID {
			return
		}
	}
	p := partyOf(m, l.View().ID)
	if p == nil || l.over || !l.valid(m, p) {
		return
	}
	// Whom its own view has failed does not go on from it, even if a late request
	// of an earlier view of its has brought it into the next one.
	if l.beyond(p) || slices.Contains(p.Failed, l.Me()) && !l.excludes(m) {
		l.Tell(stack.Gone{View: m.Next.ID, Members: l.others(m)})
		return
	}
	var promise stack.Promise
	l.Ask(&promise)
	older := p.Round < promise.Round || p.Round == promise.Round && int(p.By) < promise.By
	if older && promise.Any && l.decision == nil && l.failed[promise.By] && !l.failed[p.By] {
		older = false // nobody is left to decide under our promise
	}
	switch {
	case !older:
		if l.decision != nil && l.party.Round == p.Round && l.party.By == p.By &&
			m.Next.ID.Compare(l.decision.Next.ID) <= 0 {
			return // of one ballot the leading side's last decision counts
		}
		l.acknowledge(d, m)
		l.mine, l.acked, l.againAt = false, nil, stack.Never
		l.adopt(m, append([]byte(nil), d.Body...))
	case promise.By == l.Me() && l.decision == nil && !l.excludes(m):
		// A survivor has acted on a lost coordinator's decision: carry it on
		// under our own ballot.
		l.Counters().Adopted++
		l.flushed = nil
		p.Round, p.By = promise.Round, uint16(l.Me())
		l.publish(m)
	case l.excludes(m) && !promise.Leaving:
		l.Tell(stack.Gone{View: m.Next.ID, Members: endpoints(m)})
	}
}

func partyOf(d *wire.Decision, v wire.ViewID) *wire.Party {
	for i := range d.Parties {
		if d.Parties[i].View == v {
			return &d.Parties[i]
		}
	}
	return nil
}

// valid checks what a decision claims before anything is done with it.
func (l *layer) valid(d *wire.Decision, p *wire.Party) bool {
	const maxAhead = 1 << 33 // of times that are given out
	v := l.View()
	ok := len(p.Cut) == l.Streams() && int(p.By) < l.N() && d.Next.ID.Compare(v.ID) > 0 &&
		d.Next.ID.Ltime < v.ID.Ltime+maxAhead
	for _, h := range p.Holder {
		ok = ok && int(h) < l.N()
	}
	for i := range d.Next.Members {
		m := &d.Next.Members[i]
		ok = ok && m.ID.Name != "" && m.Addr.IsValid()
		for j := range i {
			ok = ok && d.Next.Members[j].ID != m.ID
		}
	}
	if !ok {
		l.Counters().Malformed++
	}
	return ok
}

// beyond tells whether more has been passed up than a decision allows: later
// ballots, which it knows nothing of, had repairs come in. Who obeys it and we
// have not delivered the same, and do not go on together.
func (l *layer) beyond(p *wire.Party) bool {
	var r stack.Reached
	l.Ask(&r)
	for s, passed := range r.Passed {
		if passed > p.Cut[s] {
			return true
		}
	}
	return false
}

func (l *layer) excludes(d *wire.Decision) bool {
	me := l.View().Members[l.Me()].ID
	for i := range d.Next.Members {
		if d.Next.Members[i].ID == me {
			return false
		}
	}
	return true
}

func endpoints(d *wire.Decision) []wire.Endpoint {
	v := stack.View{View: d.Next}
	return v.Endpoints()
}

// others is who goes on by a decision that this member does not obey.
func (l *layer) others(d *wire.Decision) []wire.Endpoint {
	me := l.View().Members[l.Me()].ID
	return slices.DeleteFunc(endpoints(d), func(e wire.Endpoint) bool { return e == me })
}

func (l *layer) acknowledge(d *stack.Datagram, m *wire.Decision) {
	ref := wire.ViewRef{View: l.View().ID, Now: m.Next.ID,
		Members: []wire.Endpoint{l.View().Members[l.Me()].ID}}
	l.Wire().SendForeign(d.From, wire.KindDecided, ref.Append(nil))
}

// adopt obeys a decision.
func (l *layer) adopt(d *wire.Decision, raw []byte) {
	p := partyOf(d, l.View().ID)
	if l.excludes(d) {
		var promise stack.Promise
		l.Ask(&promise)
		if promise.Leaving {
			l.over = true
			l.decision, l.party, l.raw = d, p, raw
			l.Tell(stack.Left{Decision: d, Raw: raw})
		} else {
			l.Tell(stack.Gone{View: d.Next.ID, Members: endpoints(d)})
		}
		return
	}
	var promise stack.Promise
	l.Ask(&promise)
	if !l.mine && promise.By == l.Me() && l.N() > 1 {
		// We merge into another view: our members may not have heard.
		l.Wire().CastForeign(wire.KindDecision, raw)
	}
	l.decision, l.party, l.raw, l.reached = d, p, raw, false
	l.stuckAt = l.Now().Add(stuck)
	l.SetDeadline(min(l.againAt, l.stuckAt))
	l.Tell(stack.Decided{Decision: d, Party: p, Raw: raw})
}

// finish ends the view, once everything up to the cut is delivered.
func (l *layer) finish() {
	if l.reached && l.decision != nil && !l.over {
		l.over = true
		l.stuckAt = stack.Never
		l.Tell(stack.Install{Decision: l.decision, Raw: l.raw})
	}
}

// Expire repeats the decision, and gives up one that cannot be obeyed.
func (l *layer) Expire() {
	now := l.Now()
	if l.againAt <= now {
		l.againAt = stack.Never
		if l.repeat() && now < l.until {
			l.wait = max(min(l.wait*3/2, maxRetry), l.wait)
			l.againAt = now.Add(l.wait)
		}
	}
	if l.stuckAt <= now {
		l.stuckAt = now.Add(stuck)
		if l.failed.First() == l.Me() && !l.over {
			l.Tell(stack.Lead{})
		}
	}
	l.SetDeadline(min(l.againAt, l.stuckAt))
}

// Answer tells whether somebody has not heard of our decision.
func (l *layer) Answer(q stack.Query) {
	if u, ok := q.(*stack.Unheard); ok && l.mine && l.Now() < l.until {
		l.waiting(func(*wire.Member) { u.Any = true })
	}
}

// repeat sends the decision to those who have not acknowledged it, and reports
// whether there are any. If they are many and most, it was the multicast that was lost,
// and there is another; where that does not help either, each gets a copy.
func (l *layer) repeat() bool {
	left := 0
	l.waiting(func(*wire.Member) { left++ })
	if left > crowd && left > len(l.acked)/2 && l.wait == l.Retry(len(l.acked)) {
		l.Wire().CastForeign(wire.KindDecision, l.raw)
		return true
	}
	l.waiting(func(m *wire.Member) { l.Wire().SendForeign(m.Addr, wire.KindDecision, l.raw) })
	return left > 0
}

// waiting calls f for each member of the next view that has not acknowledged.
func (l *layer) waiting(f func(m *wire.Member)) {
	if l.decision == nil {
		return
	}
	me := l.View().Members[l.Me()].ID
	for i := range l.decision.Next.Members {
		m := &l.decision.Next.Members[i]
		if r := l.View().RankOf(m.ID); l.acked[i] || m.ID == me || r >= 0 && l.failed[r] {
			continue
		}
		f(m)
	}
}

// Dump prints the decision.
func (l *layer) Dump() string {
	if l.decision == nil {
		return "undecided"
	}
	return fmt.Sprintf("next %v reached %v", l.decision.Next.ID, l.reached)
}
