package check

import (
	"maps"
	"slices"

	"maestro/stack/trace"
	"maestro/wire"
)

// accept takes the acceptance of a view: p leaves its current view and sits
// down in the new one.
func (c *Checker) accept(p *proc, e *trace.Event) {
	tv := e.View
	c.stats.Views++
	rank := slices.Index(tv.Members, p.id)
	if rank < 0 {
		c.local("M1", p, e, "accepts view %s without itself", tv.ID)
		return
	}
	if p.cur != nil && tv.ID.Compare(p.cur.id()) <= 0 {
		c.local("M2", p, e, "accepts view %s after %s", tv.ID, p.cur.id())
		if tv.ID == p.cur.id() {
			return
		}
	}
	c.blocksBefore(p, e)
	v, known := c.views[tv.ID]
	if !known {
		v = c.newView(tv)
		c.views[tv.ID] = v
		c.order = append(c.order, v)
		c.expect(v)
	} else if !c.agree(p, e, v.first) {
		if rank = v.rank(p); rank < 0 {
			return
		}
	}
	c.checkRemoved(p, v, e)
	if c.opts.Primary && tv.Primary > 0 {
		c.primary(p, e)
	}
	old, prev := p.cur, p.own
	s := &v.seats[rank]
	s.own, s.prev = tv, old
	if old != nil {
		p.seat().next = v
	}
	if tv.ClSv && c.opts.ClSv {
		c.roles(p, e, prev, v, rank)
		c.delayedAt(p, e)
	}
	p.cur, p.rank, p.own = v, rank, tv
	p.accepted++
	p.viewTime = e.Time
	p.blocks = 0
	s.start, s.last = e.AppState, e.AppState
	c.callbacksAt(p, e)
	c.settleBefore(p, tv.ID)
}

// agree is M3 and CS2: what two members see of one view is the same.
func (c *Checker) agree(p *proc, e *trace.Event, w *trace.View) bool {
	v := e.View
	same := slices.Equal(v.Members, w.Members)
	switch {
	case !same:
		c.local("M3", p, e, "members of view %s: %v, others have %v", v.ID, v.Members, w.Members)
	case v.Primary != w.Primary:
		c.local("M3", p, e, "view %s has primary number %d, elsewhere %d", v.ID, v.Primary,
			w.Primary)
	case v.ViewMsg != w.ViewMsg:
		c.local("M3", p, e, "view message of %s differs", v.ID)
		if c.opts.ClSv {
			c.local("CS19", p, e, "view message of %s differs", v.ID)
		}
	}
	if !c.opts.ClSv {
		return same
	}
	if !slices.Equal(v.Servers, w.Servers) || !slices.Equal(v.XferServers, w.XferServers) ||
		!slices.Equal(v.Clients, w.Clients) || v.ViewType != w.ViewType ||
		v.ServerCoord != w.ServerCoord || v.SourcesLost != w.SourcesLost ||
		v.Lineage != w.Lineage {
		c.local("CS2", p, e, "roles in view %s: S=%v T=%v C=%v type %s, others have "+
			"S=%v T=%v C=%v type %s", v.ID, v.Servers, v.XferServers, v.Clients, v.ViewType,
			w.Servers, w.XferServers, w.Clients, w.ViewType)
	}
	return same
}

// blocksBefore is B2. The client/server layer blocks a member that is alone too.
func (c *Checker) blocksBefore(p *proc, e *trace.Event) {
	if c.opts.Sync && p.cur != nil && p.blocks == 0 && (len(p.cur.seats) > 1 || c.opts.ClSv) {
		c.local("B2", p, e, "view %s without a block before it", e.View.ID)
	}
}

// checkRemoved is M6: once a life of a member has been removed and a later one
// has come, the earlier one stays away.
func (c *Checker) checkRemoved(p *proc, v *view, e *trace.Event) {
	if v.twins {
		for _, m := range v.first.Members {
			later := slices.ContainsFunc(v.first.Members, func(x wire.Endpoint) bool {
				return x.Name == m.Name && x.Incarnation > m.Incarnation
			})
			if later && p.gone[c.proc(m).idx] {
				c.local("M6", p, e, "view %s has %s again, beside its later life", v.id(), m)
			}
		}
	}
	if p.cur == nil {
		return
	}
	for i := range p.cur.seats {
		q := p.cur.seats[i].p
		if v.rank(q) >= 0 {
			continue
		}
		if p.gone == nil {
			p.gone = map[int32]bool{}
		}
		p.gone[q.idx] = true
	}
}

// primary is what is known of one primary view.
type primary struct {
	view    *trace.View
	by      *proc
	chained bool // somebody came to it from the one before
}

// primary enters a primary view and checks that its number is its own.
func (c *Checker) primary(p *proc, e *trace.Event) {
	n := e.View.Primary
	r, ok := c.prim[n]
	if !ok {
		r = &primary{view: e.View, by: p}
		c.prim[n] = r
	}
	if r.view.ID != e.View.ID {
		c.local("M5", p, e, "views %s and %s are both primary number %d", r.view.ID,
			e.View.ID, n)
	}
	r.chained = r.chained || p.prim+1 == n
	p.prim = n
}

// finishPrimaries is the rest of M5: each primary view continues the one
// before.
func (c *Checker) finishPrimaries() {
	for _, n := range slices.Sorted(maps.Keys(c.prim)) {
		r := c.prim[n]
		before, ok := c.prim[n-1]
		why := ""
		switch {
		case n == 1:
		case !r.chained:
			why = "nobody accepted it who had accepted the one before"
		case ok && !slices.ContainsFunc(r.view.Members, func(x wire.Endpoint) bool {
			return slices.Contains(before.view.Members, x)
		}):
			why = "no member in common with the one before"
		}
		if why != "" {
			c.report(&Violation{
				Prop: "M5", Text: "primary number " + utoa(n) + ": " + why,
				Members: []wire.Endpoint{r.by.id}, View: r.view.ID,
			})
		}
	}
}
