package merge

import (
	"fmt"
	"slices"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// expect notes that a view will ask to merge with ours soon.
func (l *layer) expect(v wire.ViewID) {
	for i := range l.expected {
		if l.expected[i].view == v {
			l.expected[i].at = l.Now()
			return
		}
	}
	if len(l.expected) == wire.MaxParties { // the oldest has come or never will
		l.expected = append(l.expected[:0], l.expected[1:]...)
	}
	l.expected = append(l.expected, other{v, l.Now()})
}

// follow begins to merge into another view, unless a better one is followed.
func (l *layer) follow(d *stack.Datagram, p *wire.Presence) {
	again := l.leader != nil && l.leader.View == p.View
	if l.Now() < l.restTo || l.leader != nil && !again && !leads(p, l.leader) {
		return
	}
	if !l.room(p) {
		return
	}
	if l.stopping && l.leader == nil && !l.View().Private {
		return // a view change is under way; the next view may follow
	}
	if !again {
		l.withdraw()
	}
	l.leader, l.address.From = p, d.From
	l.giveAt = l.Now().Add(l.Silence())
	if again {
		// It has our request, unless that or its own ballot was lost. Its answers are
		// what tells that it lives.
		if rare := min(hasIt, l.Silence()/5); l.request != nil && l.wait < rare {
			l.wait = rare
			l.sendAt = l.Now().Add(rare)
		}
		return
	}
	switch {
	case !l.stopping:
		l.Tell(stack.Change{Why: fmt.Sprintf("merges into %v", p.View)})
	case l.request != nil || l.flushed:
		l.request = nil
		l.Tell(stack.Lead{}) // a new ballot, a new request
	}
}

// room tells whether the members of our view and of another that leads fit one view, as
// far as one can know: the leader knows, and refuses what does not. To ask it again and
// again would stop both views for nothing.
func (l *layer) room(p *wire.Presence) bool {
	v := l.View()
	n := l.N() + int(p.Members)
	size := wire.MembersSize(v.Members)*n/l.N() + wire.PartySize(l.Streams(), v.ID.Coord) +
		wire.PartySize(l.Streams()*int(p.Members)/l.N(), p.View.Coord)
	if n <= wire.MaxMembers && size <= wire.MaxDecision {
		return true
	}
	if l.apart != p.View {
		l.apart = p.View
		l.Tell(stack.Note{Text: fmt.Sprintf("no merge with %v: %d members are more than a view "+
			"can have", p.View, n)})
	}
	return false
}

// ask sends our merge: the view is flushed and will do what the leader decides.
func (l *layer) ask(f *stack.Flushed) {
	v := l.View()
	m := wire.Merge{Target: l.leader.View, Private: v.Private, Extra: v.Extra,
		Party: f.Cut(v, l.Me())}
	for r, reply := range f.Replies {
		if reply == nil || f.Failed[r] || reply.Leaving {
			continue
		}
		x := v.Members[r]
		x.Attr = reply.Attr
		m.Members = append(m.Members, x)
		m.Ranks = append(m.Ranks, r)
		m.Exchange = m.Exchange || reply.Exchange
	}
	if len(m.Members) == 0 {
		l.drop("nobody is left to merge")
		return
	}
	l.Counters().MergeRequests++
	l.request = split(&m)
	l.wait = l.Config().Retry
	l.send()
}

func (l *layer) send() {
	for _, part := range l.request {
		l.Wire().SendForeign(l.address.From, wire.KindMerge, part)
	}
	l.wait = max(min(l.wait*3/2, maxRetry), l.wait)
	l.sendAt = l.Now().Add(l.wait)
}

// withdraw takes our request back. A leader that does not hear of it may yet take
// us in, and its view would wait for members that are elsewhere.
func (l *layer) withdraw() {
	if l.request != nil {
		ref := wire.ViewRef{View: l.View().ID}
		l.Wire().SendForeign(l.address.From, wire.KindMergeDeny, ref.Append(nil))
	}
}

// withdrawn forgets a request.
func (l *layer) withdrawn(d *stack.Datagram, v wire.ViewID) {
	l.parties = slices.DeleteFunc(l.parties, func(m *wire.Merge) bool {
		return m.Party.View == v && from(d, m)
	})
}

// from tells whether a datagram comes from a member that a request names.
func from(d *stack.Datagram, m *wire.Merge) bool {
	return slices.ContainsFunc(m.Members, func(x wire.Member) bool { return x.Addr == d.From })
}

// elsewhere tells whether a decision that we obey is not that of our leader.
func (l *layer) elsewhere(d *wire.Decision) bool {
	return d != nil && l.leader != nil && !slices.ContainsFunc(d.Parties,
		func(p wire.Party) bool { return p.View == l.leader.View })
}

// drop gives up following.
func (l *layer) drop(why string) {
	l.withdraw()
	l.leader, l.request = nil, nil
	l.sendAt, l.giveAt = stack.Never, stack.Never
	l.restTo = l.Now().Add(time.Duration(l.Rand().Int64N(int64(rest)) + 1))
	if !l.View().Private {
		l.Tell(stack.Note{Text: "merge given up: " + why})
		l.Tell(stack.Lead{})
		return
	}
	l.restTo = 0
	l.found = l.Now().Add(l.Config().Discovery + 1)
	l.look, l.lookAt = firstLook, l.Now().Add(firstLook)
}

// merge takes another view's request.
func (l *layer) merge(d *stack.Datagram, m *wire.Merge) {
	if !l.coordinator() || l.leader != nil || l.leaving || !l.fits(m) {
		l.Counters().MergeDenials++
		ref := wire.ViewRef{View: m.Party.View, Now: l.View().ID}
		l.Wire().SendForeign(d.From, wire.KindMergeDeny, ref.Append(nil))
		return
	}
	if l.ghosts(m) || !l.entered() {
		return // it asks again
	}
	l.take(m)
	l.announce(d, true) // so that the others know that we are at it
	if l.View().Private {
		l.gathering()
		return // until the discovery is over
	}
	if !l.stopping {
		l.gatherAt = l.Now().Add(gather)
		l.Tell(stack.Change{Why: fmt.Sprintf("%v merges", m.Party.View)})
	} else if l.flushed {
		l.gathering()
	}
}

// maxAhead is how far another view's time can be ahead of ours.
const maxAhead = 1 << 32

// plausible refuses requests that no member sends: from an address that none of
// the view's members has, or with a time that would use up all times.
func (l *layer) plausible(d *stack.Datagram, m *wire.Merge) bool {
	if from(d, m) && m.Party.View.Ltime < l.View().ID.Ltime+maxAhead {
		return true
	}
	l.Counters().Malformed++
	return false
}

// fits tells whether a view with the members of a request too can be decided.
func (l *layer) fits(m *wire.Merge) bool {
	v := l.View()
	n := l.N() + len(m.Members)
	size := wire.MembersSize(v.Members) + wire.PartySize(l.Streams(), v.ID.Coord) + sizeOf(m)
	for _, p := range l.parties {
		if p.Party.View != m.Party.View {
			n += len(p.Members)
			size += sizeOf(p)
		}
	}
	return n <= wire.MaxMembers && size <= wire.MaxDecision
}

// sizeOf is how much a decision grows by a request.
func sizeOf(m *wire.Merge) int {
	return wire.MembersSize(m.Members) + wire.PartySize(len(m.Party.Cut), m.Party.View.Coord)
}

// ghosts handles a request of members that this view has already. If it comes
// from a later view, they have left this one and are taken for failed first; an
// older one is late, or its members never got here, which silence will show.
func (l *layer) ghosts(m *wire.Merge) bool {
	found := false
	for i := range m.Members {
		r := l.View().RankOf(m.Members[i].ID)
		found = found || r >= 0
		if r >= 0 && r != l.Me() && m.Party.View.Ltime >= l.View().ID.Ltime {
			l.Tell(stack.Suspect{Rank: r, Why: "is in another view"})
		}
	}
	return found
}

func (l *layer) take(m *wire.Merge) {
	for i, p := range l.parties {
		if p.Party.View == m.Party.View {
			if m.Party.Round >= p.Party.Round {
				l.parties[i] = m
			}
			return
		}
	}
	if len(l.parties) < wire.MaxParties-1 {
		l.parties = append(l.parties, m)
	}
}

// awaited tells whether a view that was heard of has not asked yet.
func (l *layer) awaited() bool {
next:
	for _, o := range l.expected {
		if l.Now().Sub(o.at) > expects {
			continue
		}
		for _, p := range l.parties {
			if p.Party.View == o.view {
				continue next
			}
		}
		return true
	}
	return false
}

// gathering tells when nobody is waited for any more.
func (l *layer) gathering() {
	if l.flushed && !l.waiting() {
		l.gatherAt = stack.Never
		l.Tell(stack.Gathered{})
	}
}

func (l *layer) waiting() bool {
	return l.gatherAt != stack.Never && l.gatherAt > l.Now() && l.awaited()
}
