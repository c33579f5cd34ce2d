package check

import (
	"slices"

	"maestro/stack/trace"
	"maestro/wire"
)

// roles checks the client/server fields of a view that p accepts, against each
// other and against the view that p accepted before: CS1, CS3, CS4, CS6, CS7,
// CS14. Prev is nil if there was none.
func (c *Checker) roles(p *proc, e *trace.Event, prev *trace.View, v *view, rank int) {
	tv := e.View
	c.partition(p, e)
	if prev == nil {
		prev = &trace.View{ServerRank: -1, State: trace.Joining}
	}
	c.changes(p, e, prev)
	c.coordinators(p, e, prev)
	c.stateStep(p, e, prev)
	c.startXfer(p, e, prev)
	c.promoted(p, tv, prev, v, rank)
}

// partition is CS1, and the part of CS5 that needs no transfer types.
func (c *Checker) partition(p *proc, e *trace.Event) {
	v := e.View
	role := map[wire.Endpoint]int{}
	for _, l := range [][]wire.Endpoint{v.Servers, v.XferServers, v.Clients} {
		for _, m := range l {
			role[m]++
			if role[m] > 1 || !slices.Contains(v.Members, m) {
				c.local("CS1", p, e, "%s has two roles in view %s, or is not in it", m, v.ID)
			}
		}
	}
	if len(role) < len(v.Members) {
		c.local("CS1", p, e, "view %s has members without a role", v.ID)
	}
	for _, l := range [][]wire.Endpoint{v.Servers, v.XferServers, v.Clients} {
		if !slices.IsSortedFunc(l, func(a, b wire.Endpoint) int {
			return slices.Index(v.Members, a) - slices.Index(v.Members, b)
		}) {
			c.local("CS4", p, e, "list %v of view %s is not in rank order", l, v.ID)
		}
	}
	if (len(v.XferServers) == 0) != (v.ViewType == trace.NoXfer) {
		c.local("CS5", p, e, "view %s has type %s and transferring servers %v", v.ID,
			v.ViewType, v.XferServers)
	}
}

// changes is the part of CS3 about lists.
func (c *Checker) changes(p *proc, e *trace.Event, prev *trace.View) {
	v := e.View
	for _, x := range []struct {
		what     string
		ch       trace.Change
		old, now []wire.Endpoint
	}{
		{"members", v.MemberChange, prev.Members, v.Members},
		{"servers", v.ServerChange, prev.Servers, v.Servers},
		{"transferring servers", v.XferChange, prev.XferServers, v.XferServers},
		{"clients", v.ClientChange, prev.Clients, v.Clients},
	} {
		if !sameSet(x.ch.New, without(x.now, x.old)) {
			c.local("CS3", p, e, "new %s %v, previous view had %v, this one has %v", x.what,
				x.ch.New, x.old, x.now)
		}
		if !sameSet(x.ch.Departed, without(x.old, x.now)) {
			c.local("CS3", p, e, "departed %s %v, previous view had %v, this one has %v",
				x.what, x.ch.Departed, x.old, x.now)
		}
	}
}

// without is the elements of a that are not in b.
func without(a, b []wire.Endpoint) []wire.Endpoint {
	var l []wire.Endpoint
	for _, m := range a {
		if !slices.Contains(b, m) {
			l = append(l, m)
		}
	}
	return l
}

func sameSet(a, b []wire.Endpoint) bool {
	return len(a) == len(b) && len(without(a, b)) == 0 && len(without(b, a)) == 0
}

// coordinators is CS4 and the rest of CS3.
func (c *Checker) coordinators(p *proc, e *trace.Event, prev *trace.View) {
	v := e.View
	var byRank []wire.Endpoint
	for _, m := range v.Members {
		if slices.Contains(v.Servers, m) {
			byRank = append(byRank, m)
		}
	}
	var want wire.Endpoint
	if len(byRank) > 0 {
		want = byRank[0]
	}
	if v.ServerCoord != want {
		c.local("CS4", p, e, "server coordinator %s, the server of lowest rank is %s",
			v.ServerCoord, want)
	}
	if k := slices.Index(byRank, p.id); v.ServerRank != k {
		c.local("CS4", p, e, "server rank %d, it is number %d of the servers", v.ServerRank, k)
	}
	if v.OldServerCoord != prev.ServerCoord {
		c.local("CS3", p, e, "old server coordinator %s, that of the previous view was %s",
			v.OldServerCoord, prev.ServerCoord)
	}
	if v.OldServerRank != prev.ServerRank {
		c.local("CS3", p, e, "old server rank %d, that in the previous view was %d",
			v.OldServerRank, prev.ServerRank)
	}
}

// mayFollow reports whether a member in state a may be in state b in the view
// that it accepts next.
func mayFollow(a, b trace.State) bool {
	const (
		client   = 1 << trace.ClientNormal
		becoming = 1 << trace.BecomingServer
		xfer     = 1 << trace.ServerXfer
		done     = 1 << trace.ServerXferDone
		normal   = 1 << trace.ServerNormal
	)
	var to int
	switch a {
	case trace.Joining:
		to = client | becoming | xfer | done | normal
	case trace.ClientNormal:
		to = client
	case trace.BecomingServer:
		to = becoming | xfer | done | normal
	case trace.ServerXfer:
		to = xfer | done | normal | becoming
	case trace.ServerXferDone:
		to = done | normal | becoming | xfer
	case trace.ServerNormal:
		to = normal | becoming | xfer
	}
	return to>>b&1 != 0
}

// stateStep is CS6.
func (c *Checker) stateStep(p *proc, e *trace.Event, prev *trace.View) {
	v := e.View
	if v.OldState != prev.State {
		c.local("CS6", p, e, "old state %s, the state in the previous view was %s", v.OldState,
			prev.State)
	}
	if !mayFollow(prev.State, v.State) {
		c.local("CS6", p, e, "from state %s to %s", prev.State, v.State)
	}
	list := v.Clients
	switch v.State {
	case trace.ServerXfer, trace.ServerXferDone:
		list = v.XferServers
	case trace.ServerNormal:
		list = v.Servers
	}
	if !slices.Contains(list, p.id) {
		c.local("CS6", p, e, "state %s and not in that list of view %s", v.State, v.ID)
	}
	if p.started && (v.State == trace.ClientNormal) != (p.role == trace.Client) {
		c.local("CS6", p, e, "state %s of a member made as %s", v.State, p.role)
	}
}

// startXfer is CS7. A transfer starts when the state becomes ServerXfer. One
// that is under way starts again only if no source of p has come along with it:
// their state is lost, or another side of a merge won. A source that went a way
// of its own does not count, even if it is a server in the end.
func (c *Checker) startXfer(p *proc, e *trace.Event, prev *trace.View) {
	v := e.View
	enters := v.State == trace.ServerXfer && prev.State != trace.ServerXfer
	again := v.State == trace.ServerXfer && !keepsSource(prev, v)
	switch {
	case enters && !v.StartXfer:
		c.local("CS7", p, e, "enters state xfer and startXfer is not set")
	case v.StartXfer && !enters && !again:
		c.local("CS7", p, e, "startXfer is set in state %s after %s", v.State, prev.State)
	}
	if v.StartXfer && p.started && p.role == trace.Client {
		c.local("CS14", p, e, "startXfer is set at a client")
	}
}

// keepsSource reports whether a server of prev has come to v together with the
// member whose views these are, and is a server still. Where it is not recorded
// who came together, perhaps none has.
func keepsSource(prev, v *trace.View) bool {
	return slices.ContainsFunc(prev.Servers, func(s wire.Endpoint) bool {
		return slices.Contains(v.Servers, s) && slices.Contains(v.Trans, s)
	})
}

// viewType is the rest of CS5: the type is the strictest of those who transfer.
func (j *judging) viewType() {
	tv := j.v.first
	if !tv.ClSv || len(tv.XferServers) == 0 {
		return
	}
	strictest := trace.NoXfer
	for _, m := range tv.XferServers {
		p := j.c.proc(m)
		if !p.started {
			return // its type is not known
		}
		strictest = max(strictest, p.xfer)
	}
	if tv.ViewType < strictest || tv.ViewType > strictest && !j.c.opts.StickyType {
		j.c.inView("CS5", j.v, -1, nil, "type %s, the strictest transfer is %s", tv.ViewType,
			strictest)
	}
}
