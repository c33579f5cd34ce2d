package clsv

import (
	"context"
	"reflect"
	"runtime"
	"time"

	"maestro/stack"
)

// Runtime drives one life of a member: over real sockets, or in a simulation.
type Runtime interface {
	// Do runs f with the group, which nobody else touches meanwhile. What f
	// sends leaves soon after. Do may be called from any goroutine and from
	// within callbacks. It does not run f when the runtime has ended.
	Do(f func(g *stack.Group))
	// Wait waits until done is closed, ctx is done or limit has passed; 0 is no
	// limit. It returns nil, the context's error or context.DeadlineExceeded.
	// It is not called from within callbacks.
	Wait(ctx context.Context, done <-chan struct{}, limit time.Duration) error
	// Go runs f on a goroutine of its own. In a simulation f runs alone, until it
	// returns or calls Wait, and waits for nothing in any other way.
	Go(f func())
	// Close ends it: when it returns, no callback is running and none will.
	// Within a callback it returns at once and the end comes afterwards.
	// Closing twice does nothing.
	Close() error
}

// Driver starts runtimes.
type Driver interface {
	// Start readies the life of a member, which joins later. The incarnation of
	// its endpoint is larger than any that was started under its name before.
	Start(o *GroupOptions, app stack.Runner) (Runtime, error)
}

// inCallback reports whether the calling goroutine is within a callback of any
// member: then it must not wait for what callbacks bring about. It is asked
// only by calls that are about to wait.
func inCallback() bool {
	run := reflect.ValueOf((*core).run).Pointer()
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		for _, pc := range pcs[:n] {
			if f := runtime.FuncForPC(pc - 1); f != nil && f.Entry() == run {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}
