package check

import "maestro/stack/trace"

// This file takes the data events of one member: they are entered into the
// member's seat, and what needs no other member is checked at once.

// outside reports whether p has no view to do e in, which is M4.
func (c *Checker) outside(p *proc, e *trace.Event) bool {
	if p.cur == nil {
		c.local("M4", p, e, "%s before the first view", e.Kind)
		return true
	}
	return false
}

func (c *Checker) send(p *proc, e *trace.Event) {
	c.stats.Sent++
	if c.outside(p, e) {
		return
	}
	if e.Msg.Origin != p.id {
		c.local("D1", p, e, "sends a message of %s", e.Msg.Origin)
		return
	}
	if !p.sent.add(e.Msg.N) {
		c.local("D0", p, e, "sent a second time")
		return
	}
	if p.blocks > 0 && c.opts.Sync {
		c.local("B1", p, e, "sent between block and view")
	}
	v, s := p.cur, p.seat()
	i := v.message(p.rank, e)
	if setBits := v.gotBy(i); hasBit(setBits, p.rank) {
		c.local("D1", p, e, "delivered by its sender before it was sent")
	}
	m := &v.msgs[i]
	if m.hash != 0 && e.Hash != 0 && m.hash != e.Hash {
		c.local("D1", p, e, "delivered with another content than sent")
	}
	m.hash, m.kind, m.order, m.safety = e.Hash, e.MsgKind, e.Order, e.Safety
	v.setDest(c, m, e)
	if m.kind == trace.Pt2pt {
		m.pos = int32(len(s.pairs))
		s.pairs = append(s.pairs, i)
	} else {
		m.pos = int32(len(s.sends))
		s.sends = append(s.sends, i)
	}
	s.hist = append(s.hist, uint32(i)<<tagBits|tagSend)
	s.lastSend = e.Time
	if c.opts.ClSv {
		c.released(p, e)
	}
}

func (c *Checker) deliver(p *proc, e *trace.Event) {
	c.stats.Deliveries++
	if c.outside(p, e) {
		return
	}
	v, s := p.cur, p.seat()
	o := c.proc(e.Msg.Origin)
	from := v.rank(o)
	if from < 0 {
		c.stranger(p, o, e)
		return
	}
	i := v.message(from, e)
	m := &v.msgs[i]
	switch {
	case m.hash == 0:
		m.hash = e.Hash
		if m.pos < 0 {
			m.kind, m.order, m.safety = e.MsgKind, e.Order, e.Safety
		}
	case e.Hash != 0 && e.Hash != m.hash:
		c.local("D1", p, e, "content differs from what was sent or others got")
	}
	got := v.gotBy(i)
	if hasBit(got, p.rank) {
		c.local("D2", p, e, "delivered twice")
		return
	}
	setBit(got, p.rank)
	s.hist = append(s.hist, entry(int(i), tagDeliver))
	if from == p.rank && m.pos < 0 && !p.lost {
		c.early(p, e)
	}
	if p.changing != nil {
		c.local("CS20", p, e, "delivery between ChangingView and AcceptedView")
	}
	if c.opts.ClSv {
		c.gate(p, m, e)
	}
	if e.AppState != 0 {
		c.stateAt(p, e)
	}
}

// early reports an own message that p delivers and has not sent in this view.
func (c *Checker) early(p *proc, e *trace.Event) {
	if p.sent.has(e.Msg.N) {
		return // in another view, which is reported when this one is judged
	}
	c.local("D1", p, e, "delivered by its sender before it was sent")
}

// stranger reports the delivery of a message whose sender is not in the view.
func (c *Checker) stranger(p, o *proc, e *trace.Event) {
	c.local("D8", p, e, "its sender is not in the view")
	for _, m := range p.cur.first.Members {
		if m.Name == o.id.Name {
			c.local("M6", p, e, "message of another life of member %s", m)
		}
	}
}

// stable enters the notice that all have a message.
func (c *Checker) stable(p *proc, e *trace.Event) {
	if c.outside(p, e) {
		return
	}
	v := p.cur
	from := v.rank(c.proc(e.Msg.Origin))
	if from < 0 {
		c.stranger(p, c.proc(e.Msg.Origin), e)
		return
	}
	i := v.seats[from].tab.get(e.Msg.N)
	if i < 0 { // not delivered yet, which does not matter here
		x := *e
		i = v.message(from, &x)
	}
	s := p.seat()
	s.hist = append(s.hist, uint32(i)<<tagBits|tagStable)
}

func (c *Checker) block(p *proc, e *trace.Event) {
	if c.outside(p, e) {
		return
	}
	p.blocks++
	p.blockAt = e.Time
	p.cur.blocked = true
	s := p.seat()
	if s.block < 0 {
		s.block = len(s.hist) - 1
	}
	if p.blocks > 1 && c.opts.Sync {
		c.local("B2", p, e, "blocked a second time in one view")
	}
}
