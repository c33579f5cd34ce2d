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
			w, err := newNetwork(s.ctx, &s.o, n, true)
			if err != nil {
				return err
			}
			err = s.soak(w, name, size, rate, parts, whole/time.Duration(parts))
			w.close()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) soak(w *network, name string, size, rate, parts int, d time.Duration) error {
	c, err := w.cluster(0, name, "")
	if err != nil {
		return err
	}
	who := make([]int, w.n)
	for i := range who {
		who[i] = i + 1
	}
	r := newSeries("soak", map[string]any{"members": w.n, "stack": name, "size": size,
		"rate": rate})
	command := fmt.Sprintf("pace %d %d %d 10 0", size, d.Milliseconds(), max(rate/w.n, 1))
	first := 0.0
	for k := range parts {
		s.progress("soak: part %d of %d", k+1, parts)
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
		if k == 0 {
			first = rss
		}
		r.more("delivered", "msgs/s", slowest(all, who)).against("offered", float64(rate))
		r.latency("one way", oneWay(all, who))
		r.less("cpu", "% of a core", cpu)
		r.less("stall", "ms", stall)
		r.less("rss", "MiB", rss)
		r.less("rss growth", "MiB", rss-first)
		r.less("views", "", float64(views))
		r.less("socket drops", "datagrams", float64(drops)).minor()
	}
	s.finish(r)
	return nil
}
