package check

import (
	"slices"
	"strconv"

	"maestro/wire"
)

// This file decides when a view can be judged before the end: when none of its
// members will do anything in it any more.

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// expect counts the members that may still act in the new view v.
func (c *Checker) expect(v *view) {
	if !c.opts.Online {
		return
	}
	for i := range v.seats {
		s := &v.seats[i]
		p := s.p
		s.settled = p.exited || p.crashed || p.lost ||
			p.cur != nil && p.cur.id().Compare(v.id()) >= 0
		if !s.settled {
			v.waiting++
		}
	}
}

// settleBefore settles p in all open views before id.
func (c *Checker) settleBefore(p *proc, id wire.ViewID) {
	c.settleIf(p, func(v *view) bool { return v.id().Compare(id) < 0 })
}

// leaves settles p everywhere: it is gone.
func (c *Checker) leaves(p *proc) {
	c.settleIf(p, func(*view) bool { return true })
}

func (c *Checker) settleIf(p *proc, in func(*view) bool) {
	if !c.opts.Online {
		return
	}
	closed := false
	for _, v := range c.order {
		r := v.rank(p)
		if r < 0 || v.seats[r].settled || !in(v) {
			continue
		}
		v.seats[r].settled = true
		v.waiting--
		closed = closed || v.waiting == 0
	}
	if !closed {
		return
	}
	for _, v := range c.order {
		if v.waiting == 0 {
			c.judge(v)
			c.forget(v)
		}
	}
	c.order = slices.DeleteFunc(c.order, func(v *view) bool { return v.waiting == 0 })
}

// forget frees what v holds; its identity stays for those who came from it.
func (c *Checker) forget(v *view) {
	for _, x := range c.found {
		x.settle(v)
	}
	delete(c.views, v.id())
	// A crashed member may still have it as its current view: an event of it
	// is refused as coming after its end, so nobody looks into seats again.
	for i := range v.seats {
		s := &v.seats[i]
		v.seats[i] = seat{p: s.p, own: s.own, block: -1, settled: true}
	}
	v.msgs, v.got, v.dests = nil, nil, nil
}
