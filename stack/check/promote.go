package check

import (
	"slices"

	"maestro/stack/trace"
)

// grade says how a member came to be a normal server in a view.
type grade uint8

const (
	notServer grade = iota
	stayed          // it was one before
	earned          // by a transfer that it finished
	free            // it asked for none
	unearned        // none of these
)

// reign is the time in which a member is a normal server. It knows where the
// state that it serves comes from.
type reign struct {
	root bool     // from here: the member was the first
	from *xferMsg // from the server that sent this; nil if that is not known
}

// origin is the reign from which the state of r derives, nil if that is not
// known. The limit is against circles in traces that are wrong.
func (r *reign) origin() *reign {
	for range 10000 {
		if r == nil || r.root {
			return r
		}
		if r.from == nil {
			return nil
		}
		if up := r.from.reign; up != nil && up.from != nil && up.from != r.from {
			r.from = up.from // shorter next time
		}
		r = r.from.reign
	}
	return nil
}

// promoted works out how p stands in view tv, for when the view is judged.
func (c *Checker) promoted(p *proc, tv, prev *trace.View, v *view, rank int) {
	s := &v.seats[rank]
	x := &p.xf
	s.wasServer = x.wasServer
	switch {
	case !slices.Contains(tv.Servers, p.id):
		s.grade = notServer
		x.reign = nil
	case x.wasServer:
		s.grade = stayed
		if prev.Lineage != 0 && tv.Lineage != 0 && prev.Lineage != tv.Lineage {
			e := trace.Event{P: p.id, Kind: trace.ViewEvent, View: tv}
			c.local("CS16", p, &e, "stays a server and its lineage changes from %x to %x",
				prev.Lineage, tv.Lineage)
		}
	case p.started && p.xfer == trace.NoXfer:
		s.grade = free
		x.reign = &reign{}
	case x.started && x.done && !x.late:
		s.grade = earned
		x.reign = &reign{from: x.source}
	default:
		s.grade = unearned
		x.reign = &reign{root: true}
		if prev.State == trace.ServerXfer && !tv.SourcesLost {
			e := trace.Event{P: p.id, Kind: trace.ViewEvent, View: tv}
			c.local("CS15", p, &e, "a transfer that is not done ends without lost sources")
		}
	}
	if tv.State == trace.BecomingServer || x.wasServer && s.grade == notServer {
		x.started, x.done = false, false // demoted
	}
	if tv.StartXfer {
		x.started, x.done, x.late, x.source = true, false, false, nil
	}
	x.wasServer = s.grade != notServer
	s.reign = x.reign
}

// promotions is CS15: without a transfer one member may become a server, and
// only if no member of the view was one before.
func (j *judging) promotions() {
	v := j.v
	if !v.first.ClSv {
		return
	}
	var who []place
	others := -1
	for r := range v.seats {
		s := &v.seats[r]
		switch {
		case s.own == nil:
		case s.grade == unearned:
			who = append(who, at(r, 0))
		case s.wasServer, s.grade == earned:
			others = r
		}
	}
	switch {
	case len(who) > 1:
		j.c.inView("CS15", v, -1, who, "%d members become servers without a transfer", len(who))
	case len(who) == 1 && others >= 0:
		j.c.inView("CS15", v, -1, []place{who[0], at(others, 0)},
			"the first becomes a server without a transfer, the second has the state")
	}
}

// lineages is CS16: all servers have the state of one first server.
func (j *judging) lineages() {
	v := j.v
	known := -1
	var root *reign
	for r := range v.seats {
		s := &v.seats[r]
		if s.own == nil {
			continue
		}
		o := s.reign.origin()
		switch {
		case o == nil:
		case root == nil:
			root, known = o, r
		case o != root:
			j.c.inView("CS16", v, -1, []place{at(known, 0), at(r, 0)},
				"servers with states of different origin")
			return
		}
	}
}

// states is CS17: servers have the same state when they accept a view, and when
// they leave it together.
func (j *judging) states() {
	v := j.v
	server := func(r int) bool {
		s := &v.seats[r]
		return s.own != nil && slices.Contains(v.first.Servers, s.p.id)
	}
	compare := func(when string, ranks []int, state func(s *seat) uint64) {
		ref := -1
		for _, r := range ranks {
			h := state(&v.seats[r])
			if h == 0 || !server(r) {
				continue
			}
			if ref < 0 {
				ref = r
			}
			if h != state(&v.seats[ref]) {
				j.c.inView("CS17", v, -1, []place{at(ref, 0), at(r, 0)},
					"different states %s", when)
				return
			}
		}
	}
	compare("at acceptance", allRanks(len(v.seats)), func(s *seat) uint64 { return s.start })
	for _, g := range j.moved {
		compare("at the end of the view", g.ranks, func(s *seat) uint64 { return s.last })
	}
}

func allRanks(n int) []int {
	l := make([]int, n)
	for i := range l {
		l[i] = i
	}
	return l
}
