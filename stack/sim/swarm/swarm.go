package swarm

import (
	"fmt"
	"io"
	"runtime/debug"
	"sort"
	"strings"
	"time"

	"maestro/stack"
	"maestro/stack/sim"
	"maestro/stack/trace"
)

// Options are how histories are run. The zero value is how it is done for real.
type Options struct {
	// Trace gets a readable line for all that happens, with TraceData also for
	// each segment.
	Trace     io.Writer
	TraceData bool
	// Record gets the events that the checker gets.
	Record trace.Recorder
	// Members fixes the number of members that the group begins with.
	Members int
	// Stack fixes the order that the stack gives: "fifo" or "total".
	Stack string
	// Mutate may change the stack: to see whether broken ones are noticed.
	Mutate func(makers []stack.Maker) []stack.Maker
	// Omit leaves out actions of the storm, by number.
	Omit func(action int) bool
}

// Result is what became of a history.
type Result struct {
	Seed    uint64
	Failure string // what went wrong, in a line; empty if nothing did
	Detail  string // and all that is known about it
	Digest  uint64 // of the history

	Virtual    time.Duration
	Sent       int // messages
	Deliveries int
	Views      int // accepted by members
	Members    int // lives
	Net        sim.Stats
	// Counters are the stacks' counters, and how often rare situations came up.
	Counters map[string]uint64
	// Actions counts what the storm did, by kind.
	Actions map[string]uint64
}

// OK reports whether nothing went wrong.
func (r *Result) OK() bool { return r.Failure == "" }

// String is the result in a line.
func (r *Result) String() string {
	s := fmt.Sprintf("seed %d: %v virtual, %d lives, %d views, %d sent, %d delivered, %d datagrams",
		r.Seed, r.Virtual.Round(time.Millisecond), r.Members, r.Views, r.Sent, r.Deliveries,
		r.Net.Sent)
	if !r.OK() {
		s += ": FAILED: " + r.Failure
	}
	return s
}

// Plan says what a seed decides on.
func Plan(seed uint64, o Options) string { return newPlan(seed, &o).String() }

// Run runs the history of a seed.
func Run(seed uint64, o Options) Result {
	p := newPlan(seed, &o)
	h := newHistory(p, &o)
	h.guarded()
	res := Result{Seed: seed, Counters: h.counts, Actions: map[string]uint64{}}
	if h.bad == "" {
		h.finish()
	}
	res.Failure, _, _ = strings.Cut(h.bad, "\n")
	res.Detail = h.bad
	res.Digest = h.w.Digest()
	res.Virtual = time.Duration(h.w.Now())
	s := h.chk.Stats()
	res.Sent, res.Deliveries, res.Views = s.Sent, s.Deliveries, s.Views
	res.Members = len(h.w.Members())
	res.Net = *h.w.Stats()
	for k, n := range h.acts {
		if n > 0 {
			res.Actions[actionNames[k]] = uint64(n)
		}
	}
	for _, m := range h.w.Members() {
		addCounters(res.Counters, m.Group.Counters())
	}
	return res
}

// guarded runs the history and takes a panic for what it is: a failure.
func (h *history) guarded() {
	defer func() {
		if e := recover(); e != nil {
			who, dump := "nobody", ""
			if m := h.w.Running(); m != nil {
				who, dump = m.Self.String(), m.Group.Dump()
			}
			h.fail("panic in %s: %v\n%s%s", who, e, dump, debug.Stack())
		}
	}()
	if h.bad == "" {
		h.run()
	}
	if h.bad == "" {
		h.violations()
	}
}

// violations reports what the checker has found so far.
func (h *history) violations() {
	if v := h.chk.Violations(); len(v) > 0 {
		h.fail("%s\n%s", v[0], v[0].Detail())
	}
}

// finish judges what is still open, and looks for leaks.
func (h *history) finish() {
	h.chk.Finish()
	h.violations()
	err := h.w.Close()
	if err != nil {
		h.fail("%v", err)
	}
}

// Sorted lists the names of a map in order.
func Sorted(m map[string]uint64) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
