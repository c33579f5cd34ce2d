package install

import (
	"slices"

	"maestro/stack"
	"maestro/wire"
)

// compose makes the decision that follows from a complete ballot: the cut of
// this view, and a next view of its survivors and of those who merge.
func compose(l *layer, f *stack.Flushed, merges []*wire.Merge) *wire.Decision {
	v := l.View()
	self := v.Members[l.Me()].ID
	d := &wire.Decision{Parties: []wire.Party{f.Cut(v, l.Me())}}
	ltime := v.ID.Ltime
	prop := stack.Proposal{Next: &d.Next}
	own := stack.ProposalParty{View: v.ID, Private: v.Private, Extra: v.Extra}
	seen := map[wire.Endpoint]bool{}
	for r, reply := range f.Replies {
		if reply == nil || f.Failed[r] || reply.Leaving {
			continue
		}
		m := v.Members[r]
		m.Attr = reply.Attr
		own.Members = append(own.Members, m)
		seen[m.ID] = true
		d.Next.Exchange = d.Next.Exchange || reply.Exchange
	}
	own.Begun = begun(&d.Parties[0])
	prop.Parties = append(prop.Parties, own)
	size := wire.MembersSize(own.Members) + wire.PartySize(l.Streams(), v.ID.Coord)
	for _, m := range merges {
		size += wire.MembersSize(m.Members) + wire.PartySize(len(m.Party.Cut), m.Party.View.Coord)
		if n := len(seen) + len(m.Members); n > wire.MaxMembers || size > wire.MaxDecision ||
			overlap(m, seen) {
			continue // it asks again
		}
		for _, x := range m.Members {
			seen[x.ID] = true
		}
		ltime = max(ltime, m.Party.View.Ltime)
		d.Parties = append(d.Parties, m.Party)
		d.Next.Exchange = d.Next.Exchange || m.Exchange
		prop.Parties = append(prop.Parties, stack.ProposalParty{View: m.Party.View,
			Private: m.Private, Extra: m.Extra, Members: m.Members, Begun: begun(&m.Party)})
		l.Counters().Merges++
	}
	for i := range prop.Parties {
		p := &prop.Parties[i]
		p.Members = slices.DeleteFunc(p.Members, func(m wire.Member) bool {
			return replaced(&m, prop.Parties)
		})
		d.Next.Members = append(d.Next.Members, p.Members...)
	}
	d.Next.ID = wire.ViewID{Ltime: l.Ltime(ltime + uint64(f.Round)), Coord: self}
	if len(d.Next.Members) > 0 {
		l.Hooks().Compose(&prop)
	}
	for i := range d.Next.Members {
		d.Next.Members[i].Attr = nil // has served its purpose
	}
	return d
}

// begun tells whether a cast of the coordinator is within the cut.
func begun(p *wire.Party) bool { return len(p.Cut) > 0 && p.Cut[0] > 0 }

// replaced tells whether a later life of a member is there too.
func replaced(m *wire.Member, parties []stack.ProposalParty) bool {
	for _, p := range parties {
		for i := range p.Members {
			o := &p.Members[i]
			if o.ID != m.ID && (o.Addr == m.Addr || o.ID.Name == m.ID.Name) &&
				o.ID.Incarnation > m.ID.Incarnation {
				return true
			}
		}
	}
	return false
}

// overlap tells whether a merge names somebody who is in already: a member that
// has been through two views in the meantime.
func overlap(m *wire.Merge, seen map[wire.Endpoint]bool) bool {
	for _, x := range m.Members {
		if seen[x.ID] {
			return true
		}
	}
	return false
}
