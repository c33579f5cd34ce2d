package swarm

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"maestro/stack"
	"maestro/stack/sim"
	"maestro/wire"
)

var (
	exhaustFlag = flag.Bool("exhaust", false, "TestExhaust: all single faults, not a share")
	onlyFlag    = flag.String("exhaust.only", "",
		"TestExhaust: only faults with this in their name; a single one is printed")
	variantFlag = flag.Uint64("exhaust.seed", 1, "TestExhaust: the seed of all scenarios")
)

// scenario is a short piece of a group's life. The members that are there
// before it are in one view, or in one for each side of a partition.
type scenario struct {
	name  string
	sides [][]string // there before
	late  []string   // who else takes part
	act   func(x *exploration)
}

const milli = time.Millisecond

func scenarios() []scenario {
	two, three := []string{"a", "b"}, []string{"a", "b", "c"}
	four := []string{"a", "b", "c", "d"}
	joins := func(x *exploration) { x.join(x.late...) }
	leaves := func(rank int) func(x *exploration) {
		return func(x *exploration) {
			if m := x.ranked(rank); m != nil {
				x.h.left[m] = true
				m.Leave()
			}
		}
	}
	crashes := func(rank int) func(x *exploration) {
		return func(x *exploration) {
			if m := x.ranked(rank); m != nil {
				m.Crash()
			}
		}
	}
	gone := func(x *exploration) {
		if m := x.ranked(0); m != nil {
			m.CrashHost()
		}
	}
	splits := func(x *exploration) {
		x.h.w.Partition(two, four[2:])
		x.h.w.RunFor(650 * milli) // views of two
		x.h.w.Heal()
	}
	return []scenario{
		{"join3", [][]string{two}, []string{"c"}, joins},
		{"join4", [][]string{three}, []string{"d"}, joins},
		{"leave0", [][]string{three}, nil, leaves(0)},
		{"leave1", [][]string{three}, nil, leaves(1)},
		{"crash0", [][]string{four}, nil, crashes(0)},
		{"crash1", [][]string{four}, nil, crashes(1)},
		{"gone0", [][]string{four}, nil, gone},
		{"split", [][]string{four}, nil, splits},
		{"merge", [][]string{two, four[2:]}, nil, func(x *exploration) { x.h.w.Heal() }},
		{"start", nil, three, joins},
	}
}

// fault is the only one of a run.
type fault struct {
	who  string
	k    int // at which of its transmissions, from one
	kind faultKind
	to   string // who does not get it; all if empty
}

type faultKind uint8

const (
	noFault faultKind = iota
	crashBefore
	crashAfter
	loses
	pauses
)

var faultNames = [...]string{"none", "before", "after", "lose", "pause"}

// pauseFor is longer than silence is borne.
const pauseFor = 700 * milli

// exploration is one run of a scenario.
type exploration struct {
	*scenario
	fault fault
	h     *history
	ours  map[string]*sim.Member // the lives that take part
	count map[string]int         // transmissions since the scenario has begun
	seen  map[string][][]string  // by member and transmission: who got it
	on    bool                   // it has begun
	rank  []*sim.Member          // of the first side, by rank
	hit   bool
	takes stack.Time // when it is over
}

// explore runs a scenario with a fault.
func explore(j *job, o *Options) *exploration {
	f := j.f
	x := &exploration{scenario: j.s, fault: f, takes: j.takes, count: map[string]int{},
		ours: map[string]*sim.Member{}, seen: map[string][][]string{}}
	p := &plan{seed: *variantFlag, members: 4, total: j.total, links: sim.LAN(), calm: sim.LAN()}
	p.cfg.Group, p.cfg.Segment = "swarm", 1000
	p.opts.Filter = x.filter
	x.h = newHistory(p, o)
	defer x.recovered()
	if !x.begin() {
		x.h.fail("the scenario does not come to its beginning")
		return x
	}
	x.on = true
	x.act(x)
	x.load()
	w := x.h.w
	if f.kind == noFault {
		w.WaitFor(2*time.Second, func() bool { return x.h.whole(x.h.staying()) })
		w.RunFor(40 * milli)
		x.takes = w.Now()
	}
	w.RunUntil(x.takes)
	if f.kind == pauses {
		w.RunFor(pauseFor)
	}
	x.on = f.kind != noFault // what is counted without a fault is what can go wrong
	p.storm = time.Duration(w.Now())
	x.h.settle()
	x.h.violations()
	if x.h.bad == "" {
		x.h.finish()
	}
	return x
}

func (x *exploration) recovered() {
	if e := recover(); e != nil {
		buf := make([]byte, 1<<13)
		x.h.fail("panic: %v\n%s", e, buf[:runtime.Stack(buf, false)])
	}
}

// begin brings the members together that are there before.
func (x *exploration) begin() bool {
	w := x.h.w
	for _, l := range x.sides {
		for _, n := range l {
			w.Host(n)
		}
	}
	if len(x.sides) > 1 {
		w.Partition(x.sides...)
	}
	for _, l := range x.sides {
		x.join(l...)
	}
	for _, l := range x.sides {
		var ms []*sim.Member
		for _, n := range l {
			ms = append(ms, w.Member(n))
		}
		in := func() bool {
			for _, m := range ms {
				r := recorder(m)
				if r.Current == nil || len(r.Current.Members) != len(l) || r.Blocked {
					return false
				}
			}
			return true
		}
		if !w.WaitFor(5*time.Second, in) {
			return false
		}
	}
	w.RunFor(20 * milli)
	if len(x.sides) > 0 {
		l := x.sides[0]
		x.rank = make([]*sim.Member, len(l))
		for _, n := range l {
			m := w.Member(n)
			x.rank[recorder(m).Current.Rank] = m
		}
		x.burst()
	}
	return true
}

// ranked is a member by its rank at the beginning; nil if it has crashed.
func (x *exploration) ranked(r int) *sim.Member {
	if m := x.rank[r]; m.Live() {
		return m
	}
	return nil
}

// join has members join, all at once.
func (x *exploration) join(names ...string) {
	h := x.h
	for _, n := range names {
		app := &sim.Recorder{Out: h}
		m, err := h.w.Add(n, h.p.cfg, app)
		if err != nil {
			h.fail("start: %v", err)
			return
		}
		h.names = append(h.names, n)
		x.ours[n] = m
		m.OnTransmit = func(netip.AddrPort, []byte, int) { x.transmits(m) }
	}
	for _, n := range names {
		if m := h.w.Member(n); m != nil {
			m.Join()
		}
	}
}

// transmits is called before each transmission.
func (x *exploration) transmits(m *sim.Member) {
	if !x.on {
		return
	}
	x.count[m.Name]++
	x.seen[m.Name] = append(x.seen[m.Name], nil)
	f := &x.fault
	if f.who != m.Name || f.k != x.count[m.Name] {
		return
	}
	x.hit = x.hit || f.kind != loses
	switch f.kind {
	case crashBefore:
		m.CrashAt(1, false)
	case crashAfter:
		m.CrashAt(1, true)
	case pauses:
		m.Pause()
		x.h.w.After(pauseFor, m.Resume)
	}
}

// filter is called for all who would get a transmission.
func (x *exploration) filter(p *sim.Passing) sim.Verdict {
	n := x.count[p.From]
	if !x.on || n == 0 || x.h.w.Member(p.From) != x.ours[p.From] {
		return sim.Pass
	}
	x.seen[p.From][n-1] = append(x.seen[p.From][n-1], p.To)
	f := &x.fault
	if f.kind == loses && f.who == p.From && f.k == n && (f.to == "" || f.to == p.To) {
		x.hit = true
		return sim.Drop
	}
	return sim.Pass
}

// burst has all members say something.
func (x *exploration) burst() {
	for _, m := range x.h.live() {
		r := recorder(m)
		r.Cast(40)
		if r.Current != nil && r.Number()%2 == 1 {
			ms := r.Current.Members
			if to := ms[(r.Current.Rank+1)%len(ms)].ID; to != m.Self {
				r.Submit(to, 60)
			}
		}
		if r.Number()%5 == 0 {
			r.Cast(2500)
		}
	}
}

// load has members send while the scenario takes its course.
func (x *exploration) load() {
	for i := range 8 {
		x.h.w.After(time.Duration(1+3*i)*milli, x.burst)
	}
}

// faults are all that can happen to a scenario, by its run without one.
func (x *exploration) faults() []fault {
	var l []fault
	all := append([]string(nil), x.late...)
	for _, s := range x.sides {
		all = append(all, s...)
	}
	for _, who := range all {
		for i, got := range x.seen[who] {
			k := i + 1
			l = append(l, fault{who, k, crashBefore, ""}, fault{who, k, crashAfter, ""},
				fault{who, k, pauses, ""})
			if len(got) > 0 {
				l = append(l, fault{who, k, loses, ""})
			}
			for _, to := range got {
				if len(got) > 1 {
					l = append(l, fault{who, k, loses, to})
				}
			}
		}
	}
	return l
}

func (f *fault) String() string {
	return fmt.Sprintf("%s.%d.%s%s", f.who, f.k, faultNames[f.kind], f.to)
}

// job is one run that is to be made.
type job struct {
	s     *scenario
	f     fault
	total bool
	takes stack.Time // when all is over without a fault
}

func (j *job) String() string {
	s := "fifo"
	if j.total {
		s = "total"
	}
	return fmt.Sprintf("%s/%s/%s", j.s.name, s, &j.f)
}

// TestExhaust has a single thing go wrong in ordinary changes of a group, at
// each place where it can, and sees whether the group gets over it.
func TestExhaust(t *testing.T) {
	jobs := exhaustive(t)
	t.Logf("%d single faults", len(jobs))
	stride := 1
	switch {
	case *onlyFlag != "":
		jobs = chosen(jobs)
	case *exhaustFlag:
	case testing.Short():
		stride = max(1, len(jobs)/40) | 1
	default:
		stride = max(1, len(jobs)/300) | 1
	}
	if len(jobs) == 1 {
		o := Options{Trace: os.Stdout, TraceData: true}
		t.Log(explore(&jobs[0], &o).h.bad)
	}
	failed, missed := sweep(jobs, stride, Options{})
	for _, line := range failed {
		t.Error(line)
	}
	if missed > 0 {
		t.Errorf("%d faults did not come up", missed)
	}
	t.Logf("%d runs, %d failed", (len(jobs)+stride-1)/stride, len(failed))
}

// TestExhaustNotices has nobody get the requests for what was lost: that must
// show in some of the runs.
func TestExhaustNotices(t *testing.T) {
	o := Options{Mutate: (&mutant{around: "mnak", make: func(*stack.Port) hook {
		return hook{receive: func(d *stack.Datagram) bool { return d.Kind != wire.KindNak }}
	}}).apply}
	jobs := exhaustive(t)
	failed, _ := sweep(jobs, len(jobs)/150, o)
	if len(failed) == 0 {
		t.Error("nothing")
	}
	t.Logf("%d failed", len(failed))
}

// sweep makes every stride-th run, and tells what went wrong, and in how many
// of them the fault did not come up.
func sweep(jobs []job, stride int, o Options) (failed []string, missed int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	next := 0
	take := func() *job {
		mu.Lock()
		defer mu.Unlock()
		if next += stride; next-stride >= len(jobs) {
			return nil
		}
		return &jobs[next-stride]
	}
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for j := take(); j != nil; j = take() {
				x := explore(j, &o)
				mu.Lock()
				if x.h.bad != "" {
					line, _, _ := strings.Cut(x.h.bad, "\n")
					failed = append(failed, fmt.Sprintf("%v: %s", j, line))
				}
				if !x.hit {
					missed++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return failed, missed
}

// exhaustive lists all faults of all scenarios.
func exhaustive(t *testing.T) []job {
	var jobs []job
	for _, s := range scenarios() {
		for _, total := range []bool{false, true} {
			x := explore(&job{s: &s, total: total}, &Options{})
			if x.h.bad != "" {
				t.Fatalf("%s without a fault: %s", s.name, x.h.bad)
			}
			t.Logf("%s total %t: over at %v", s.name, total, time.Duration(x.takes))
			for _, f := range x.faults() {
				jobs = append(jobs, job{&s, f, total, x.takes})
			}
		}
	}
	return jobs
}

// chosen are the jobs that the flag asks for.
func chosen(jobs []job) []job {
	var l []job
	for i := range jobs {
		switch s := jobs[i].String(); {
		case s == *onlyFlag:
			return jobs[i : i+1]
		case strings.Contains(s, *onlyFlag):
			l = append(l, jobs[i])
		}
	}
	return l
}
