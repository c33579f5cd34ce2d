package suite

import (
	"fmt"
	"time"

	"maestro/bench/floor"
)

// benchLineage runs the original systems' own tests under their own definitions.
// Each has a yardstick of what the wire and the processors allow.
func benchLineage(s *session) error {
	for _, name := range or(s.o.Stacks, []string{"vsync", "total"}) {
		for _, n := range s.members([]int{2, 3}, []int{2, 3, 5}) {
			if err := s.lineage(n, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) lineage(n int, stackName string) error {
	w, err := newNetwork(s.ctx, &s.o, n, true)
	if err != nil {
		return err
	}
	defer w.close()
	for _, wait := range or(s.o.Waits, []string{string(floor.Block)}) {
		b := &bed{session: s, w: w, stack: stackName, wait: wait}
		tests := []func(*bed) error{(*bed).rpc, (*bed).ring, (*bed).paced}
		if n == 2 {
			tests = append(tests, (*bed).perf)
		}
		for _, test := range tests {
			if err := test(b); err != nil {
				return err
			}
		}
		b.release()
	}
	return nil
}

func (b *bed) lineage(test string, more map[string]any) *series {
	p := map[string]any{"test": test, "members": b.w.n, "stack": b.stack, "wait": b.wait}
	for k, v := range more {
		p[k] = v
	}
	return newSeries("lineage", p)
}

// perf is maestro-perf: two members; an empty cast, answered by an empty cast,
// 500 rounds.
func (b *bed) perf() error {
	r := b.lineage("maestro-perf", nil)
	for range b.reps(5) {
		b.progress("maestro-perf: %s", b.stack)
		f, err := b.w.rawPing(b.wait, 24, b.rounds(500))
		if err != nil {
			return err
		}
		c, err := b.ready()
		if err != nil {
			return err
		}
		if err := c.reset(); err != nil {
			return err
		}
		began := time.Now()
		if err := c.procs[1].say("call 0 %d", b.rounds(500)); err != nil {
			return err
		}
		if _, err := c.procs[1].wait(b.ctx, "CALLED", time.Minute, nil); err != nil {
			return err
		}
		took := time.Since(began)
		st, err := c.stats(1)
		if err != nil {
			return err
		}
		r.more("rounds", "1/s", float64(b.rounds(500))/took.Seconds()).
			against("ping-pong", 1e6/f.P50us)
		r.latency("round", st.Trips.Sent)
		b.rest()
	}
	b.finish(r)
	return nil
}

// rpc is one cast of s bytes and n-1 point-to-point replies; the mean of a round
// over 1000.
func (b *bed) rpc() error {
	for _, size := range pick(b.session, b.o.Sizes, []int{64}, []int{24, 1000}) {
		r := b.lineage("rpc", map[string]any{"size": size})
		for range b.reps(5) {
			b.progress("rpc: %s, %d members, %d B", b.stack, b.w.n, size)
			f, err := b.w.rawPing(b.wait, min(size, 1400), b.rounds(1000))
			if err != nil {
				return err
			}
			c, err := b.ready()
			if err != nil {
				return err
			}
			st, err := c.ask(size, b.rounds(1000))
			if err != nil {
				return err
			}
			r.less("round mean", "us", st.Trips.Late.Mean()/1e3).against("ping-pong", f.P50us)
			r.latency("round", st.Trips.Late)
			b.rest()
		}
		b.finish(r)
	}
	return nil
}

// ring is rounds in which every member casts k messages and waits for the
// (n-1)k of the others; the mean time of a round, and messages delivered a second
// in all rounds.
func (b *bed) ring() error {
	const size = 64
	for _, k := range pick(b.session, nil, []int{1, 10}, []int{1, 10, 100}) {
		r := b.lineage("ring", map[string]any{"k": k, "size": size})
		rounds := b.rounds(max(2000/k, 200))
		for range b.reps(5) {
			b.progress("ring: %s, %d members, k = %d", b.stack, b.w.n, k)
			f, err := b.w.rawPing(b.wait, size, b.rounds(500))
			if err != nil {
				return err
			}
			c, err := b.ready()
			if err != nil {
				return err
			}
			took, err := c.turns(k, size, rounds)
			if err != nil {
				return err
			}
			round := took.Seconds() / float64(rounds)
			r.less("round mean", "us", round*1e6).against("half ping-pong", f.P50us/2)
			r.more("total", "msgs/s", float64(k*b.w.n)/round)
			b.rest()
		}
		b.finish(r)
	}
	return nil
}

// turns has all members do rounds of the ring, and tells how long the last of
// them took.
func (c *cluster) turns(each, size, rounds int) (took time.Duration, err error) {
	if err := c.reset(); err != nil {
		return 0, err
	}
	if err := c.each(func(i int) error {
		return c.procs[i].say("turns %d %d %d", each, size, rounds)
	}); err != nil {
		return 0, err
	}
	err = c.each(func(i int) error {
		f, err := c.procs[i].wait(c.ctx, "TURNED", time.Minute, anyFields)
		if err == nil {
			took = max(took, time.Duration(number(f[0])))
		}
		return err
	})
	return took, err
}

// paced is 1-n and m-n: casts of 1000 bytes at a fixed rate in all, from one
// member or from all; what the slowest receiver delivers a second, and when.
func (b *bed) paced() error {
	const size = 1000
	d := b.duration(time.Second)
	for _, test := range []string{"1-n", "m-n"} {
		who := []int{1}
		for i := 2; test == "m-n" && i <= b.w.n; i++ {
			who = append(who, i)
		}
		for _, rate := range pick(b.session, nil, []int{1000}, []int{1000, 10000, 100000}) {
			r := b.lineage(test, map[string]any{"offered": rate, "size": size})
			for range b.reps(3) {
				b.progress("%s: %s, %d members, %d/s", test, b.stack, b.w.n, rate)
				c, err := b.ready()
				if err != nil {
					return err
				}
				all, err := c.work(who, d, fmt.Sprintf("pace %d %d %d %d 0", size, d.Milliseconds(),
					rate/len(who), rate/timedRate+1))
				if err != nil {
					return err
				}
				r.more("delivered", "msgs/s", slowest(all, who)).against("offered", float64(rate))
				r.latency("one way", oneWay(all, who))
				b.rest()
			}
			b.finish(r)
		}
	}
	return nil
}
