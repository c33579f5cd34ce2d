package check

import (
	"slices"

	"maestro/stack/trace"
	"maestro/wire"
)

// xferState is what a member's transfers have come to.
type xferState struct {
	started   bool // startXfer was set at some time
	done      bool // XferDone since the last start
	late      bool // state received after XferDone
	doneTime  int64
	current   uint64 // highest transfer number seen at this member
	source    *xferMsg
	reign     *reign
	wasServer bool
}

// xferKey tells state messages apart.
type xferKey struct {
	from, to *proc
	id, hash uint64
}

// xferMsg counts equal state messages.
type xferMsg struct {
	sent, got int
	reign     *reign // of the sender
	first     trace.Event
}

// transfer takes the events of state transfers: CS12, CS13, CS14.
func (c *Checker) transfer(p *proc, e *trace.Event) {
	if !c.opts.ClSv || c.outside(p, e) {
		return
	}
	v := p.cur.first
	peer := e.Peer
	switch e.Kind {
	case trace.Ask:
		c.rightRoles("CS12", p, e, v, p.id, peer)
		p.xf.current = max(p.xf.current, e.XferID)
	case trace.AskCb:
		c.rightRoles("CS12", p, e, v, peer, p.id)
		return
	case trace.SendState:
		c.rightRoles("CS13", p, e, v, peer, p.id)
		x := c.xferMsg(p, c.proc(peer), e)
		x.sent++
		x.reign = p.xf.reign
		return
	case trace.RcvState:
		c.receive(p, e)
	case trace.XferDone:
		p.xf.done, p.xf.doneTime = true, e.Time
	}
	if p.started && p.role == trace.Client {
		c.local("CS14", p, e, "%s at a client", e.Kind)
	}
}

// rightRoles checks that one transfers and the other is a server in view v.
func (c *Checker) rightRoles(prop string, p *proc, e *trace.Event, v *trace.View,
	xfer, server wire.Endpoint) {
	if !slices.Contains(v.XferServers, xfer) {
		c.local(prop, p, e, "%s: %s is not transferring", e.Kind, xfer)
	}
	if !slices.Contains(v.Servers, server) {
		c.local(prop, p, e, "%s: %s is not a server", e.Kind, server)
	}
}

func (c *Checker) xferMsg(from, to *proc, e *trace.Event) *xferMsg {
	k := xferKey{from, to, e.XferID, e.Hash}
	x := c.xfers[k]
	if x == nil {
		x = &xferMsg{}
		c.xfers[k] = x
	}
	return x
}

// receive takes a state message at p.
func (c *Checker) receive(p *proc, e *trace.Event) {
	if !slices.Contains(p.cur.first.XferServers, p.id) {
		c.local("CS13", p, e, "state received by a member that is not transferring")
	}
	if p.xf.done {
		p.xf.late = true
		c.local("CS13", p, e, "state received after XferDone")
	}
	if e.XferID != 0 && e.XferID < p.xf.current {
		c.local("CS13", p, e, "state of transfer %d received in transfer %d", e.XferID,
			p.xf.current)
	}
	x := c.xferMsg(c.proc(e.Peer), p, e)
	x.got++
	x.first = e.Clone()
	p.xf.source = x
	if x.got > x.sent && c.opts.Online {
		c.local("CS13", p, e, "state received that was not sent")
		x.got = x.sent
	}
	if c.opts.Online && x.got == x.sent {
		delete(c.xfers, xferKey{c.proc(e.Peer), p, e.XferID, e.Hash})
	}
}

// finishTransfers matches what was received with what was sent.
func (c *Checker) finishTransfers() {
	var bad []*Violation
	for k, x := range c.xfers {
		if x.got <= x.sent || !c.opts.ClSv || k.from.lost || !k.from.seen {
			continue
		}
		bad = append(bad, &Violation{
			Prop: "CS13", Text: "state received that was not sent",
			Members: []wire.Endpoint{k.to.id, k.from.id}, Time: x.first.Time,
		})
	}
	slices.SortFunc(bad, func(a, b *Violation) int { return int(a.Time - b.Time) })
	for _, x := range bad {
		c.report(x)
	}
}

// stateAt takes the application's state after a delivery: CS18.
func (c *Checker) stateAt(p *proc, e *trace.Event) {
	s := p.seat()
	v := p.cur.first
	if c.opts.StateEqual && v.ViewType == trace.AtomicXfer && s.last != 0 &&
		s.last != e.AppState && slices.Contains(v.Servers, p.id) {
		c.local("CS18", p, e, "state of a normal server changes in an atomic view")
	}
	s.last = e.AppState
}
