package suite

import (
	"fmt"
	"time"

	"maestro/bench/group"
)

// benchLineage runs the original systems' own tests under their own definitions.
// Each has a yardstick of what the wire and the processors allow.
func benchLineage(s *session) error {
	for _, name := range or(s.o.Stacks, []string{"vsync", "total"}) {
		groups := []int{2, 3}
		if s.o.Full {
			groups = append(groups, 5)
		}
		for _, n := range s.members(groups[:2], groups) {
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
	for _, wait := range s.waits() {
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
	r, n := b.lineage("maestro-perf", nil), b.rounds(500)
	if err := b.repeat(b.reps(), b.forming()+trips(n, n), "maestro-perf: "+b.stack, func() error {
		f, err := b.w.rawPing(b.wait, 24, n)
		if err != nil {
			return err
		}
		c, err := b.ready()
		if err != nil {
			return err
		}
		st, err := c.calls(n)
		if err != nil {
			return err
		}
		// A round begins when the one before ends, so the mean is all there is to know.
		r.more("rounds", "1/s", 1e9/st.Trips.Sent.Mean()).against("ping-pong", 1e6/f.P50us)
		r.trips("round", st.Trips.Sent, &f, "ping-pong")
		b.release()
		return nil
	}); err != nil {
		return err
	}
	b.finish(r)
	return nil
}

// calls has member 1 cast and the others answer by casts. The first tenth is not
// counted.
func (c *cluster) calls(count int) (*group.Stats, error) {
	for _, n := range []int{count/10 + 1, count} {
		if err := c.reset(); err != nil {
			return nil, err
		}
		if err := c.procs[1].say("call 0 %d", n); err != nil {
			return nil, err
		}
		if _, err := c.procs[1].wait(c.ctx, "CALLED", time.Minute, nil); err != nil {
			return nil, err
		}
	}
	return c.stats(1)
}

// rpc is one cast of s bytes and n-1 point-to-point replies; the mean of a round
// over 1000.
func (b *bed) rpc() error {
	for _, size := range pick(b.session, b.o.Sizes, []int{64}, []int{24, 1000}) {
		r, n := b.lineage("rpc", map[string]any{"size": size}), b.rounds(1000)
		what := fmt.Sprintf("rpc: %s, %d members, %d B", b.stack, b.w.n, size)
		if err := b.repeat(b.reps(), b.forming()+trips(n, n), what, func() error {
			f, err := b.w.rawPing(b.wait, min(size, 1400), n)
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
			r.less("round mean", "us", st.Trips.Late.Mean()/1e3).against("ping-pong", f.P50us)
			r.trips("round", st.Trips.Late, &f, "ping-pong")
			b.release()
			return nil
		}); err != nil {
			return err
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
		what := fmt.Sprintf("ring: %s, %d members, k = %d", b.stack, b.w.n, k)
		if err := b.repeat(b.reps(), b.forming()+trips(500, 2*rounds), what, func() error {
			f, err := b.w.rawPing(b.wait, size, b.rounds(500))
			if err != nil {
				return err
			}
			c, err := b.ready()
			if err != nil {
				return err
			}
			if _, err := c.turns(k, size, rounds/10+1); err != nil { // not counted
				return err
			}
			took, err := c.turns(k, size, rounds)
			if err != nil {
				return err
			}
			round, all := took.Seconds()/float64(rounds), float64(k*b.w.n)
			r.less("round mean", "us", round*1e6).against("half ping-pong", f.P50us/2)
			r.more("total", "msgs/s", all/round).against("half ping-pong", all/f.P50us*2e6)
			b.release()
			return nil
		}); err != nil {
			return err
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
	d, pings := b.duration(time.Second), b.rounds(500)
	for _, test := range []string{"1-n", "m-n"} {
		who := []int{1}
		for i := 2; test == "m-n" && i <= b.w.n; i++ {
			who = append(who, i)
		}
		for _, rate := range pick(b.session, nil, []int{1000}, []int{1000, 10000, 100000}) {
			r := b.lineage(test, map[string]any{"offered": rate, "size": size})
			what := fmt.Sprintf("%s: %s, %d members, %d/s", test, b.stack, b.w.n, rate)
			if err := b.repeat(b.reps(), b.forming()+trips(pings, 0)+d, what, func() error {
				f, err := b.w.rawPing(b.wait, size, pings)
				if err != nil {
					return err
				}
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
				r.oneWay(oneWay(all, who), &f, "half ping-pong")
				b.release()
				return nil
			}); err != nil {
				return err
			}
			b.finish(r)
		}
	}
	return nil
}
