package suite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"maestro/bench/floor"
	"maestro/bench/result"
)

// Bench is one benchmark.
type Bench struct {
	Name, Short string
	// Asked says that it runs only if it is named.
	Asked bool
	run   func(s *session) error
}

// Benches lists the benchmarks, in the order in which they run.
func Benches() []Bench {
	return []Bench{
		{"floor", "the yardstick itself: raw multicast with GSO, raw ping-pong", false, benchFloor},
		{"stack", "what the stack costs without sockets", false, benchStack},
		{"throughput", "messages and bytes a second", false, benchThroughput},
		{"latency", "round trip and one way, idle and under load", false, benchLatency},
		{"order", "total order beside FIFO", false, benchOrder},
		{"view", "join, leave, kill, host loss, merge, start", false, benchView},
		{"transfer", "a server's state to one that joins", false, benchTransfer},
		{"lineage", "the tests of the original systems", false, benchLineage},
		{"scale", "cost of a member as the group grows, real and simulated", false, benchScale},
		{"soak", "a steady load for a long time", true, benchSoak},
		{"peers", "the same work on other systems, as far as they can be had", true, benchPeers},
	}
}

// ErrStopped says that a run has been stopped before its end.
var ErrStopped = errors.New("suite: stopped before the end")

// session is one run of the suite.
type session struct {
	ctx     context.Context
	o       Options
	points  []*result.Point
	systems []*result.System
	own     []*other // of the systems, our stacks
	machine result.Machine
}

// Run runs benchmarks by name; none are all that need not be named, and in a smoke
// the soak too. What has been measured is
// returned even if something failed.
func Run(ctx context.Context, names []string, o Options) (*result.Run, error) {
	s, chosen, err := newSession(ctx, names, o)
	if err == nil {
		err = s.lay(chosen)
	}
	if err != nil {
		return nil, err
	}
	if s.o.Planned != nil {
		s.o.Planned(s.o.plan.parts)
	}
	if s.o.Net == Machines {
		s.o.fleet, err = s.muster()
		s.machine.Hosts = s.o.fleet.made
	}
	if err == nil {
		err = s.describe()
	}
	if err == nil {
		err = s.measure(chosen)
	}
	err = errors.Join(err, s.o.fleet.disband())
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ErrStopped, ctx.Err())
	}
	s.machine.Finish()
	return &result.Run{Machine: s.machine, Systems: s.systems, Points: s.points}, err
}

// measure runs the benchmarks. That one has failed says nothing of the next.
func (s *session) measure(chosen []Bench) (err error) {
	for k, b := range chosen {
		if e := b.run(s); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", b.Name, e))
		}
		if s.ctx.Err() != nil {
			return err
		}
		s.o.plan.passed(k)
	}
	return err
}

// newSession checks what has been asked for, and chooses the benchmarks.
func newSession(ctx context.Context, names []string, o Options) (*session, []Bench, error) {
	s := &session{ctx: ctx, o: o, machine: result.Look()}
	if err := s.o.Validate(); err != nil {
		return nil, nil, err
	}
	var chosen []Bench
	for _, b := range Benches() {
		unasked := !b.Asked || o.Smoke && b.Name == "soak"
		if slices.Contains(names, b.Name) || len(names) == 0 && unasked {
			chosen = append(chosen, b)
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(Benches(), func(b Bench) bool { return b.Name == n }) {
			return nil, nil, fmt.Errorf("suite: there is no benchmark %q", n)
		}
	}
	for _, b := range chosen {
		size := slices.Max(append([]int{0}, o.Sizes...))
		if size > MaxSize && b.Name != "transfer" {
			return nil, nil, fmt.Errorf("suite: %s: a message of %d bytes, more than %d", b.Name,
				size, MaxSize)
		}
		members := slices.Max(append([]int{0}, o.Members...))
		if members > MaxMembers && b.Name != "scale" {
			return nil, nil, fmt.Errorf("suite: %s: %d members, more than %d", b.Name, members,
				MaxMembers)
		}
	}
	return s, chosen, nil
}

// describe notes how members' sockets describe themselves.
func (s *session) describe() error {
	w, err := newNetwork(s.ctx, &s.o, 1, true)
	if err != nil {
		return err
	}
	defer w.close()
	c, err := w.newCluster(0, "vsync", "")
	if err != nil {
		return err
	}
	if err := c.launch(1); err != nil {
		return err
	}
	f, err := c.procs[1].wait(s.ctx, "OPEN", replyTime, nil)
	if err != nil {
		return err
	}
	s.machine.Network, s.machine.MTU, s.machine.Transport = s.o.Net, w.mtu, stable(f[0])
	return nil
}

// stable leaves out of a description what is different each time.
func stable(text string) string {
	parts := strings.Split(text, ", ")
	parts = slices.DeleteFunc(parts, func(p string) bool {
		return strings.HasPrefix(p, "member ") || strings.HasPrefix(p, "group ")
	})
	return strings.Join(parts, ", ")
}

// add keeps a complete point.
func (s *session) add(p *result.Point) {
	s.points = append(s.points, p)
	if s.o.Point != nil {
		s.o.Point(p)
	}
}

// reps is the number of repetitions: six are the least that benchstat says how sure
// it is of.
func (s *session) reps() int {
	switch {
	case s.o.Reps > 0:
		return s.o.Reps
	case s.o.Smoke:
		return 1
	}
	return 6
}

// duration is how long one repetition loads the system.
func (s *session) duration(full time.Duration) time.Duration {
	switch {
	case s.o.Duration > 0:
		return s.o.Duration
	case s.o.Smoke:
		return 50 * time.Millisecond
	case !s.o.Full:
		return full / 4
	}
	return full
}

// pick chooses what was asked for, or the default of a smoke or of a real run.
func pick[T any](s *session, given, smoke, real []T) []T {
	if s.o.Smoke {
		return or(given, smoke)
	}
	return or(given, real)
}

// members is how many there are to be: on other machines no more than these.
func (s *session) members(smoke, real []int) []int {
	all := pick(s, s.o.Members, smoke, real)
	if hosts := len(s.o.Hosts); len(s.o.Members) == 0 && hosts > 0 {
		all = slices.DeleteFunc(slices.Clone(all), func(n int) bool { return n > hosts })
		all = or(all, []int{hosts})
	}
	return all
}

// waits is the ways to wait that were asked for, or to block.
func (s *session) waits() []string { return or(s.o.Waits, []string{string(floor.Block)}) }

// series gathers the values of repetitions under the names of their metrics.
type series struct {
	bench  string
	params map[string]any
	names  []string
	of     map[string]*column
}

// column is one metric of a series.
type column struct {
	unit   string
	less   bool
	detail bool
	exact  bool
	values []float64
	floor  string
	base   []float64
	all    *result.Latency
}

func newSeries(bench string, params map[string]any) *series {
	return &series{bench: bench, params: params, of: map[string]*column{}}
}

func (r *series) column(metric, unit string, less bool) *column {
	c := r.of[metric]
	if c == nil {
		c = &column{unit: unit, less: less}
		r.of[metric] = c
		r.names = append(r.names, metric)
	}
	return c
}

// more adds a value of which more is better, less one of which less is.
func (r *series) more(metric, unit string, v float64) *column {
	c := r.column(metric, unit, false)
	c.values = append(c.values, finite(v))
	return c
}

func (r *series) less(metric, unit string, v float64) *column {
	c := r.column(metric, unit, true)
	c.values = append(c.values, finite(v))
	return c
}

// finite is v, or 0 for what a division by nothing gives.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// against adds the yardstick's value of the same repetition.
func (c *column) against(floor string, v float64) {
	c.floor = floor
	c.base = append(c.base, finite(v))
}

// minor marks a metric that only explains others.
func (c *column) minor() { c.detail = true }

// everywhere marks a metric that says nothing of the machine.
func (c *column) everywhere() { c.exact = true }

// latency adds the quantiles of one repetition, and returns the columns of the
// median and of the 99th percentile.
func (r *series) latency(name string, l *result.Latency) (p50, p99 *column) {
	p50 = r.less(name+" p50", "us", l.Micros(0.5))
	p99 = r.less(name+" p99", "us", l.Micros(0.99))
	r.less(name+" p99.9", "us", l.Micros(0.999)).minor()
	r.less(name+" max", "us", l.Micros(1)).minor()
	if p50.all == nil {
		p50.all = result.NewLatency()
	}
	p50.all.Merge(l)
	return p50, p99
}

// finish turns the series into points.
func (s *session) finish(r *series) {
	if s.o.plan.dry {
		return
	}
	for _, name := range r.names {
		c := r.of[name]
		if s.o.fleet != nil && strings.HasPrefix(name, "one way") {
			continue // from one machine's clock to another's
		}
		p := result.New(r.bench, name, c.unit, c.less, c.values...)
		p.Detail, p.Exact = c.detail, c.exact
		for k, v := range r.params {
			p.With(k, v)
		}
		if _, ok := p.Params["pin"]; !ok && s.o.Pin != "" {
			p.With("pin", s.o.Pin)
		}
		if s.o.Thread {
			p.With("by", "thread")
		}
		if c.floor != "" {
			p.Against(c.floor, c.base)
		}
		if c.all != nil {
			if b, err := c.all.MarshalText(); err == nil {
				p.Histogram = string(b)
			}
		}
		s.add(p)
	}
}

// rawStream is the floor's rate between the hosts of a network, of all
// receivers the slowest one's.
func (w *network) rawStream(size int, d time.Duration) (floor.Result, error) {
	return w.floor(floor.Config{Receivers: w.n - 1, Message: min(size, 60000),
		Duration: min(d, time.Minute)}, 0)
}

// rawPing is the round trip of a datagram between the first two hosts.
func (w *network) rawPing(wait string, size, count int) (floor.Result, error) {
	return w.ping(2, wait, size, count)
}

// rawPaced is the same as often as an idle member is asked: who waits has gone to
// sleep since the last time.
func (w *network) rawPaced(wait string, size, count int) (floor.Result, error) {
	return w.floor(floor.Config{Mode: floor.PingPong, Message: size, Count: count,
		Wait: floor.Wait(wait), Every: time.Second / idleRate}, 0)
}

// ping is the same between the first host and another one.
func (w *network) ping(host int, wait string, size, count int) (floor.Result, error) {
	return w.floor(floor.Config{Mode: floor.PingPong, Message: size, Count: count,
		Wait: floor.Wait(wait)}, host)
}
