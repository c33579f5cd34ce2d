package mnak

import (
	"math"

	"maestro/stack"
	"maestro/wire"
)

func (l *layer) Event(e stack.Event) {
	switch e := e.(type) {
	case stack.Marked:
		s := &l.streams[e.Stream]
		if !l.Hears(e.Stream) {
			return
		}
		s.win.Free(e.Stable)
		if s.win.Saw(e.Sent) || s.win.Open() {
			l.arm(s, 0)
		}
	case stack.Fail:
		// What arrives of the failed from now on waits for the cut.
		for i := range l.streams {
			s := &l.streams[i]
			if e.Failed[s.origin] && !l.failed[s.origin] && l.cut == nil {
				s.limit = s.win.Passed()
			}
		}
		copy(l.failed, e.Failed)
	case stack.Decided:
		l.decided(e.Party)
	case stack.Reopened:
		l.cut, l.done = nil, false
		for i := range l.streams {
			s := &l.streams[i]
			s.limit = math.MaxUint64
			if l.failed[s.origin] {
				s.limit = s.win.Passed()
			}
		}
	}
}

// decided takes the cut: it is passed up to all of it and not beyond.
func (l *layer) decided(p *wire.Party) {
	l.cut = p.Cut
	for i := range l.streams {
		s := &l.streams[i]
		if l.ours(i) || !l.Hears(i) {
			continue
		}
		s.limit = p.Cut[i]
		s.holder = int(p.Holder[i])
		s.win.Saw(p.Cut[i])
		l.deliver(s)
		if s.win.Received() < p.Cut[i] {
			s.tries, s.asked, s.newAt = 0, 0, stack.Never
			l.arm(s, 0)
		}
	}
	l.checkCut()
}

func (l *layer) checkCut() {
	if l.cut == nil || l.done {
		return
	}
	for i := range l.streams {
		if !l.ours(i) && l.Hears(i) && l.streams[i].win.Passed() < l.cut[i] {
			return
		}
	}
	l.done = true
	l.Tell(stack.CutReached{})
}
