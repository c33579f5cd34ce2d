package swarm

import (
	"sync"
	"time"
)

// Batch is what a run of many seeds came to.
type Batch struct {
	Passed, Failed int
	Failures       []Result // in the order of their seeds, at most maxFailures
	Virtual        time.Duration
	Real           time.Duration
	Sent           uint64
	Deliveries     uint64
	Views          uint64
	Datagrams      uint64
	Counters       map[string]uint64
	Actions        map[string]uint64
}

const maxFailures = 100

// add adds a result, which come in the order of their seeds.
func (b *Batch) add(r *Result) {
	if r.OK() {
		b.Passed++
	} else {
		b.Failed++
		if len(b.Failures) < maxFailures {
			b.Failures = append(b.Failures, *r)
		}
	}
	b.Virtual += r.Virtual
	b.Sent += uint64(r.Sent)
	b.Deliveries += uint64(r.Deliveries)
	b.Views += uint64(r.Views)
	b.Datagrams += r.Net.Sent
	for k, n := range r.Counters {
		b.Counters[k] += n
	}
	for k, n := range r.Actions {
		b.Actions[k] += n
	}
}

// RunSeeds runs n seeds from start on, on several workers. Progress, if not
// nil, is called after each seed, in their order, with the batch so far.
func RunSeeds(start uint64, n, workers int, o Options, progress func(b *Batch, r *Result)) Batch {
	began := time.Now()
	b := Batch{Counters: map[string]uint64{}, Actions: map[string]uint64{}}
	jobs := make(chan int)
	results := make([]chan Result, 2*workers)
	for i := range results {
		results[i] = make(chan Result, 1)
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range jobs {
				results[i%len(results)] <- Run(start+uint64(i), o)
			}
		})
	}
	next := 0
	for i := range n {
		for next < n && next < i+len(results) {
			select {
			case jobs <- next:
				next++
				continue
			case r := <-results[i%len(results)]:
				results[i%len(results)] <- r
			}
			break
		}
		r := <-results[i%len(results)]
		b.add(&r)
		b.Real = time.Since(began)
		if progress != nil {
			progress(&b, &r)
		}
	}
	close(jobs)
	wg.Wait()
	return b
}
