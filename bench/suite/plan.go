package suite

import (
	"context"
	"fmt"
	"time"
)

// Progress is how far a run has come. A repetition is the unit that is counted.
type Progress struct {
	What        string // is being measured
	Done, Total int
	Left        time.Duration // about
}

// Part is one benchmark of a plan.
type Part struct {
	Name  string
	Reps  int
	About time.Duration
}

// plan is what a run is to do. It is made by going through the benchmarks once
// without measuring anything, so that it cannot differ from what they do.
type plan struct {
	dry   bool // it is being made
	parts []Part
	whole Part // of all parts
	past  Part // what of it is over
	began time.Time
}

// Plan says what Run would do with the same arguments, and how long that takes
// about. It starts nothing.
func Plan(names []string, o Options) ([]Part, error) {
	s, chosen, err := newSession(context.Background(), names, o)
	if err != nil {
		return nil, err
	}
	err = s.lay(chosen)
	return s.o.plan.parts, err
}

// lay makes the plan.
func (s *session) lay(chosen []Bench) error {
	p := &plan{dry: true}
	s.o.plan = p
	for _, b := range chosen {
		before := p.whole
		if err := b.run(s); err != nil {
			return fmt.Errorf("%s: %w", b.Name, err)
		}
		p.parts = append(p.parts, Part{b.Name, p.whole.Reps - before.Reps,
			p.whole.About - before.About})
	}
	p.dry, p.began = false, time.Now()
	return nil
}

// repeat does something n times, each of which takes about so long.
func (s *session) repeat(n int, about time.Duration, what string, f func() error) error {
	p := s.o.plan
	if s.o.Net == Machines {
		about += reachCost
	}
	if p.dry {
		p.whole.add(n, about)
		return nil
	}
	for range n {
		if s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
		s.progress(what)
		if err := f(); err != nil {
			return err
		}
		p.past.add(1, about)
	}
	return nil
}

func (p *Part) add(n int, about time.Duration) {
	p.Reps += n
	p.About += time.Duration(n) * about
}

// passed notes that a part is over, also if it has left something out.
func (p *plan) passed(k int) {
	p.past = Part{}
	for _, part := range p.parts[:k+1] {
		p.past.Reps, p.past.About = p.past.Reps+part.Reps, p.past.About+part.About
	}
}

// trust is how much of a run must be over until its own pace counts as much as the
// estimate.
const trust = 15 * time.Second

// left is how long the rest takes, if this machine goes on at its pace.
func (p *plan) left() time.Duration {
	pace := float64(time.Since(p.began)+trust) / float64(p.past.About+trust)
	return time.Duration(float64(p.whole.About-p.past.About) * pace)
}

func (s *session) progress(what string) {
	p := s.o.plan
	if s.o.Progress == nil || p.dry {
		return
	}
	s.o.Progress(Progress{what, p.past.Reps, p.whole.Reps, p.left()})
}

// What the parts of a repetition take beside the load itself, about: enough to say
// how long a run takes, which then corrects itself by its own pace.
const (
	startCost = 60 * time.Millisecond  // to start the processes of a floor
	reachCost = 2 * time.Second        // to start processes by ssh
	formCost  = 120 * time.Millisecond // a group, and to end it
	groupCost = 15 * time.Millisecond  // a member of a fresh group
	tripCost  = 60 * time.Microsecond  // a round trip
	spaceCost = 12 * time.Millisecond  // a namespace
	eventCost = 40 * time.Millisecond  // a view change
	lostCost  = 600 * time.Millisecond // a view change when nobody says that a host is gone
)

// streams is what a floor and so many loads of d take.
func streams(loads int, d time.Duration) time.Duration {
	return startCost + time.Duration(1+loads)*(d+20*time.Millisecond)
}

// trips is what so many raw round trips take, and more ones through the stack.
func trips(raw, stack int) time.Duration {
	return startCost + time.Duration(raw+500+2*stack)*tripCost
}
