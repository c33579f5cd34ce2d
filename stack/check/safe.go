package check

import "maestro/stack/trace"

// stability is S1. A notice that a message is stable, or a safe delivery, says
// that all for whom it is have it: everybody in the view, or, once the member
// had blocked, those who went on with it. Members that ended are excused.
func (j *judging) stability() {
	v := j.v
	for r := range v.seats {
		s := &v.seats[r]
		for k, h := range s.hist {
			i := int32(h >> tagBits)
			switch h & tagMask {
			case tagStable:
			case tagDeliver:
				m := &v.msgs[i]
				if m.kind == trace.Pt2pt || m.order != trace.OrderSafe &&
					(!j.c.opts.Safe || m.order != trace.OrderStack) {
					continue
				}
			default:
				continue
			}
			j.safe(i, r, k)
		}
	}
}

// safe checks that all have message i, which member r holds for safe at k.
func (j *judging) safe(i int32, r, k int) {
	v := j.v
	m, s := &v.msgs[i], &v.seats[r]
	if m.pos < 0 {
		return // its destinations are not known
	}
	got, dest := v.gotBy(i), v.destOf(m)
	missing := false
	for w := range got {
		missing = missing || dest[w]&^got[w] != 0
	}
	if !missing {
		return
	}
	regular := s.block < 0 || k < s.block
	eachBit(dest, func(q int) bool {
		o := &v.seats[q]
		if hasBit(got, q) || j.forSelf(m, q) {
			return true
		}
		// Who is still in the view may have it without having delivered it,
		// and who never accepted the view delivers nothing in it.
		if o.next == nil || !regular && (s.next == nil || o.next != s.next) {
			return true
		}
		j.c.inView("S1", v, i, []place{at(r, k), at(q, -1)},
			"safe at the first, and the second left the view without it")
		return false
	})
}
