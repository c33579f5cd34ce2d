package sim

import "maestro/stack"

// what says what an event does.
type what uint8

const (
	call   what = iota // run fn
	wake               // give a member a turn
	arrive             // the first bit of a datagram reaches a host
	queued             // a datagram has been received whole
)

// event is something that happens at a time.
type event struct {
	at     stack.Time
	host   *host
	member *Member
	flight *flight
	fn     func()
	off    int32 // the part of flight's bytes that this event is about
	end    int32
	what   what
}

// key is an event's place in the heap: its time, and to break ties its number
// in the order of insertion.
type key struct {
	at   stack.Time
	seq  uint64
	slot int32
}

func (k *key) before(o *key) bool {
	return k.at < o.at || k.at == o.at && k.seq < o.seq
}

// agenda is a 4-ary heap of events. What an event does lies apart from the
// heap, so that little is moved.
type agenda struct {
	heap  []key
	slots []event
	free  []int32
	seq   uint64
}

func (a *agenda) push(e event) {
	a.seq++
	k := key{e.at, a.seq, int32(len(a.slots))}
	if n := len(a.free); n > 0 {
		k.slot = a.free[n-1]
		a.free = a.free[:n-1]
		a.slots[k.slot] = e
	} else {
		a.slots = append(a.slots, e)
	}
	a.heap = append(a.heap, k)
	i := len(a.heap) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !k.before(&a.heap[up]) {
			break
		}
		a.heap[i] = a.heap[up]
		i = up
	}
	a.heap[i] = k
}

// empty reports whether nothing will happen any more.
func (a *agenda) empty() bool { return len(a.heap) == 0 }

// next is the time of the earliest event.
func (a *agenda) next() stack.Time {
	if len(a.heap) == 0 {
		return stack.Never
	}
	return a.heap[0].at
}

// pop removes the earliest event; there must be one.
func (a *agenda) pop() event {
	slot := a.heap[0].slot
	n := len(a.heap) - 1
	last := a.heap[n]
	a.heap = a.heap[:n]
	if n > 0 {
		a.sink(last)
	}
	e := a.slots[slot]
	a.slots[slot] = event{}
	a.free = append(a.free, slot)
	return e
}

// sink puts k where the root was, and lower.
func (a *agenda) sink(k key) {
	i, n := 0, len(a.heap)
	for {
		least := 4*i + 1
		if least >= n {
			break
		}
		for c := least + 1; c < min(4*i+5, n); c++ {
			if a.heap[c].before(&a.heap[least]) {
				least = c
			}
		}
		if !a.heap[least].before(&k) {
			break
		}
		a.heap[i] = a.heap[least]
		i = least
	}
	a.heap[i] = k
}
