// Package merge is how separate views of one group become one: join,
// simultaneous start and healing of partitions are the same thing.
//
// Guarantee: views of one group whose coordinators can hear each other become
// one within about a Presence. Which side leads is decided by an order that all
// agree on: not private before private, then the weight that the owner gives,
// then, between private ones, who was started first, and the view id.
//
// Needs: views; the flush, which a view goes through before it asks to merge.
//
// Header: presence (wire.Presence) is multicast outside of any view by each
// coordinator; merge (wire.Merge) asks the leading side to take a flushed view
// in; mergedeny (wire.ViewRef) refuses, or takes the request of that view back.
//
// Timers: a presence each Presence, and by a member that looks for its group at
// doubling distances from firstLook; a merge is repeated each Retry, growing, more
// seldom once the leader has answered (hasIt), and given up when the leader has been
// silent for Silence or its process is gone; nothing is given up for being late oneself;
// the leading side waits for others that are about to come up to gather; a private member
// founds the group after Discovery.
//
// Source: Ensemble's merge and heal protocols, with reaction instead of gossip.
package merge

import (
	"bytes"
	"fmt"
	"time"

	"maestro/stack"
	"maestro/wire"
)

const (
	firstLook = 4 * time.Millisecond
	gather    = 4 * time.Millisecond
	expects   = 60 * time.Millisecond // how long a presence promises a merge
	maxRetry  = 25 * time.Millisecond
	hasIt     = 100 * time.Millisecond // until a leader that is at it is asked again
	rest      = 50 * time.Millisecond  // after a refusal
)

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "merge", Needs: stack.Views | stack.Elect, Gives: stack.Merge,
		Kinds:   []wire.Kind{wire.KindPresence, wire.KindMerge, wire.KindMergeDeny},
		Answers: []stack.Query{(*stack.Merging)(nil)},
		New:     func(p *stack.Port) stack.Layer { return newLayer(p) }}
}

// other is a view that was heard of and will ask to merge with ours.
type other struct {
	view wire.ViewID
	at   stack.Time
}

type layer struct {
	*stack.Port
	failed   stack.Set
	stopping bool // a view change is under way
	over     bool // what follows is decided
	leaving  bool

	due    stack.Time // when Expire was asked for
	spared bool       // what is due was put off, since we were late
	lookAt stack.Time // next presence
	look   time.Duration
	found  stack.Time // when a private member founds the group

	// As the side that follows:
	leader  *wire.Presence // whom we follow
	address stack.Datagram // where it was heard
	request [][]byte       // our merge, once we are flushed
	sendAt  stack.Time
	wait    time.Duration
	giveAt  stack.Time
	restTo  stack.Time
	apart   wire.ViewID // with which ours does not fit into one, as the application knows

	// As the side that leads:
	parties  []*wire.Merge
	partial  []*partial
	expected []other
	gatherAt stack.Time
	flushed  bool
}

func newLayer(p *stack.Port) *layer {
	l := &layer{Port: p, failed: make(stack.Set, p.N()), found: stack.Never, sendAt: stack.Never,
		giveAt: stack.Never, gatherAt: stack.Never}
	now, cfg := p.Now(), p.Config()
	l.look = cfg.Presence
	if p.View().Private {
		l.look = firstLook
		l.found = now.Add(cfg.Discovery + 1)
		if cfg.Bootstrap {
			l.found = now.Add(1)
		}
		l.lookAt = now.Add(1)
	} else {
		// New views are announced soon: others may be waiting for them.
		l.lookAt = now.Add(1 + time.Duration(p.Rand().Int64N(int64(cfg.Presence/4)+1)))
	}
	l.schedule()
	return l
}

func (l *layer) schedule() {
	l.due = min(l.lookAt, l.found, l.sendAt, l.giveAt, l.gatherAt)
	l.SetDeadline(l.due)
}

// entered tells whether the application uses this view yet. While it exchanges
// state messages, a merge would let it skip the view that tells its branch of
// the group from another.
func (l *layer) entered() bool {
	e, ok := l.Hooks().(interface{ Entered() bool })
	return !ok || e.Entered()
}

func (l *layer) coordinator() bool { return l.failed.First() == l.Me() }

func (l *layer) Event(e stack.Event) {
	switch e := e.(type) {
	case stack.Fail:
		copy(l.failed, e.Failed)
	case stack.Stop:
		l.stopping = true
	case stack.Lead:
		l.flushed, l.request, l.sendAt = false, nil, stack.Never
	case stack.Leave:
		l.leaving = true
	case stack.Flushed:
		l.flushed = true
		if l.leader != nil {
			l.ask(&e)
		} else {
			l.gathering()
		}
	case stack.Unreachable:
		if l.leader != nil && e.Addr == l.address.From {
			l.request = nil // nobody is there to take it back from
			l.drop("its process is gone")
		}
	case stack.Decided:
		if l.elsewhere(e.Decision) {
			l.withdraw()
		}
		l.over = true
		l.leader, l.request = nil, nil
		l.lookAt, l.found, l.sendAt = stack.Never, stack.Never, stack.Never
		l.giveAt, l.gatherAt = stack.Never, stack.Never
	case stack.Reopened:
		l.over = false
		l.parties = nil // they may have acted on it; if not, they ask again
		l.lookAt = l.Now().Add(l.look)
	}
	l.schedule()
}

func (l *layer) Receive(d *stack.Datagram) {
	if l.over {
		return
	}
	switch d.Kind {
	case wire.KindPresence:
		m := new(wire.Presence)
		if m.Parse(d.Body) != nil {
			l.Counters().Malformed++
			return
		}
		if m.From.Addr == d.From { // who cannot be answered is not believed
			l.presence(d, m)
		}
	case wire.KindMerge:
		m := new(wire.Merge)
		if m.Parse(d.Body) != nil {
			l.Counters().Malformed++
			return
		}
		if m = l.whole(d, m); m != nil && l.plausible(d, m) {
			l.merge(d, m)
		}
	case wire.KindMergeDeny:
		var m wire.ViewRef
		if m.Parse(d.Body) != nil {
			l.Counters().Malformed++
			return
		}
		if l.leader != nil && m.View == l.View().ID && d.From == l.address.From {
			l.request = nil
			l.drop("refused")
		} else {
			l.withdrawn(d, m.View)
		}
	}
	l.schedule()
}

// presence takes the word of another view.
func (l *layer) presence(d *stack.Datagram, p *wire.Presence) {
	v := l.View()
	if p.View == v.ID {
		return
	}
	if r := v.RankOf(p.From.ID); r >= 0 {
		// One of us speaks for another view: ask what became of ours.
		if r != l.Me() && !l.failed[r] {
			l.Tell(stack.Foreign{Rank: r})
		}
		return
	}
	l.evict(d, p.From.ID)
	if !l.coordinator() || l.leaving || !l.entered() {
		return
	}
	if leads(p, l.mine()) {
		l.follow(d, p)
		return
	}
	if l.leader != nil {
		return // our leader leads both, and speaks for itself
	}
	l.expect(p.View)
	if !p.Hushed {
		l.announce(d, true)
	}
}

// evict takes a member for failed whose next life has been heard of: under the
// same name, or at the same address.
func (l *layer) evict(d *stack.Datagram, e wire.Endpoint) {
	for r := range l.View().Members {
		m := &l.View().Members[r]
		if (m.ID.Name == e.Name || m.Addr == d.From) && m.ID != e &&
			m.ID.Incarnation < e.Incarnation && r != l.Me() && !l.failed[r] {
			l.Tell(stack.Suspect{Rank: r, Why: fmt.Sprintf("has been started again as %v", e)})
		}
	}
}

// leads tells whether the view of a leads in a merge with that of b. Of members that
// look for their group the one that was started first leads: otherwise each that is
// started while others look could take the lead, and they would all begin anew.
func leads(a, b *wire.Presence) bool {
	if a.Private != b.Private {
		return b.Private
	}
	if c := bytes.Compare(a.Weight, b.Weight); c != 0 {
		return c > 0
	}
	if x, y := a.View.Coord.Incarnation, b.View.Coord.Incarnation; a.Private && x != y {
		return x < y
	}
	return a.View.Compare(b.View) > 0
}

func (l *layer) mine() *wire.Presence {
	v := l.View()
	p := &wire.Presence{View: v.ID, From: v.Members[l.Me()], Members: uint16(l.N()),
		Private: v.Private, Weight: l.Hooks().Weight()}
	p.From.Attr = nil
	return p
}

// announce makes our view known: to all, or as an answer to one.
func (l *layer) announce(to *stack.Datagram, answer bool) {
	p := l.mine()
	p.Hushed = answer
	if to != nil {
		l.Wire().SendForeign(to.From, wire.KindPresence, p.Append(nil))
		return
	}
	l.Wire().CastForeign(wire.KindPresence, p.Append(nil))
}

// Answer tells what the next view has to take account of.
func (l *layer) Answer(q stack.Query) {
	m, ok := q.(*stack.Merging)
	if !ok {
		return
	}
	m.Following = l.leader != nil
	m.Parties = l.parties
	m.Gathering = l.waiting()
}

// Expire announces, repeats, gives up and founds.
func (l *layer) Expire() {
	now := l.Now()
	l.spare(now)
	if l.lookAt <= now {
		l.lookAt = now.Add(l.look)
		if l.View().Private {
			l.look = min(l.look*2, l.Config().Presence)
		}
		if l.coordinator() && !l.leaving && l.leader == nil && l.entered() {
			l.announce(nil, false)
		}
	}
	if l.sendAt <= now {
		l.sendAt = stack.Never
		if l.request != nil {
			l.send()
		}
	}
	if l.giveAt <= now {
		l.giveAt = stack.Never
		if l.leader != nil {
			l.drop("no answer")
		}
	}
	if l.found <= now {
		l.found = stack.Never
		if l.leader == nil {
			l.gatherAt = now.Add(gather)
			l.Tell(stack.Change{Why: "nobody else is there"})
			l.foundAgain()
		}
	}
	if l.gatherAt <= now {
		l.gatherAt = stack.Never
		l.gathering()
	}
	l.schedule()
}

// spare puts off what would give up on others, once, if we are late: what they have
// said meanwhile waits to be received.
func (l *layer) spare(now stack.Time) {
	due := min(l.giveAt, l.found)
	if now.Sub(l.due) <= gather {
		l.spared = l.spared && due <= now.Add(gather) // what was put off is yet to come
		return
	}
	if due > now {
		return
	}
	if l.spared = !l.spared; l.spared {
		for _, at := range []*stack.Time{&l.giveAt, &l.found} {
			if *at <= now {
				*at = now.Add(gather)
			}
		}
	}
}

// foundAgain covers a private member whose flush was complete already, for a
// merge that came to nothing.
func (l *layer) foundAgain() {
	if l.stopping {
		l.Tell(stack.Lead{})
	}
}

// Dump prints whom we follow and who follows.
func (l *layer) Dump() string {
	s := fmt.Sprintf("parties %d expected %d", len(l.parties), len(l.expected))
	if l.leader != nil {
		s += fmt.Sprintf(" follows %v", l.leader.View)
	}
	return s
}
