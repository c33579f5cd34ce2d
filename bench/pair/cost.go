package pair

import (
	"fmt"
	"runtime"
	"time"

	"maestro/stack"
)

// Cost is what one message takes on its way, on average.
type Cost struct {
	Down   float64 // ns, of casting it, self-delivery and the acknowledgement included
	Up     float64 // ns, of receiving it
	Allocs float64
	Wire   float64 // bytes transmitted by all, headers and control included
}

// reads is how often one turn of Measure reads the clock.
const reads = 4

// Measure has the last member cast count messages of size bytes, batch of them in
// each turn, and the first receive them; in total order it is the first one that
// orders. The copy from one to the other counts as down. The sum is processor
// time where that can be told, so that others on the machine do not matter much;
// how it divides into down and up goes by the clock. The price of reading the
// clock is taken off.
func (p *Pair) Measure(size, batch, count int) (c Cost, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	from, to := p.Members[len(p.Members)-1], p.Members[0]
	data := make([]byte, size)
	clock := clockCost()
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	sent, turns, got, bytes := 0, 0, to.Delivered, from.Bytes+to.Bytes
	var down, up time.Duration
	cpu, ok := threadTime()
	for ; sent < count; turns++ {
		began := time.Now()
		from.Group.Advance(p.now)
		for range batch {
			if from.Group.Cast(1, nil, data) != nil {
				break // the window is closed
			}
			sent++
		}
		from.End()
		middle := time.Now()
		to.Turn()
		end := time.Now()
		from.Turn() // what has come back
		down += middle.Sub(began) + time.Since(end) - 2*clock
		up += end.Sub(middle) - clock
		p.Pass(time.Duration(batch) * 100)
	}
	whole := down + up
	if now, _ := threadTime(); ok {
		whole = now - cpu - time.Duration(reads*turns)*clock
	}
	runtime.ReadMemStats(&m1)
	p.until(func() bool { return to.Delivered == got+uint64(sent) })
	if n := to.Delivered - got; n != uint64(sent) {
		return c, fmt.Errorf("pair: %d of %d messages delivered", n, sent)
	}
	n := float64(sent)
	part := float64(down) / float64(max(down+up, 1))
	return Cost{Down: float64(whole) / n * part, Up: float64(whole) / n * (1 - part),
		Allocs: float64(m1.Mallocs-m0.Mallocs) / n,
		Wire:   float64(from.Bytes+to.Bytes-bytes) / n}, nil
}

// clockCost is what reading the clock costs: the least of several tries, since
// others may run in between.
func clockCost() time.Duration {
	const tries, n = 20, 100
	least := time.Hour
	for range tries {
		began := time.Now()
		for range n {
			_ = time.Now()
		}
		least = min(least, time.Since(began)/n)
	}
	return least
}

// Run measures with a pair of its own, after a warm-up.
func Run(want stack.Props, size, batch, count int) (c Cost, err error) {
	p, err := New(2, want)
	if err != nil {
		return c, err
	}
	if _, err = p.Measure(size, batch, count); err != nil {
		return c, err
	}
	if c, err = p.Measure(size, batch, count); err != nil {
		return c, err
	}
	return c, p.Close()
}
