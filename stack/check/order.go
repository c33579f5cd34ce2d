package check

import "maestro/stack/trace"

// This file has the orders that are between a sender and a receiver, and the
// causal one.

// in reports whether m takes part in order class o.
func (m *msg) in(o trace.Order) bool {
	return m.kind != trace.Pt2pt && (m.order == trace.OrderStack || m.order >= o)
}

// carries reports whether what happened before m counts at its receivers.
// Point-to-point messages carry it only where they are said to.
func (m *msg) carries() bool {
	return m.in(trace.OrderCausal) || m.kind == trace.Pt2pt && m.order >= trace.OrderCausal
}

// fifo is O1: what a member delivers of a sender is, without gaps, the
// beginning of what that sender sent to it.
func (j *judging) fifo() {
	v := j.v
	done := make([]int32, len(v.seats)) // by sender: its sends looked at
	for r := range v.seats {
		clear(done)
		for k, h := range v.seats[r].hist {
			if h&tagMask != tagDeliver {
				continue
			}
			i := int32(h >> tagBits)
			m := &v.msgs[i]
			if m.pos < 0 || !m.in(trace.OrderFifo) || m.pos < done[m.from] {
				continue
			}
			for ; done[m.from] < m.pos; done[m.from]++ {
				x := v.seats[m.from].sends[done[m.from]]
				y := &v.msgs[x]
				if !y.in(trace.OrderFifo) || !hasBit(v.destOf(y), r) || j.forSelf(y, r) {
					continue
				}
				j.c.inView("O1", v, x, []place{at(r, k), at(int(m.from), -1)},
					"not delivered before %s of the same sender", v.msgID(i))
			}
			done[m.from] = m.pos + 1
		}
	}
}

// pairFifo is O1p, the same for the point-to-point messages of each pair.
func (j *judging) pairFifo() {
	v := j.v
	if !j.c.opts.Fifo {
		return
	}
	n := len(v.seats)
	for from := range n {
		pairs := v.seats[from].pairs
		if len(pairs) == 0 {
			continue
		}
		place := make(map[int32]int32, len(pairs)) // message to number within its pair
		lists := make([][]int32, n)
		for _, i := range pairs {
			eachBit(v.destOf(&v.msgs[i]), func(r int) bool {
				place[i] = int32(len(lists[r]))
				lists[r] = append(lists[r], i)
				return false
			})
		}
		for r := range n {
			j.pair(from, r, lists[r], place)
		}
	}
}

func (j *judging) pair(from, r int, list []int32, number map[int32]int32) {
	v := j.v
	if len(list) == 0 {
		return
	}
	done := int32(0)
	for k, h := range v.seats[r].hist {
		i := int32(h >> tagBits)
		if h&tagMask != tagDeliver || v.msgs[i].kind != trace.Pt2pt ||
			int(v.msgs[i].from) != from || !hasBit(v.destOf(&v.msgs[i]), r) {
			continue
		}
		n, ok := number[i]
		if !ok || n < done {
			continue
		}
		if n > done {
			j.c.inView("O1p", v, list[done], []place{at(r, k), at(from, -1)},
				"not delivered before %s of the same sender", v.msgID(i))
		}
		done = n + 1
	}
}

// causal is O2: a member that delivers a message has delivered everything that
// happened before its sending and is for that member. Every sending carries a
// vector: of each member, how many of its sends happened before.
func (j *judging) causal() {
	v := j.v
	n := len(v.seats)
	vecs := j.vectors()
	seen := make([]uint64, (len(v.msgs)+63)/64) // delivered so far by this member
	done := make([]int32, n)
	for r := range v.seats {
		clear(seen)
		clear(done)
		for k, h := range v.seats[r].hist {
			i := int32(h >> tagBits)
			if h&tagMask != tagDeliver {
				continue
			}
			m := &v.msgs[i]
			setBit(seen, int(i))
			if m.pos < 0 || !m.carries() || vecs[i] == nil {
				continue
			}
			for o, upTo := range vecs[i] {
				for ; done[o] < upTo; done[o]++ {
					x := v.seats[o].sends[done[o]]
					j.before(x, i, r, k, seen)
				}
			}
		}
	}
}

// before reports x, which happened before i and is not in what r has seen.
func (j *judging) before(x, i int32, r, k int, seen []uint64) {
	v := j.v
	y := &v.msgs[x]
	if hasBit(seen, int(x)) || !y.in(trace.OrderCausal) || !hasBit(v.destOf(y), r) ||
		int(y.from) == r {
		return
	}
	j.c.inView("O2", v, x, []place{at(r, k), at(int(y.from), -1)},
		"not delivered before %s, which it happened before", v.msgID(i))
}

// vectors gives every multicast the vector of what happened before it. The
// histories are gone through together: one that delivers a message waits until
// its sending has been gone through. What never gets on is a message delivered
// before it was sent.
func (j *judging) vectors() [][]int32 {
	v := j.v
	n := len(v.seats)
	vecs := make([][]int32, len(v.msgs))
	clock := make([][]int32, n)
	next := make([]int, n)
	for r := range clock {
		clock[r] = make([]int32, n)
	}
	pool := make([]int32, n*len(v.msgs))
	for moved := true; moved; {
		moved = false
		for r := range v.seats {
			hist := v.seats[r].hist
			for ; next[r] < len(hist); next[r]++ {
				i := int32(hist[next[r]] >> tagBits)
				tag := hist[next[r]] & tagMask
				if tag > tagSend {
					continue
				}
				m := &v.msgs[i]
				if tag == tagDeliver && m.pos >= 0 && m.carries() {
					if vecs[i] == nil {
						break // comes later
					}
					for o, x := range vecs[i] {
						clock[r][o] = max(clock[r][o], x)
					}
					if m.kind != trace.Pt2pt {
						clock[r][m.from] = max(clock[r][m.from], m.pos+1)
					}
				}
				if tag == tagSend {
					vecs[i], pool = pool[:n:n], pool[n:]
					copy(vecs[i], clock[r])
					if m.kind != trace.Pt2pt {
						clock[r][r] = m.pos + 1
					}
				}
				moved = true
			}
		}
	}
	return vecs
}
