package clsv

import (
	"container/heap"
	"time"

	"maestro/stack"
)

// After has f run as a callback when d has passed, like Post. Stop prevents that
// unless it is due already, and may be called more than once. Errors:
// ErrNotJoined, ErrClosed.
func (m *GroupMember) After(d time.Duration, f func()) (stop func(), err error) {
	t := &timer{f: f}
	err = m.try("after", func(c *core) error {
		if !c.started || c.leaving || c.over {
			return ErrNotJoined
		}
		now := c.group.Now()
		t.at = now.Add(min(max(d, 0), stack.Never.Sub(now))) // not beyond the end of time
		heap.Push(&c.timers, t)
		return nil
	})
	return func() {
		_ = m.try("stop", func(c *core) error { c.timers.remove(t); return nil })
	}, err
}

// timer is a callback of the application's own that is due at a time.
type timer struct {
	at   stack.Time
	f    func()
	heap int // its place
}

// timers is a heap, the next one first.
type timers []*timer

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].at < h[j].at }

func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heap, h[j].heap = i, j
}

func (h *timers) Push(x any) {
	t := x.(*timer)
	t.heap = len(*h)
	*h = append(*h, t)
}

func (h *timers) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return t
}

// remove stops a timer, if it is there: it may be of an earlier life.
func (h *timers) remove(t *timer) {
	if t.heap < len(*h) && (*h)[t.heap] == t {
		heap.Remove(h, t.heap)
	}
}

// next is when the first is due.
func (h timers) next() stack.Time {
	if len(h) == 0 {
		return stack.Never
	}
	return h[0].at
}

// ring queues the callbacks of the timers that are due.
func (c *core) ring(now stack.Time) {
	for c.timers.next() <= now {
		t := heap.Pop(&c.timers).(*timer)
		c.push(item{op: opCall, ev: &event{call: t.f}})
	}
}
