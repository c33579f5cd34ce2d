package suite

import (
	"maestro/bench/pair"
)

// benchStack measures what one message costs in the stack alone: two members in
// one goroutine, joined by memory.
func benchStack(s *session) error {
	for _, name := range pick(s, s.o.Stacks, Stacks(), Stacks()) {
		want, err := Stack(name)
		if err != nil {
			return err
		}
		for _, size := range pick(s, s.o.Sizes, []int{64}, []int{64, 1000}) {
			for _, batch := range []int{1, 64, 1000} {
				if s.ctx.Err() != nil {
					return s.ctx.Err()
				}
				s.progress("stack: %s, %d B, %d in a turn", name, size, batch)
				r := newSeries("stack", map[string]any{"stack": name, "size": size, "batch": batch})
				count := 200_000
				if s.o.Smoke {
					count = 2000
				}
				for range s.reps(5) {
					c, err := pair.Run(want, size, batch, count)
					if err != nil {
						return err
					}
					r.less("down and up", "ns", c.Down+c.Up)
					r.less("down", "ns", c.Down).minor()
					r.less("up", "ns", c.Up).minor()
					r.less("allocations", "1/msg", c.Allocs)
					r.less("on the wire", "B/msg", c.Wire)
				}
				s.finish(r)
			}
		}
	}
	return nil
}
