package suite

import (
	"fmt"
	"time"
)

// benchSoak loads a group for a long time at a steady rate, far from its limit,
// and looks for what changes: memory, latency, views that nobody has asked for.
// Its repetitions are the parts of the whole time.
func benchSoak(s *session) error {
	const rate = 20000
	size := pick(s, s.o.Sizes, []int{200}, []int{200})[0]
	whole := s.o.Duration
	if whole == 0 {
		whole = time.Minute
		if s.o.Smoke {
			whole = 300 * time.Millisecond
		}
	}
	parts := max(int(whole/(10*time.Second)), 3)
	for _, n := range s.members([]int{3}, []int{3}) {
		for _, name := range or(s.o.Stacks, []string{"vsync"}) {
			for _, wait := range s.waits() {
				w, err := newNetwork(s.ctx, &s.o, n, true)
				if err != nil {
					return err
				}
				b := &bed{session: s, w: w, stack: name, wait: wait}
				err = b.soak(size, rate, parts, whole/time.Duration(parts))
				w.close()
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *bed) soak(size, rate, parts int, d time.Duration) error {
	w, pings := b.w, b.rounds(500)
	who := make([]int, w.n)
	for i := range who {
		who[i] = i + 1
	}
	r := newSeries("soak", map[string]any{"members": w.n, "stack": b.stack, "wait": b.wait,
		"size": size, "rate": rate})
	command := fmt.Sprintf("pace %d %d %d 10 0", size, d.Milliseconds(), max(rate/w.n, 1))
	first := 0.0
	if err := b.repeat(parts, d+trips(pings, 0), "soak: "+b.stack, func() error {
		f, err := w.rawPing(b.wait, min(size, 1400), pings)
		if err != nil {
			return err
		}
		c, err := b.ready()
		if err != nil {
			return err
		}
		all, err := c.work(who, d, command)
		if err != nil {
			return err
		}
		var cpu, rss, stall float64
		var views, drops uint64
		for _, st := range all[1:] {
			cpu = max(cpu, st.Usage.CPU.Seconds()/max(st.Took.Seconds(), 1e-9)*100)
			rss = max(rss, float64(st.Usage.RSS)/1024)
			stall = max(stall, float64(st.Stall)/1e6)
			views += st.Traffic.Views
			drops += st.Traffic.Drops
			if st.Members != w.n {
				return fmt.Errorf("suite: a member is in a view of %d", st.Members)
			}
		}
		if first == 0 {
			first = rss
		}
		r.more("delivered", "msgs/s", slowest(all, who)).against("offered", float64(rate))
		r.oneWay(oneWay(all, who), &f, "half ping-pong")
		r.less("cpu", "% of a core", cpu)
		r.less("stall", "ms", stall)
		r.less("rss", "MiB", rss)
		r.less("rss growth", "MiB", rss-first)
		r.less("views", "", float64(views))
		r.less("socket drops", "datagrams", float64(drops)).minor()
		return nil
	}); err != nil {
		return err
	}
	b.finish(r)
	return nil
}
