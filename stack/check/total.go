package check

import (
	"slices"

	"maestro/stack/trace"
)

// total is O3 and O6 within the groups that have to agree, and O4 and O5 over
// all members where the order is uniform.
func (j *judging) total() {
	c := j.c
	for _, g := range j.ordered {
		j.agreeOrder("O3", g.ranks)
	}
	if !c.opts.Uniform && !c.opts.Safe {
		return
	}
	var everybody []int
	for r := range j.v.seats {
		if len(j.v.seats[r].hist) > 0 {
			everybody = append(everybody, r)
		}
	}
	j.agreeOrder("O4", everybody)
	j.prefixes(everybody)
}

// sequence is what a member delivered in total order.
func (j *judging) sequence(r int) []int32 {
	hist := j.v.seats[r].hist
	seq := make([]int32, 0, len(hist))
	for _, h := range hist {
		i := int32(h >> tagBits)
		if h&tagMask == tagDeliver && j.v.msgs[i].in(trace.OrderTotal) {
			seq = append(seq, i)
		}
	}
	return seq
}

// agreeOrder checks that the orders of the given members fit into one, and that
// this one respects causality.
func (j *judging) agreeOrder(prop string, ranks []int) {
	var seqs [][]int32
	longest := 0
	for k, r := range ranks {
		seqs = append(seqs, j.sequence(r))
		if len(seqs[k]) > len(seqs[longest]) {
			longest = k
		}
	}
	if len(seqs) == 0 {
		return
	}
	order, fast := seqs[longest], true
	for _, s := range seqs {
		fast = fast && slices.Equal(s, order[:len(s)])
	}
	if !fast {
		g := newGraph(len(j.v.msgs))
		for _, s := range seqs {
			g.chain(s)
		}
		var left int32
		if order, left = g.sort(); left >= 0 {
			j.disorder(prop, ranks, seqs, left)
			return
		}
	}
	if prop == "O3" {
		j.causalOrder(ranks, seqs, order)
	}
}

// disorder reports that the members' orders contradict each other. It looks for
// two messages in opposite order at two members; a longer circle is reported
// with the message at which sorting stopped.
func (j *judging) disorder(prop string, ranks []int, seqs [][]int32, left int32) {
	nth := make([]int32, len(j.v.msgs))
	for a := range seqs {
		clear(nth)
		for k, i := range seqs[a] {
			nth[i] = int32(k) + 1
		}
		for b := a + 1; b < len(seqs); b++ {
			last := int32(-1)
			for _, i := range seqs[b] {
				if nth[i] == 0 {
					continue
				}
				if last >= 0 && nth[i] < nth[last] {
					j.c.inView(prop, j.v, i, []place{at(ranks[a], -1), at(ranks[b], -1)},
						"the first delivered it before %s, the second after", j.v.msgID(last))
					return
				}
				last = i
			}
		}
	}
	where := []place{}
	for k, r := range ranks {
		if len(where) < 3 && slices.Contains(seqs[k], left) {
			where = append(where, at(r, -1))
		}
	}
	j.c.inView(prop, j.v, left, where, "the orders of three or more members form a circle")
}

// causalOrder is O6: a message comes after those that its sender had delivered
// or sent before it. Order is a possible common order; if it does not do, the
// question is put to the graph.
func (j *judging) causalOrder(ranks []int, seqs [][]int32, order []int32) {
	v := j.v
	nth := make([]int32, len(v.msgs))
	for k, i := range order {
		nth[i] = int32(k) + 1
	}
	fits := true
	j.eachCause(ranks, func(_ int, a, b int32) {
		fits = fits && (nth[a] == 0 || nth[b] == 0 || nth[a] < nth[b])
	})
	if fits {
		return
	}
	g := newGraph(len(v.msgs))
	for _, s := range seqs {
		g.chain(s)
	}
	j.eachCause(ranks, func(_ int, a, b int32) { g.edge(a, b) })
	if _, left := g.sort(); left >= 0 {
		where := []place{}
		j.eachCause(ranks, func(r int, a, b int32) {
			if len(where) == 0 && nth[a] != 0 && nth[b] != 0 && nth[a] > nth[b] {
				left = b
				where = []place{at(r, -1), at(int(v.msgs[b].from), -1)}
			}
		})
		j.c.inView("O6", v, left, where, "ordered before what its sender knew when sending it")
	}
}

// eachCause calls f for every multicast b of the given members with the message
// a in total order that its sender delivered or sent last before.
func (j *judging) eachCause(ranks []int, f func(r int, a, b int32)) {
	v := j.v
	for _, r := range ranks {
		got, sent := int32(-1), int32(-1)
		for _, h := range v.seats[r].hist {
			i := int32(h >> tagBits)
			if h&tagMask > tagSend || !v.msgs[i].in(trace.OrderTotal) {
				continue
			}
			if h&tagMask == tagDeliver {
				got = i
				continue
			}
			if got >= 0 {
				f(r, got, i)
			}
			if sent >= 0 {
				f(r, sent, i)
			}
			sent = i
		}
	}
}

// prefixes is O5: of two members one delivered the beginning of what the other
// did, as far as messages for all members are concerned.
func (j *judging) prefixes(ranks []int) {
	v := j.v
	var long []int32
	longest := -1
	seqs := make([][]int32, len(ranks))
	for k, r := range ranks {
		seqs[k] = slices.DeleteFunc(j.sequence(r), func(i int32) bool {
			return v.msgs[i].kind != trace.Cast || !j.c.opts.Local
		})
		if longest < 0 || len(seqs[k]) > len(long) {
			long, longest = seqs[k], r
		}
	}
	for k, r := range ranks {
		s := seqs[k]
		if slices.Equal(s, long[:len(s)]) {
			continue
		}
		for x, i := range s {
			if i != long[x] {
				j.c.inView("O5", v, i, []place{at(r, -1), at(longest, -1)},
					"as number %d of the total order, where the other has %s", x+1,
					v.msgID(long[x]))
				break
			}
		}
	}
}
