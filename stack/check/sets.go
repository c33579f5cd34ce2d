package check

import (
	"slices"
	"sort"
)

// numbers is a set of message numbers kept as intervals. Numbers come nearly
// in order, so that adding one mostly extends the last interval.
type numbers struct {
	spans []span
}

// span is the interval from lo to hi, both included.
type span struct{ lo, hi uint64 }

// find is the index of the first span that ends at n or later.
func (s *numbers) find(n uint64) int {
	return sort.Search(len(s.spans), func(i int) bool { return s.spans[i].hi >= n })
}

// has reports whether n is in the set.
func (s *numbers) has(n uint64) bool {
	i := s.find(n)
	return i < len(s.spans) && s.spans[i].lo <= n
}

// add puts n into the set and reports whether it was not there.
func (s *numbers) add(n uint64) bool {
	if k := len(s.spans); k > 0 && n == s.spans[k-1].hi+1 && n != 0 {
		s.spans[k-1].hi = n
		return true
	}
	i := s.find(n)
	if i < len(s.spans) && s.spans[i].lo <= n {
		return false
	}
	left := i > 0 && s.spans[i-1].hi+1 == n
	right := i < len(s.spans) && n+1 == s.spans[i].lo
	switch {
	case left && right:
		s.spans[i-1].hi = s.spans[i].hi
		s.spans = slices.Delete(s.spans, i, i+1)
	case left:
		s.spans[i-1].hi = n
	case right:
		s.spans[i].lo = n
	default:
		s.spans = slices.Insert(s.spans, i, span{n, n})
	}
	return true
}

// table finds a sender's message by its number. Numbers near the first one
// are looked up in an array.
type table struct {
	base   uint64
	dense  []int32 // index of the message plus 1, by number - base
	sparse map[uint64]int32
	count  uint64
}

// get is the index of message n, or -1.
func (t *table) get(n uint64) int32 {
	if off := n - t.base; off < uint64(len(t.dense)) && t.dense[off] > 0 {
		return t.dense[off] - 1
	} // else it may have come before dense had grown that far
	if i, ok := t.sparse[n]; ok {
		return i
	}
	return -1
}

// put stores the index of message n, which is new.
func (t *table) put(n uint64, i int32) {
	if t.count == 0 {
		t.base = n - min(n, 64)
	}
	t.count++
	off := n - t.base
	if off < 2*t.count+1024 {
		for uint64(len(t.dense)) <= off {
			t.dense = append(t.dense, 0)
		}
		t.dense[off] = i + 1
		return
	}
	if t.sparse == nil {
		t.sparse = map[uint64]int32{}
	}
	t.sparse[n] = i
}

// The functions below work on bit sets of ranks, of a fixed number of words.

func hasBit(b []uint64, i int) bool { return b[i>>6]>>(i&63)&1 != 0 }

func setBit(b []uint64, i int) { b[i>>6] |= 1 << (i & 63) }

func clearBit(b []uint64, i int) { b[i>>6] &^= 1 << (i & 63) }

// eachBit calls f with every element until f returns false.
func eachBit(b []uint64, f func(i int) bool) {
	for w, x := range b {
		for i := w << 6; x != 0; i, x = i+1, x>>1 {
			if x&1 != 0 && !f(i) {
				return
			}
		}
	}
}
