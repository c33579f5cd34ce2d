package check

import "maestro/stack/trace"

// judging is the work of judging one view, with what its parts share.
type judging struct {
	c *Checker
	v *view
	// moved are the groups of ranks that went on to the same next view.
	moved []group
	// ordered are the groups within which a total order must agree.
	ordered []group
	mask    []uint64 // scratch
}

// group is a set of members of a view.
type group struct {
	ranks []int
	set   []uint64
	next  *view
}

// judge checks everything about v that takes more than one member.
func (c *Checker) judge(v *view) {
	j := &judging{c: c, v: v, mask: make([]uint64, v.words)}
	j.findGroups()
	j.transitional()
	j.messages()
	j.selfDelivery()
	j.pairFifo()
	if c.opts.Fifo {
		j.fifo()
	}
	if c.opts.Causal {
		j.causal()
	}
	if c.opts.Total {
		j.total()
	}
	j.stability()
	if c.opts.ClSv {
		j.viewType()
		j.promotions()
		j.lineages()
	}
	if c.opts.StateEqual {
		j.states()
	}
}

// findGroups sorts the members by where they went.
func (j *judging) findGroups() {
	v := j.v
	var stay group
	quiet := !v.blocked
	for r := range v.seats {
		s := &v.seats[r]
		switch {
		case s.own == nil:
		case s.next != nil:
			j.addTo(r, s.next)
			quiet = false
		case !s.p.dead():
			stay.ranks = append(stay.ranks, r)
		}
	}
	j.ordered = j.moved
	if quiet && len(stay.ranks) > 0 { // the last view of a quiet group
		stay.set = make([]uint64, v.words)
		for _, r := range stay.ranks {
			setBit(stay.set, r)
		}
		j.ordered = append(j.ordered[:len(j.ordered):len(j.ordered)], stay)
	}
}

func (j *judging) addTo(r int, next *view) {
	for i := range j.moved {
		if g := &j.moved[i]; g.next == next {
			g.ranks = append(g.ranks, r)
			setBit(g.set, r)
			return
		}
	}
	g := group{ranks: []int{r}, set: make([]uint64, j.v.words), next: next}
	setBit(g.set, r)
	j.moved = append(j.moved, g)
}

// transitional is D6. The groups that came into v are those with one previous
// view.
func (j *judging) transitional() {
	v := j.v
	if !j.c.opts.Sync {
		return
	}
	for r := range v.seats {
		s := &v.seats[r]
		if s.own == nil || len(s.own.Trans) == 0 {
			continue
		}
		in := make([]uint64, v.words)
		for _, t := range s.own.Trans {
			q := j.c.proc(t)
			k := v.rank(q)
			if k < 0 || k != r && (s.prev == nil || s.prev.rank(q) < 0) {
				j.c.inView("D6", v, -1, []place{at(r, 0)},
					"%s is in the transitional set and not in both views", t)
				continue
			}
			setBit(in, k)
		}
		for k := range v.seats {
			o := &v.seats[k]
			if o.own == nil {
				continue
			}
			same := k == r || s.prev != nil && s.prev == o.prev
			if same != hasBit(in, k) {
				j.c.inView("D6", v, -1, []place{at(r, 0), at(k, 0)},
					"transitional set %v has %s: %t; same previous view: %t",
					s.own.Trans, o.p.id, !same, same)
			}
		}
	}
}

// messages checks for each message who has delivered it: D1, D3, D4, D5, D10,
// CS8, CS11.
func (j *judging) messages() {
	c, v := j.c, j.v
	for i := range v.msgs {
		m, got := &v.msgs[i], v.gotBy(int32(i))
		who := first(got)
		if who < 0 {
			continue // nobody has it: agreed, D7 and O1 see to the rest
		}
		o := v.seats[m.from].p
		if !o.delivered.add(m.n) {
			c.inView("D4", v, int32(i), []place{at(who, -1)}, "delivered in two views")
		}
		if m.pos < 0 {
			j.unsent(int32(i), who)
			if m.kind != trace.Cast {
				continue // its destinations are not known
			}
		}
		if dest := v.destOf(m); m.dest >= 0 {
			for w := range dest {
				if got[w]&^dest[w] != 0 {
					j.wrongDest(int32(i), dest)
					break
				}
			}
		}
		if c.opts.ClSv && m.safety.Level() < trace.Safety(v.first.ViewType) {
			c.inView("CS8", v, int32(i), []place{at(who, -1)},
				"%s message delivered in a %s view", m.safety.Level(), v.first.ViewType)
		}
		if c.opts.Sync && m.kind != trace.Pt2pt {
			j.agreeOn(int32(i))
		}
	}
}

// first is the lowest element of a bit set, or -1.
func first(b []uint64) int {
	r := -1
	eachBit(b, func(i int) bool { r = i; return false })
	return r
}

// unsent reports a message that was delivered here and not sent here.
func (j *judging) unsent(i int32, who int) {
	c, v := j.c, j.v
	m := &v.msgs[i]
	o := v.seats[m.from].p
	switch {
	case o.sent.has(m.n):
		if c.opts.Sync {
			c.inView("D3", v, i, []place{at(who, -1), at(int(m.from), -1)},
				"delivered in a view in which it was not sent")
		}
	case !c.opts.Online && (o.lost || !o.seen):
		// The record of its sending is missing.
	default:
		c.inView("D1", v, i, []place{at(who, -1), at(int(m.from), -1)},
			"delivered and never sent")
	}
}

// wrongDest is D10 and, where roles make the destinations, CS11.
func (j *judging) wrongDest(i int32, dest []uint64) {
	v := j.v
	prop := "D10"
	if j.c.opts.ClSv && (v.msgs[i].kind == trace.Scast || v.msgs[i].kind == trace.Lsend) {
		prop = "CS11"
	}
	eachBit(v.gotBy(i), func(r int) bool {
		if hasBit(dest, r) {
			return true
		}
		j.c.inView(prop, v, i, []place{at(r, -1)}, "%s delivered to a member it is not for",
			v.msgs[i].kind)
		return false
	})
}

// forSelf reports whether member r need not deliver message m because it is
// its own and self-delivery is off.
func (j *judging) forSelf(m *msg, r int) bool { return !j.c.opts.Local && int(m.from) == r }

// agreeOn is D5 for message i: of those who moved on together, all for whom it
// is have it, or none.
func (j *judging) agreeOn(i int32) {
	v := j.v
	m, got := &v.msgs[i], v.gotBy(i)
	dest := v.destOf(m)
	for _, g := range j.moved {
		some := false
		for w := range got {
			j.mask[w] = g.set[w] & dest[w]
		}
		if j.forSelf(m, int(m.from)) {
			clearBit(j.mask, int(m.from))
		}
		lack := false
		for w := range got {
			some = some || got[w]&j.mask[w] != 0
			lack = lack || j.mask[w]&^got[w] != 0
		}
		if !some || !lack {
			continue
		}
		has, not := -1, -1
		eachBit(j.mask, func(r int) bool {
			if hasBit(got, r) {
				has = r
			} else {
				not = r
			}
			return has < 0 || not < 0
		})
		j.c.inView("D5", v, i, []place{at(has, -1), at(not, -1)},
			"the first delivered it, the second did not, both went on to view %s", g.next.id())
	}
}

// selfDelivery is D7.
func (j *judging) selfDelivery() {
	if !j.c.opts.Local {
		return
	}
	v := j.v
	for r := range v.seats {
		s := &v.seats[r]
		if s.next == nil {
			continue
		}
		for _, i := range s.sends {
			if hasBit(v.destOf(&v.msgs[i]), r) && !hasBit(v.gotBy(i), r) {
				j.c.inView("D7", v, i, []place{at(r, -1)}, "not delivered by its sender")
			}
		}
	}
}
