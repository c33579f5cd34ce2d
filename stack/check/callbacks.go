package check

import "maestro/stack/trace"

// proposal takes a ChangingView or ProposeView callback: CS19 and CS20.
func (c *Checker) proposal(p *proc, e *trace.Event) {
	v := e.View
	if v == nil {
		return
	}
	if e.Kind == trace.Changing {
		if p.cur != nil && p.blocks == 0 && len(p.cur.seats) > 1 {
			c.local("CS20", p, e, "ChangingView before Block")
		}
		p.changing = v
		return
	}
	if p.changing == nil || p.changing.ID != v.ID {
		c.local("CS20", p, e, "ProposeView of %s without its ChangingView", v.ID)
	}
	if len(v.Members) == 0 || v.Members[0] != p.id {
		c.local("CS19", p, e, "ProposeView of %s at a member that is not its coordinator", v.ID)
	}
	if e.Count != uint64(len(v.Members)) {
		c.local("CS19", p, e, "ProposeView of %s with %d state messages of %d members", v.ID,
			e.Count, len(v.Members))
	}
	keep := *e
	p.proposed = &keep
}

// callbacksAt checks the acceptance of a view against the callbacks before it.
func (c *Checker) callbacksAt(p *proc, e *trace.Event) {
	v := e.View
	if p.changing != nil && p.changing.ID != v.ID {
		c.local("CS20", p, e, "ChangingView of %s, then AcceptedView of %s", p.changing.ID,
			v.ID)
	}
	if w := p.changing; w != nil && w.ID == v.ID {
		proposed := *w
		proposed.ViewMsg, proposed.Primary = v.ViewMsg, v.Primary // come later
		c.agree(p, e, &proposed)
	}
	if x := p.proposed; x != nil && x.View.ID == v.ID && x.Hash != v.ViewMsg {
		c.local("CS19", p, e, "view message of %s is not what ProposeView returned", v.ID)
	}
	p.changing, p.proposed = nil, nil
}
