package suite

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"maestro/layers"
	"maestro/stack"
	"maestro/stack/sim"
)

// benchScale measures what a member costs as the group grows: real ones while
// they are idle, simulated ones up to a thousand.
func benchScale(s *session) error {
	for _, n := range s.members([]int{3}, []int{2, 4, 8, 16}) {
		if n > MaxMembers {
			continue
		}
		if err := s.idle(n); err != nil {
			return err
		}
	}
	sizes := []int{2, 4, 8, 16, 32, 64, 128, 256, 512, 1000}
	for _, name := range or(s.o.Stacks, []string{"vsync"}) {
		more := true
		for _, n := range pick(s, s.o.Members, sizes[:4], sizes) {
			about := 10*time.Millisecond + time.Duration(n*n)*20*time.Microsecond
			what := fmt.Sprintf("scale: %d simulated members", n)
			if err := s.repeat(1, about, what, func() (err error) {
				if more {
					more, err = s.simulated(name, n)
				}
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// idle measures real members that do nothing.
func (s *session) idle(n int) error {
	w, err := newNetwork(s.ctx, &s.o, n, true)
	if err != nil {
		return err
	}
	defer w.close()
	d := s.duration(time.Second)
	for _, name := range or(s.o.Stacks, []string{"vsync"}) {
		for _, wait := range s.waits() {
			b := &bed{session: s, w: w, stack: name, wait: wait}
			r := newSeries("scale", map[string]any{"members": n, "stack": name, "wait": wait,
				"on": s.o.Net})
			what := fmt.Sprintf("scale: %d idle members", n)
			if err := s.repeat(s.reps(), d, what, func() error {
				return b.idle(r, d)
			}); err != nil {
				return err
			}
			s.finish(r)
			b.release()
		}
	}
	return nil
}

// idle is one repetition: the dearest member counts.
func (b *bed) idle(r *series, d time.Duration) error {
	c, err := b.ready()
	if err != nil {
		return err
	}
	if err := c.reset(); err != nil {
		return err
	}
	began := time.Now()
	select {
	case <-time.After(d):
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	all, err := c.allStats()
	if err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	cpu, rss, in, out := 0.0, 0.0, 0.0, 0.0
	for _, st := range all[1:] {
		cpu = max(cpu, st.Usage.CPU.Seconds()/took*100)
		rss = max(rss, float64(st.Usage.RSS)/1024)
		in = max(in, float64(st.Traffic.DatagramsIn)/took)
		out = max(out, float64(st.Traffic.DatagramsOut)/took)
	}
	r.less("idle cpu", "% of a core", cpu)
	r.less("idle rss", "MiB", rss)
	r.less("idle datagrams in", "1/s", in)
	r.less("idle datagrams out", "1/s", out)
	return nil
}

// The bounds of one simulated size. A size is tried only if the one before has
// stayed far below them, as most costs grow with the square of the members.
const (
	simTime = 60 * time.Second // of this machine
	simHeap = 12 << 30         // and no more than half of the machine's memory
)

// world is a simulated group.
type world struct {
	*session
	w     *sim.World
	apps  []*sim.Recorder
	end   time.Time
	begun time.Time
}

var errBudget = fmt.Errorf("suite: a simulation takes longer than %v", simTime)

// simulated measures one size, and tells whether a larger one may be tried.
func (s *session) simulated(name string, n int) (more bool, err error) {
	want, err := Stack(name)
	if err != nil {
		return false, err
	}
	x := &world{session: s, w: sim.New(uint64(n), sim.Options{}), begun: time.Now()}
	x.end = x.begun.Add(simTime)
	r := newSeries("scale", map[string]any{"members": n, "stack": name, "on": "sim"})
	err = x.measure(r, n, want)
	note := ""
	if err != nil {
		if s.ctx.Err() != nil {
			return false, s.ctx.Err()
		}
		note = err.Error()
		r.more("complete", "", 0)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	took := time.Since(x.begun)
	r.less("heap", "KiB/member", float64(m.HeapAlloc)/1024/float64(n)).minor()
	r.less("real time", "s", took.Seconds()).minor()
	first := len(s.points)
	s.finish(r)
	for _, p := range s.points[first:] {
		p.Note = note
	}
	x.apps = nil
	if e := x.w.Close(); err == nil && e != nil {
		return false, e
	}
	x.w = nil
	runtime.GC()
	heap := min(simHeap, uint64(s.machine.MemoryKiB)<<9)
	return err == nil && took < simTime/5 && m.HeapAlloc < heap/5, nil
}

// wait lets virtual time pass until ok, within the bounds.
func (x *world) wait(limit time.Duration, ok func() bool) error {
	for end := x.w.Now().Add(limit); x.w.Now() < end; {
		if ok() {
			return nil
		}
		if x.ctx.Err() != nil {
			return x.ctx.Err()
		}
		if time.Now().After(x.end) {
			return errBudget
		}
		x.w.RunFor(100 * time.Microsecond)
	}
	if ok() {
		return nil
	}
	return fmt.Errorf("suite: not within %v of virtual time", limit)
}

// whole tells whether the first n members are in one view of n.
func (x *world) whole(n int) func() bool {
	return func() bool {
		for _, r := range x.apps[:n] {
			if r.Current == nil || len(r.Current.Members) != n {
				return false
			}
		}
		return true
	}
}

func (x *world) measure(r *series, n int, want stack.Props) error {
	name, makers := layers.For(want)
	for i := range n {
		app := &sim.Recorder{}
		m, err := x.w.Add(fmt.Sprintf("m%04d", i), stack.Config{StackName: name, Layers: makers,
			RecvBuf: 4 << 20, Bootstrap: i == 0}, app)
		if err != nil {
			return err
		}
		x.apps = append(x.apps, app)
		m.Join()
	}
	ms := func(from stack.Time) float64 { return x.w.Now().Sub(from).Seconds() * 1e3 }
	if err := x.wait(20*time.Second, x.whole(n)); err != nil {
		return fmt.Errorf("start of %d at once: %w", n, err)
	}
	r.less("start", "ms", ms(0)).everywhere()
	r.less("start datagrams", "per member", float64(x.w.Stats().Sent)/float64(n)).everywhere()
	if err := x.quiet(r, n); err != nil {
		return err
	}
	if err := x.cast(r, n); err != nil {
		return err
	}
	before, at := *x.w.Stats(), x.w.Now()
	x.w.Members()[n-1].Crash()
	if err := x.wait(20*time.Second, x.whole(n-1)); err != nil {
		return fmt.Errorf("crash: %w", err)
	}
	r.less("crash to view", "ms", ms(at)).everywhere()
	sent := float64(x.w.Stats().Sent - before.Sent)
	r.less("crash datagrams", "per member", sent/float64(n)).everywhere()
	return nil
}

// quiet is members that do nothing.
func (x *world) quiet(r *series, n int) error {
	d := 500 * time.Millisecond
	if n > 128 {
		d = 100 * time.Millisecond
	}
	// Let what forming the group has left to do come to its end.
	never := func() bool { return false }
	if err := x.passed(x.wait(d, never)); err != nil {
		return err
	}
	before, began := *x.w.Stats(), time.Now()
	if err := x.passed(x.wait(d, never)); err != nil {
		return err
	}
	after := x.w.Stats()
	per := float64(n) * d.Seconds()
	r.less("idle datagrams out", "1/s", float64(after.Sent-before.Sent)/per).everywhere()
	r.less("idle datagrams in", "1/s", float64(after.Arrived-before.Arrived)/per).everywhere()
	r.less("idle simulation", "ms of cpu/member/s", time.Since(began).Seconds()*1e3/per).minor()
	return nil
}

// passed takes the end of a wait for nothing as no error.
func (x *world) passed(err error) error {
	if err == errBudget || x.ctx.Err() != nil {
		return err
	}
	return nil
}

// cast is one member that casts to all, a message each 100 us.
func (x *world) cast(r *series, n int) error {
	const count, size = 100, 100
	before, at := *x.w.Stats(), x.w.Now()
	had := make([]int, n)
	for i, a := range x.apps {
		had[i] = a.Delivered
	}
	for range count {
		x.apps[n-1].Cast(size)
		x.w.RunFor(100 * time.Microsecond)
	}
	if err := x.wait(10*time.Second, func() bool {
		for i, a := range x.apps {
			if a.Delivered-had[i] < count {
				return false
			}
		}
		return true
	}); err != nil {
		return fmt.Errorf("casts: %w", err)
	}
	after := x.w.Stats()
	took := x.w.Now().Sub(at).Seconds()
	r.less("datagrams", "per cast", float64(after.Sent-before.Sent)/count).everywhere()
	r.more("delivered", "msgs/s", count/took).minor()
	return nil
}
