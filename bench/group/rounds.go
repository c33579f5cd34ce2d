package group

import (
	"slices"
	"time"

	"maestro/stack"
)

// calls are the rounds of a cast that everybody answers by a cast.
type calls struct {
	body  []byte
	left  int
	heard int
	done  chan struct{}
	since int64
}

// call does COUNT rounds with messages of SIZE bytes.
func (w *work) call(size, count int) error {
	done := make(chan struct{})
	w.mu.Lock()
	w.calls = calls{body: make([]byte, size), left: max(count, 1), done: done,
		since: w.clock.now()}
	w.mu.Unlock()
	w.m.node.Do(func(g *stack.Group) { _ = g.Cast(kindCall, nil, w.calls.body) })
	return w.wait(done, "CALLED")
}

func (w *work) called() {
	now := w.clock.now()
	w.mu.Lock()
	c := &w.calls
	c.heard++
	if c.heard < w.m.size()-1 || c.left == 0 {
		w.mu.Unlock()
		return
	}
	c.heard = 0
	c.left--
	w.trips.Sent.Record(time.Duration(now - c.since))
	c.since = now
	next := c.left > 0
	if !next {
		close(c.done)
	}
	w.mu.Unlock()
	if next {
		w.m.node.Do(func(g *stack.Group) { _ = g.Cast(kindCall, nil, c.body) })
	}
}

// ring is rounds in which every member casts so many messages and waits for as
// many of each other member.
type ring struct {
	body   []byte
	each   int
	rounds int
	round  int // under way, from 1
	left   int // to be cast in this round
	heard  []int
	done   chan struct{}
}

// turns does COUNT rounds with EACH messages of SIZE bytes of each member.
func (w *work) turns(each, size, count int) error {
	done := make(chan struct{})
	w.mu.Lock()
	r := &w.ring
	r.body, r.each, r.rounds, r.done = make([]byte, max(size, 1)), max(each, 1), max(count, 1), done
	r.round, r.left = 1, r.each
	w.mu.Unlock()
	began := time.Now()
	w.m.node.Do(w.push)
	err := w.wait(done, "")
	w.m.say("TURNED %d", time.Since(began))
	return err
}

// turned counts a message of another member.
func (w *work) turned(from int) {
	w.mu.Lock()
	r := &w.ring
	if r.heard == nil {
		r.heard = make([]int, w.m.size())
	}
	if from < len(r.heard) {
		r.heard[from]++
	}
	on := w.advance()
	w.mu.Unlock()
	if on {
		w.m.node.Do(w.push)
	}
}

// advance begins the next round if this one is over.
func (w *work) advance() bool {
	r := &w.ring
	if r.round == 0 || r.left > 0 || r.heard == nil {
		return false
	}
	heard := slices.Clone(r.heard)
	heard = slices.Delete(heard, w.m.rank(), w.m.rank()+1)
	if len(heard) == 0 || slices.Min(heard) < r.round*r.each {
		return false
	}
	if r.round == r.rounds {
		r.round = 0
		close(r.done)
		return false
	}
	r.round++
	r.left = r.each
	return true
}

// push casts what is left of the round, as far as there is room.
func (w *work) push(g *stack.Group) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := &w.ring; ; {
		for r.left > 0 {
			if g.Cast(kindTurn, nil, r.body) != nil {
				return // writable goes on
			}
			r.left--
		}
		if !w.advance() {
			return
		}
	}
}

// writable goes on with what a full buffer has stopped.
func (w *work) writable() {
	w.mu.Lock()
	more := w.ring.left > 0
	w.mu.Unlock()
	if more {
		w.m.node.Do(w.push)
	}
}
