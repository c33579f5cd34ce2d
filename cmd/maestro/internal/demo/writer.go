package demo

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	pace    = 2 * time.Millisecond // of each writer
	keysper = 200                  // keys of each writer
)

// writer has a client write without end.
type writer struct {
	c      *child
	cancel context.CancelFunc
	ended  chan struct{}

	mu   sync.Mutex
	last map[string]string // by key: the value that was acknowledged last
	took []time.Duration
	err  error
}

func startWriter(ctx context.Context, c *child) *writer {
	ctx, cancel := context.WithCancel(ctx)
	w := &writer{c: c, cancel: cancel, ended: make(chan struct{}), last: map[string]string{}}
	go w.run(ctx)
	return w
}

func (w *writer) run(ctx context.Context) {
	defer close(w.ended)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := 1; ; i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		key, value := fmt.Sprintf("%s/%03d", w.c.name, i%keysper), fmt.Sprintf("write %d", i)
		began := time.Now()
		// The write goes to its end, so that what is to be in the map is known.
		_, err := w.c.ask(context.WithoutCancel(ctx), "set "+key+" "+value)
		w.mu.Lock()
		if err == nil {
			w.last[key] = value
			w.took = append(w.took, time.Since(began))
		} else if w.err == nil {
			w.err = err
		}
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// stop ends it, after the write under way.
func (w *writer) stop() {
	w.cancel()
	<-w.ended
}

// times are the number of writes, the median and the longest time of one.
func times(list []*writer) (n int, median, longest time.Duration, err error) {
	var all []time.Duration
	for _, w := range list {
		w.mu.Lock()
		all = append(all, w.took...)
		if err == nil {
			err = w.err
		}
		w.mu.Unlock()
	}
	if len(all) == 0 {
		return 0, 0, 0, err
	}
	slices.Sort(all)
	return len(all), all[len(all)/2], all[len(all)-1], err
}
