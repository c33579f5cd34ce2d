package sim

import (
	"math/rand/v2"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// Load is a random workload of a Recorder.
type Load struct {
	// Every is the mean time between bursts, Burst the most messages of one.
	Every time.Duration
	Burst int
	// Small is the most bytes of an ordinary message. Long is the probability
	// of one of up to LongSize bytes.
	Small    int
	Long     float64
	LongSize int
	// Sends is the part of the messages that go to one member only.
	Sends float64
	// Cores is the part of the others that go to the core only.
	Cores float64
	// Most is how many messages may wait before no more are made.
	Most int
}

// Work has the recorder send by a workload until the time until, or until the
// member ends.
func (r *Recorder) Work(l Load, until stack.Time) {
	w := r.m.world
	if l.Every <= 0 {
		return
	}
	d := time.Duration(r.m.rand.ExpFloat64()*float64(l.Every)) + 1
	if w.now.Add(d) >= until {
		return
	}
	w.After(d, func() {
		if r.m.ended || r.Gone {
			return
		}
		if !r.m.paused && r.Current != nil {
			r.burst(&l)
		}
		r.Work(l, until)
	})
}

func (r *Recorder) burst(l *Load) {
	rnd := r.m.rand
	n := 1
	if l.Burst > 1 {
		n += rnd.IntN(l.Burst)
	}
	r.m.Do(func(*stack.Group) {
		for range n {
			if l.Most > 0 && len(r.outbox) >= l.Most {
				return
			}
			var to wire.Endpoint
			if l.Sends > 0 && rnd.Float64() < l.Sends {
				to = r.Current.Members[rnd.IntN(len(r.Current.Members))].ID
			}
			size := l.size(rnd)
			if to.IsZero() && l.Cores > 0 && rnd.Float64() < l.Cores {
				r.CastCore(size)
				continue
			}
			r.Submit(to, size)
		}
	})
}

func (l *Load) size(rnd *rand.Rand) int {
	if l.Long > 0 && rnd.Float64() < l.Long {
		return 1 + rnd.IntN(l.LongSize)
	}
	return 1 + rnd.IntN(max(l.Small, 1))
}
