package suite

import (
	"fmt"
	"time"

	"maestro/bench/floor"
	"maestro/bench/pair"
)

// stackBytes bounds what one repetition moves.
const stackBytes = 256 << 20

// benchStack measures what one message costs in the stack alone: two members in
// one goroutine, joined by memory. The yardstick is what the floor does with a
// message in memory.
func benchStack(s *session) error {
	for _, name := range pick(s, s.o.Stacks, Stacks(), Stacks()) {
		want, err := Stack(name)
		if err != nil {
			return err
		}
		for _, size := range pick(s, s.o.Sizes, []int{64}, []int{64, 1000}) {
			for _, batch := range []int{1, 64, 1000} {
				what := fmt.Sprintf("stack: %s, %d B, %d in a turn", name, size, batch)
				r := newSeries("stack", map[string]any{"stack": name, "size": size, "batch": batch})
				count := min(200_000, max(1, stackBytes/size))
				if s.o.Smoke {
					count = min(count, 2000)
				}
				if err := s.repeat(s.reps(), 100*time.Millisecond, what, func() error {
					c, err := pair.Run(want, size, batch, count)
					if err != nil {
						return err
					}
					r.less("down and up", "ns", c.Down+c.Up).
						against("floor in memory", inMemory(size, batch, count))
					r.less("down", "ns", c.Down).minor()
					r.less("up", "ns", c.Up).minor()
					r.less("allocations", "1/msg", c.Allocs).everywhere()
					r.less("on the wire", "B/msg", c.Wire).everywhere()
					return nil
				}); err != nil {
					return err
				}
				s.finish(r)
			}
		}
	}
	return nil
}

// inMemory is the floor's part, whose messages have an end.
func inMemory(size, batch, count int) float64 {
	piece := min(size, 60000)
	return floor.Memory(piece, batch, count) * float64(size) / float64(piece)
}
