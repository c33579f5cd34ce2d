package suite

import (
	"fmt"
	"slices"
	"time"

	"maestro/bench/group"
	"maestro/bench/result"
)

// benchOrder holds every stack that orders more than FIFO beside the plain one:
// both groups are there at the same time, on the same hosts, and take turns.
func benchOrder(s *session) error {
	for _, n := range s.members([]int{3}, []int{3}) {
		for _, name := range or(s.o.Stacks, ordering()) {
			for _, wait := range s.waits() {
				if err := s.order(n, name, wait); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// ordering lists the stacks to hold beside the plain one.
func ordering() []string {
	return slices.DeleteFunc(Stacks(), func(n string) bool {
		return n == "vsync" || n == "nolocal"
	})
}

func (s *session) order(n int, name, wait string) error {
	w, err := newNetwork(s.ctx, &s.o, n, true)
	if err != nil {
		return err
	}
	defer w.close()
	plain := &bed{session: s, w: w, number: 0, stack: "vsync", wait: wait}
	other := &bed{session: s, w: w, number: 1, stack: name, wait: wait}
	d := s.duration(time.Second)
	for _, senders := range or(s.o.Senders, []string{"one", "all"}) {
		for _, size := range pick(s, s.o.Sizes, []int{64}, []int{64, 1000}) {
			r := newSeries("order", map[string]any{"members": n, "senders": senders, "size": size,
				"stack": name, "wait": wait})
			what := fmt.Sprintf("order: %s, %d members, %s sending, %d B", name, n, senders, size)
			if err := s.repeat(s.reps(), 2*plain.forming()+streams(3, d), what, func() error {
				defer plain.release()
				defer other.release()
				return compareOrder(r, plain, other, senders, size, d)
			}); err != nil {
				return err
			}
			s.finish(r)
		}
	}
	return nil
}

// compareOrder is one repetition: rates and one-way latencies of both.
func compareOrder(r *series, plain, other *bed, senders string, size int, d time.Duration) error {
	n := plain.w.n
	// Not the first: it may be the one that orders.
	who := []int{n}
	for i := 1; senders == "all" && i < n; i++ {
		who = append(who, i)
	}
	var rate [2]float64
	var late [2]*result.Latency
	for k, b := range []*bed{plain, other} {
		c, err := b.ready()
		if err != nil {
			return err
		}
		all, err := c.stream(who, size, d)
		if err != nil {
			return err
		}
		rate[k] = slowest(all, who)
		each := idleRate / len(who)
		if all, err = c.work(who, d, fmt.Sprintf("pace %d %d %d 1 0", size, d.Milliseconds(),
			each)); err != nil {
			return err
		}
		late[k] = oneWay(all, who)
	}
	r.more("rate", "msgs/s", rate[1]).against("FIFO", rate[0])
	p50, p99 := r.latency("one way", late[1])
	p50.against("FIFO", late[0].Micros(0.5))
	p99.against("FIFO", late[0].Micros(0.99))
	return nil
}

// oneWay merges the latencies of those who receive.
func oneWay(all []*group.Stats, senders []int) *result.Latency {
	l := result.NewLatency()
	for i, st := range all {
		if st != nil && (len(senders) > 1 || i != senders[0]) {
			l.Merge(st.Casts.Late)
		}
	}
	return l
}
