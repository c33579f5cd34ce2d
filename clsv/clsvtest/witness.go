package clsvtest

import (
	"errors"
	"sync"

	"maestro/stack/check"
	"maestro/stack/trace"
)

// Witness holds what members over real sockets do, which run at the same time,
// against what is promised: it is the clsv.GroupOptions.Trace of all of them. A
// Cluster has one of its own.
type Witness struct {
	mu sync.Mutex
	c  *check.Checker
}

// NewWitness makes a Witness of one group.
func NewWitness(o check.Options) *Witness { return &Witness{c: check.New(o)} }

// Record takes what a member does.
func (w *Witness) Record(e *trace.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.c.Observe(e)
}

// Close is called in the end. It returns what was not as promised.
func (w *Witness) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	for _, v := range w.c.Finish() {
		err = errors.Join(err, errors.New(v.Detail()))
	}
	return err
}
