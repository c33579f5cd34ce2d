// Package elect decides who is failed and who acts for the view.
//
// Guarantee: what one member suspects, all it can reach take for failed; the
// set of the failed only grows. The lowest rank that is not failed leads.
//
// Needs: failure detection.
//
// Header: a suspicion (wire.Ranks) lists the ranks that its sender takes for
// failed.
//
// Timers: suspicions are repeated each repeat until the view ends. Who has only
// heard of them does not add its voice before that, so that a failure costs one
// multicast and not one of each member.
//
// Source: Ensemble's elect and slander.
package elect

import (
	"fmt"
	"slices"
	"time"

	"maestro/stack"
	"maestro/wire"
)

const repeat = 20 * time.Millisecond

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "elect", Needs: stack.Detect, Gives: stack.Elect,
		Kinds: []wire.Kind{wire.KindSuspect},
		New: func(p *stack.Port) stack.Layer {
			return &layer{Port: p, failed: make(stack.Set, p.N())}
		}}
}

type layer struct {
	*stack.Port
	failed stack.Set
}

func (l *layer) Receive(d *stack.Datagram) {
	var m wire.Ranks
	if m.Parse(d.Body) != nil {
		l.Counters().Malformed++
		return
	}
	if slices.Contains(m.Ranks, l.Me()) {
		// It goes on without us; then we go on without it.
		l.Tell(stack.Suspect{Rank: int(d.Sender), Why: "suspects this member"})
		return
	}
	l.fail(m.Ranks, fmt.Sprintf("suspected by rank %d", d.Sender), m.Ranks)
}

func (l *layer) Event(e stack.Event) {
	switch e := e.(type) {
	case stack.Suspect:
		l.fail([]int{e.Rank}, e.Why, nil)
	case stack.Gone:
		l.gone(e)
	}
}

// gone fails all those who live on in a view without us.
func (l *layer) gone(e stack.Gone) {
	if slices.Contains(e.Members, l.View().Members[l.Me()].ID) {
		return
	}
	self := l.View().Members[l.Me()].ID
	var ranks []int
	for _, m := range e.Members {
		if m.Name == self.Name && m.Incarnation > self.Incarnation {
			l.Tell(stack.Replaced{By: m})
			return
		}
		if r := l.View().RankOf(m); r >= 0 && !l.failed[r] {
			ranks = append(ranks, r)
		}
	}
	if len(ranks) > 0 {
		text := fmt.Sprintf("excluded from the group: others are in view %v", e.View)
		l.Tell(stack.Note{Text: text})
	}
	l.fail(ranks, "went on without this member", nil)
}

// fail takes members for failed. Heard is what somebody has told all, if it was
// that from which we know.
func (l *layer) fail(ranks []int, why string, heard []int) {
	var news []int
	for _, r := range ranks {
		if r >= 0 && r < l.N() && r != l.Me() && !l.failed[r] {
			news = append(news, r)
		}
	}
	if !l.failed.Add(news) {
		return
	}
	l.Counters().Suspicions += uint64(len(news))
	for _, r := range news {
		l.Tell(stack.Note{Text: fmt.Sprintf("member %v failed: %s", l.View().Members[r].ID, why)})
	}
	if l.told(heard) {
		l.SetDeadline(l.Now().Add(repeat))
	} else {
		l.publish()
	}
	l.Tell(stack.Fail{Failed: l.failed.Clone()})
	if l.failed.First() == l.Me() {
		l.Tell(stack.Lead{})
	}
}

// told reports whether everything that we know of has been told all by another.
func (l *layer) told(heard []int) bool {
	for r, failed := range l.failed {
		if failed && !slices.Contains(heard, r) {
			return false
		}
	}
	return true
}

func (l *layer) publish() {
	m := wire.Ranks{Ranks: l.failed.Ranks()}
	l.CastControl(wire.KindSuspect, 0, m.Append(nil))
	l.SetDeadline(l.Now().Add(repeat))
}

// Expire repeats the suspicions: some may have missed them.
func (l *layer) Expire() { l.publish() }

// Dump prints the failed.
func (l *layer) Dump() string { return fmt.Sprintf("failed %v", l.failed.Ranks()) }
