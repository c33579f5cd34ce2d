package check

import (
	"fmt"

	"maestro/stack/trace"
	"maestro/wire"
)

// liveness judges the end of the trace against the harness's word that the
// group has been whole since a certain time: L1, L3, L5, L7. It has nothing to say
// if there was a fault later, or if the trace ends before the bound.
func (c *Checker) liveness() {
	if c.heal == nil || c.opts.Bound == 0 || c.fault > c.heal.Time {
		return
	}
	limit := c.heal.Time + int64(c.opts.Bound)
	if c.end < limit {
		return
	}
	var last *view
	whole := true
	for _, m := range c.heal.Dests {
		p := c.proc(m)
		if p.dead() {
			continue
		}
		switch {
		case p.cur == nil || len(p.cur.seats) != len(c.heal.Dests):
			whole = false
			c.lively("L1", p, "its last view is not that of the whole group")
		case last != nil && p.cur != last:
			whole = false
			c.lively("L1", p, "its last view is not that of the others")
		case p.viewTime > limit:
			c.lively("L1", p, "accepts another view %.3f s after healing",
				float64(p.viewTime-c.heal.Time)/1e9)
		}
		if last == nil {
			last = p.cur
		}
		if p.blocks > 0 && c.end > max(p.blockAt, c.heal.Time)+int64(c.opts.Bound) {
			c.lively("L5", p, "blocked for %.3f s", float64(c.end-p.blockAt)/1e9)
		}
		if p.own == nil || p.blocks > 0 {
			continue
		}
		if p.xf.done && p.own.State == trace.ServerXferDone &&
			c.end > max(p.xf.doneTime, c.heal.Time)+int64(c.opts.Bound) {
			c.lively("L7", p, "its transfer is done, and it is no server after %.3f s",
				float64(c.end-p.xf.doneTime)/1e9)
		}
		if n := c.stuck(p, c.heal.Time); n > 0 {
			c.lively("CS9", p, "%d messages submitted, allowed and not sent", n)
		}
	}
	if whole && last != nil {
		c.terminates(last)
	}
}

// terminates is L3 in the last view v: what was sent long enough ago has been
// delivered by all.
func (c *Checker) terminates(v *view) {
	for from := range v.seats {
		s := &v.seats[from]
		if c.end-max(s.lastSend, c.heal.Time) < int64(c.opts.Bound) {
			continue
		}
		for _, list := range [][]int32{s.sends, s.pairs} {
			for _, i := range list {
				c.allHave(v, i)
			}
		}
	}
}

func (c *Checker) allHave(v *view, i int32) {
	m := &v.msgs[i]
	eachBit(v.destOf(m), func(r int) bool {
		o := &v.seats[r]
		self := int(m.from) == r && (!c.opts.Local || m.kind == trace.Pt2pt)
		if hasBit(v.gotBy(i), r) || o.p.dead() || o.own == nil || self {
			return true
		}
		c.inView("L3", v, i, []place{at(int(m.from), -1), at(r, -1)},
			"sent by the first, not delivered by the second, and no view came")
		return false
	})
}

// lively reports that p does not get on.
func (c *Checker) lively(prop string, p *proc, format string, a ...any) {
	x := &Violation{Prop: prop, Text: fmt.Sprintf(format, a...),
		Members: []wire.Endpoint{p.id}}
	if p.cur != nil {
		x.View = p.cur.id()
		x.places = []place{{v: p.cur, rank: p.rank, at: len(p.seat().hist)}}
	}
	c.report(x)
}
