package suite

import (
	"fmt"
	"time"

	"maestro/bench/floor"
	"maestro/bench/group"
)

// warmUp is how long a fresh cluster is loaded before anything counts.
const warmUp = 300 * time.Millisecond

// benchFloor shows the yardstick itself.
func benchFloor(s *session) error {
	for _, n := range s.members([]int{3}, []int{2, 3, 9}) {
		if err := s.rawStreams(n); err != nil {
			return err
		}
	}
	w, err := newNetwork(s.ctx, &s.o, 2, true)
	if err != nil {
		return err
	}
	defer w.close()
	waits := []string{string(floor.Block), string(floor.NetPoll), string(floor.Hybrid),
		string(floor.Spin)}
	for _, wait := range or(s.o.Waits, waits) {
		r := newSeries("floor", map[string]any{"members": 2, "size": 64, "wait": wait})
		n := s.rounds(5000)
		if err := s.repeat(s.reps(), trips(n, 0), "raw ping-pong, "+wait, func() error {
			f, err := w.rawPing(wait, 64, n)
			if err != nil {
				return err
			}
			r.less("round trip p50", "us", f.P50us)
			r.less("round trip p99", "us", f.P99us)
			r.less("round trip p99.9", "us", f.P999us).minor()
			return nil
		}); err != nil {
			return err
		}
		s.finish(r)
	}
	return nil
}

// rawStreams is the floor's stream to n-1 receivers.
func (s *session) rawStreams(n int) error {
	w, err := newNetwork(s.ctx, &s.o, n, true)
	if err != nil {
		return err
	}
	defer w.close()
	d := s.duration(time.Second)
	for _, size := range pick(s, s.o.Sizes, []int{64}, []int{64, 1000, 8000}) {
		r := newSeries("floor", map[string]any{"members": n, "size": size})
		what := fmt.Sprintf("floor: %d members, %d B", n, size)
		if err := s.repeat(s.reps(), streams(0, d), what, func() error {
			f, err := w.rawStream(size, d)
			if err == nil {
				raw(r, &f)
			}
			return err
		}); err != nil {
			return err
		}
		s.finish(r)
	}
	return nil
}

// rounds is how many rounds a closed loop goes.
func (s *session) rounds(otherwise int) int {
	if s.o.Smoke {
		return 100
	}
	return otherwise
}

func raw(r *series, f *floor.Result) {
	r.more("rate", "msgs/s", f.MsgsPerSec)
	r.more("bytes", "MB/s", f.MBPerSec).minor()
	r.less("lost", "B", float64(f.LostBytes)).minor()
	r.less("cpu sender", "cores", f.Members[0].CPUSeconds/f.Seconds).minor()
	busy := 0.0
	for _, m := range f.Members[1:] {
		busy = max(busy, m.CPUSeconds/f.Seconds)
	}
	r.less("cpu receiver", "cores", busy).minor()
}

// benchThroughput measures every stack beside the floor, for all choices of
// members, senders, sizes and loss. What nobody has chosen is all of it for three
// members, and a few for other groups and for loss.
func benchThroughput(s *session) error {
	all := []int{16, 64, 1000, 8192, 65536, 1 << 20}
	some, both := []int{64, 1000}, []string{"one", "all"}
	parts := []load{{3, 0, all, both, Stacks()}}
	if s.o.Smoke {
		parts[0].sizes = some
	} else {
		for _, n := range []int{2, 9, 16} {
			parts = append(parts, load{n, 0, some, both, []string{"vsync"}})
		}
		for _, loss := range []int{1, 10, 50} {
			if s.o.Net == Namespaces {
				parts = append(parts, load{3, loss, some[1:], both[:1], []string{"vsync"}})
			}
		}
	}
	if len(s.o.Members)+len(s.o.Loss) > 0 {
		one := parts[0]
		parts = nil
		for _, n := range or(s.o.Members, []int{3}) {
			for _, loss := range or(s.o.Loss, []int{0}) {
				parts = append(parts, load{n, loss, one.sizes, one.senders, one.stacks})
			}
		}
	}
	for k, p := range parts {
		if hosts := len(s.o.Hosts); hosts > 0 && len(s.o.Members) == 0 && p.n > hosts {
			if k > 0 {
				continue
			}
			p.n = hosts
		}
		p.sizes, p.senders = or(s.o.Sizes, p.sizes), or(s.o.Senders, p.senders)
		p.stacks = or(s.o.Stacks, p.stacks)
		if err := s.throughput(p); err != nil {
			return err
		}
	}
	return nil
}

// load is one network's part of the throughput.
type load struct {
	n, loss int
	sizes   []int
	senders []string
	stacks  []string
}

// throughput measures one part. Where there is loss, bursts are cut into
// datagrams, so that each is lost or not by itself; and its yardstick is the
// stack without loss on the same network.
func (s *session) throughput(p load) error {
	if p.loss > 0 && s.o.Net != Namespaces {
		return ErrNoFaults
	}
	w, err := newNetwork(s.ctx, &s.o, p.n, p.loss == 0)
	if err != nil {
		return err
	}
	defer w.close()
	for k, name := range p.stacks {
		for _, wait := range s.waits() {
			b := &bed{session: s, w: w, number: k, stack: name, wait: wait}
			for _, senders := range p.senders {
				for _, size := range p.sizes {
					if err := b.rates(senders, size, p.loss); err != nil {
						return err
					}
				}
			}
			b.release()
		}
	}
	return nil
}

// bed has a cluster when it is needed. It is made anew for each repetition: one group
// may differ from the next for as long as it lives, as by who orders, and that belongs
// to the spread. Also, one that polls would disturb the floor.
type bed struct {
	*session
	w      *network
	number int
	stack  string
	wait   string
	c      *cluster
}

// ready gives the cluster, warm.
func (b *bed) ready() (*cluster, error) {
	if b.c != nil {
		return b.c, nil
	}
	var err error
	if b.c, err = b.w.cluster(b.number, b.stack, b.wait); err != nil {
		return nil, err
	}
	d := b.duration(warmUp)
	_, err = b.c.stream([]int{1}, 1000, d)
	return b.c, err
}

// forming is about how long a fresh cluster takes.
func (b *bed) forming() time.Duration {
	return formCost + time.Duration(b.w.n)*groupCost + b.duration(warmUp)
}

// release ends the cluster. Where there is an error nobody has to: the network
// does.
func (b *bed) release() {
	if b.c != nil {
		b.c.end()
		b.c = nil
	}
}

// rates measures one size.
func (b *bed) rates(senders string, size, loss int) error {
	n, d := b.w.n, b.duration(time.Second)
	r := newSeries("throughput", map[string]any{"members": n, "senders": senders, "size": size,
		"stack": b.stack, "wait": b.wait})
	if loss > 0 {
		r.params["loss"] = fmt.Sprintf("%g%%", float64(loss)/10)
	}
	who := []int{1}
	for i := 2; senders == "all" && i <= n; i++ {
		who = append(who, i)
	}
	text := fmt.Sprintf("throughput: %d members, %s sending, %d B, %s, loss %d/1000", n, senders,
		size, b.stack, loss)
	if err := b.repeat(b.reps(), b.forming()+streams(1, d), text, func() error {
		what := "floor"
		base, err := b.base(who, size, loss, d)
		if err != nil {
			return err
		}
		c, err := b.ready()
		if err != nil {
			return err
		}
		if loss > 0 {
			what = "no loss"
			if err := b.w.lab.loss(loss); err != nil {
				return err
			}
		}
		all, err := c.stream(who, size, d)
		if err != nil {
			return err
		}
		if loss > 0 {
			if err := b.w.lab.loss(0); err != nil {
				return err
			}
		}
		rate := slowest(all, who)
		r.more("rate", "msgs/s", rate).against(what, base/float64(size))
		r.more("bytes", "MB/s", rate*float64(size)/1e6).minor()
		cost(r, all, who)
		b.release()
		return nil
	}); err != nil {
		return err
	}
	b.finish(r)
	return nil
}

// base is the yardstick, in bytes a second: the floor, or the stack without loss.
func (b *bed) base(who []int, size, loss int, d time.Duration) (float64, error) {
	if loss == 0 {
		f, err := b.w.rawStream(size, d)
		return f.MsgsPerSec * float64(min(size, 60000)), err
	}
	c, err := b.ready()
	if err != nil {
		return 0, err
	}
	all, err := c.stream(who, size, d)
	return slowest(all, who) * float64(size), err
}

// stream has the senders cast as fast as they can.
func (c *cluster) stream(senders []int, size int, d time.Duration) ([]*group.Stats, error) {
	return c.work(senders, d, fmt.Sprintf("stream %d %d", size, d.Milliseconds()))
}

// slowest is the least rate of those who receive: when one member sends, the
// others; when all do, all, with their own messages.
func slowest(all []*group.Stats, senders []int) float64 {
	rate := 0.0
	for i, st := range all {
		if st == nil || len(senders) == 1 && i == senders[0] {
			continue
		}
		if v := st.Rate(); rate == 0 || v < rate {
			rate = v
		}
	}
	return rate
}

// cost adds what a load took, in its sender and in the dearest of the others.
func cost(r *series, all []*group.Stats, senders []int) {
	var stall, cpu, rss, allocs, switches float64
	var t group.Traffic
	took := 1e-9 // a sender may deliver nothing to itself, and not know
	for _, st := range all {
		if st != nil {
			took = max(took, st.Took.Seconds())
		}
	}
	for i, st := range all {
		if st == nil {
			continue
		}
		t.Repairs += st.Traffic.Repairs
		t.Drops += st.Traffic.Drops
		t.Limited += st.Traffic.Limited
		rss = max(rss, float64(st.Usage.RSS)/1024)
		if i == senders[0] {
			t.DatagramsOut, t.SyscallsOut = st.Traffic.DatagramsOut, st.Traffic.SyscallsOut
			t.BytesOut = st.Traffic.BytesOut
			r.less("switches sender", "1/s",
				float64(st.Usage.Switches+st.Usage.Preempted)/took).minor()
			r.less("cpu sender", "cores", st.Usage.CPU.Seconds()/took).minor()
			continue
		}
		t.DatagramsIn += st.Traffic.DatagramsIn
		t.SyscallsIn += st.Traffic.SyscallsIn
		t.BytesIn += st.Traffic.BytesIn
		stall = max(stall, float64(st.Stall)/1e3)
		cpu = max(cpu, st.Usage.CPU.Seconds()/took)
		switches = max(switches, float64(st.Usage.Switches+st.Usage.Preempted)/took)
		allocs = max(allocs, float64(st.Usage.Mallocs)/float64(max(st.Count, 1)))
	}
	per := func(a, b uint64) float64 { return float64(a) / float64(max(b, 1)) }
	r.less("stall", "us", stall).minor()
	r.less("cpu receiver", "cores", cpu).minor()
	r.less("switches", "1/s", switches).minor()
	r.less("allocations", "1/msg", allocs).minor()
	r.less("rss", "MiB", rss).minor()
	r.more("per send", "datagrams", per(t.DatagramsOut, t.SyscallsOut)).minor()
	r.more("per receive", "datagrams", per(t.DatagramsIn, t.SyscallsIn)).minor()
	r.more("per send in bytes", "B", per(t.BytesOut, t.SyscallsOut)).minor()
	r.more("per receive in bytes", "B", per(t.BytesIn, t.SyscallsIn)).minor()
	r.less("repairs", "segments", float64(t.Repairs)).minor()
	r.less("socket drops", "datagrams", float64(t.Drops)).minor()
	r.less("flow limited", "times", float64(t.Limited)).minor()
}
