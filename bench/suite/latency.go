package suite

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"time"

	"maestro/bench/floor"
	"maestro/bench/group"
	"maestro/bench/result"
)

// place is a way to wait on a choice of processors.
type place struct{ wait, pin string }

// places are those of the round trip. Polling needs a processor for each.
func (s *session) places() []place {
	if len(s.o.Waits) > 0 || s.o.Pin != "" {
		var all []place
		for _, w := range or(s.o.Waits, []string{string(floor.Block)}) {
			all = append(all, place{w, s.o.Pin})
		}
		return all
	}
	all := []place{{string(floor.Block), Anywhere}, {string(floor.Block), OneCore},
		{string(floor.Hybrid), Spread}, {string(floor.Spin), Spread}}
	if s.o.Net == Machines { // each has processors enough
		all = []place{{string(floor.Block), ""}, {string(floor.Hybrid), ""},
			{string(floor.Spin), ""}}
	}
	if s.o.Smoke {
		return all[:1]
	}
	return all
}

func benchLatency(s *session) error {
	for _, name := range pick(s, s.o.Stacks, []string{"vsync"}, []string{"vsync", "total"}) {
		for _, p := range s.places() {
			if err := s.roundTrip(name, p); err != nil {
				return err
			}
		}
		if err := s.loaded(name); err != nil {
			return err
		}
	}
	return nil
}

// roundTrip is a cast to one other member and its answer to the sender alone, one
// after the other, beside the raw ping-pong in the same way to wait.
func (s *session) roundTrip(stackName string, p place) error {
	o := s.o
	o.Pin = p.pin
	w, err := newNetwork(s.ctx, &o, 2, true)
	if err != nil {
		return err
	}
	defer w.close()
	b := &bed{session: s, w: w, stack: stackName, wait: p.wait}
	for _, size := range pick(s, s.o.Sizes, []int{64}, []int{64}) {
		r := newSeries("latency", map[string]any{"members": 2, "size": size, "stack": stackName,
			"wait": p.wait, "load": "idle", "pin": cmp.Or(p.pin, Anywhere)})
		n := s.rounds(5000)
		what := fmt.Sprintf("latency: round trip, %s, %s, %s", stackName, p.wait,
			cmp.Or(p.pin, Anywhere))
		if err := s.repeat(s.reps(), b.forming()+trips(n, n), what, func() error {
			f, err := w.rawPing(p.wait, min(size, 1400), n)
			if err != nil {
				return err
			}
			c, err := b.ready()
			if err != nil {
				return err
			}
			st, err := c.ask(size, n)
			if err != nil {
				return err
			}
			r.trips("round trip", st.Trips.Late, &f, "ping-pong")
			b.release()
			return nil
		}); err != nil {
			return err
		}
		s.finish(r)
	}
	return nil
}

// trips adds round trips beside the raw one, oneWay what takes half of it.
func (r *series) trips(name string, l *result.Latency, f *floor.Result, what string) {
	p50, p99 := r.latency(name, l)
	p50.against(what, f.P50us)
	p99.against(what, f.P99us)
}

func (r *series) oneWay(l *result.Latency, f *floor.Result, what string) {
	p50, p99 := r.latency("one way", l)
	p50.against(what, f.P50us/2)
	p99.against(what, f.P99us/2)
}

// ask has member 1 ask and all others answer, one question after the other. The
// first tenth is not counted.
func (c *cluster) ask(size, count int) (*group.Stats, error) {
	for _, n := range []int{count/10 + 1, count} {
		if err := c.reset(); err != nil {
			return nil, err
		}
		if err := c.procs[1].say("ask %d %d", size, n); err != nil {
			return nil, err
		}
		if _, err := c.procs[1].wait(c.ctx, "ASKED", time.Minute, nil); err != nil {
			return nil, err
		}
	}
	return c.stats(1)
}

// loads are parts of the rate that one sender reached just before, in percent;
// 0 is idle: as many casts a second as idleRate.
func (s *session) loads() []int {
	if s.o.Smoke {
		return []int{0, 10}
	}
	return []int{0, 10, 50, 80}
}

const (
	idleRate  = 1000  // messages or questions a second
	timedRate = 20000 // messages a second that carry times
)

// loaded measures in an open loop, from when messages are due: one way, while
// one member casts at a part of its highest rate; and there and back, while
// another member asks beside that.
func (s *session) loaded(stackName string) error {
	for _, n := range s.members([]int{3}, []int{3}) {
		w, err := newNetwork(s.ctx, &s.o, n, true)
		if err != nil {
			return err
		}
		for _, wait := range s.loadedWaits(n) {
			for _, size := range pick(s, s.o.Sizes, []int{64}, []int{64}) {
				b := &bed{session: s, w: w, stack: stackName, wait: wait}
				if err := b.loads(size); err != nil {
					w.close()
					return err
				}
				b.release()
			}
		}
		w.close()
	}
	return nil
}

// loadedWaits is the ways in which n members under load wait. Those that spin
// need a processor each.
func (s *session) loadedWaits(n int) []string {
	all := []string{string(floor.Block), string(floor.Hybrid)}
	if runtime.NumCPU() >= n || s.o.Net == Machines {
		all = append(all, string(floor.Spin))
	}
	return pick(s, s.o.Waits, all[:1], all)
}

func (b *bed) loads(size int) error {
	d := b.duration(time.Second)
	all := map[int]*series{}
	for _, load := range b.session.loads() {
		what := "idle"
		if load > 0 {
			what = fmt.Sprintf("%d%%", load)
		}
		all[load] = newSeries("latency", map[string]any{"members": b.w.n, "size": size,
			"stack": b.stack, "wait": b.wait, "load": what, "pin": cmp.Or(b.o.Pin, Anywhere)})
	}
	n, count := b.rounds(300), len(b.session.loads())
	text := fmt.Sprintf("latency: one way and open round trip, %s, %s", b.stack, b.wait)
	about := startCost + time.Duration(n)*time.Second/idleRate + streams(2*count, d)
	if err := b.repeat(b.reps(), b.forming()+about, text, func() error {
		f, err := b.w.rawPaced(b.wait, min(size, 1400), n)
		if err != nil {
			return err
		}
		c, err := b.ready()
		if err != nil {
			return err
		}
		top, err := c.stream([]int{1}, max(size, 16), d)
		if err != nil {
			return err
		}
		for _, load := range b.session.loads() {
			rate := max(int(slowest(top, []int{1})*float64(load)/100), idleRate)
			if err := b.load(all[load], c, size, rate, d, &f); err != nil {
				return err
			}
		}
		b.release()
		return nil
	}); err != nil {
		return err
	}
	for _, load := range b.session.loads() {
		b.finish(all[load])
	}
	return nil
}

// load is one rate: first casts alone, then with questions of member 2.
func (b *bed) load(r *series, c *cluster, size, rate int, d time.Duration,
	f *floor.Result) error {
	spin := 0
	if b.wait == string(floor.Spin) {
		spin = 1
	}
	pace := fmt.Sprintf("pace %d %d %d %d %d", size, d.Milliseconds(), rate, rate/timedRate+1, spin)
	stats, err := c.work([]int{1}, d, pace)
	if err != nil {
		return err
	}
	late, sent := result.NewLatency(), result.NewLatency()
	for _, st := range stats[2:] {
		late.Merge(st.Casts.Late)
		sent.Merge(st.Casts.Sent)
	}
	r.oneWay(late, f, "half paced ping-pong")
	r.less("one way from sending p50", "us", sent.Micros(0.5)).minor()
	r.less("one way from sending p99", "us", sent.Micros(0.99)).minor()
	r.more("delivered", "msgs/s", slowest(stats, []int{1})).minor()
	cost(r, stats, []int{1})
	if rate == idleRate {
		pace = ""
	}
	st, err := c.questions(size, d, pace, spin)
	if err != nil {
		return err
	}
	if n := int64(st.Sent) - st.Trips.Late.Count(); n > 0 {
		return fmt.Errorf("suite: %d of %d questions were never answered", n, st.Sent)
	}
	r.trips("open round trip", st.Trips.Late, f, "paced ping-pong")
	return nil
}

// questions has member 2 ask at idleRate while member 1, with a pace, casts.
func (c *cluster) questions(size int, d time.Duration, pace string,
	spin int) (*group.Stats, error) {
	if err := c.reset(); err != nil {
		return nil, err
	}
	who := []int{2}
	if pace != "" {
		who = append(who, 1)
		if err := c.procs[1].say("%s", pace); err != nil {
			return nil, err
		}
	}
	err := c.procs[2].say("query %d %d %d %d", size, d.Milliseconds(), idleRate, spin)
	if err != nil {
		return nil, err
	}
	sent := map[int]int64{}
	for _, i := range slices.Backward(who) {
		f, err := c.procs[i].wait(c.ctx, "SENT", d+drainTime, anyFields)
		if err != nil {
			return nil, err
		}
		if i == 1 {
			sent[i] = number(f[0])
		}
	}
	if err := c.drained(sent); err != nil {
		return nil, err
	}
	return c.stats(2)
}
