package sim_test

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"maestro/stack"
	"maestro/stack/sim"
)

// TestSpeed says how much faster than real time five members run, and that it
// is enough. It counts the time of the processor, so that it can run beside
// other tests.
func TestSpeed(t *testing.T) {
	if testing.Short() {
		t.Skip("measures")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l := sim.LAN()
	l.Loss = 0.01
	b := newBench(t, 5, stack.Total, sim.Options{Link: &l})
	for _, r := range b.apps {
		r.Work(sim.Load{Every: 10 * time.Millisecond, Burst: 1, Small: 200}, stack.Never)
	}
	b.w.RunFor(time.Second)
	best := 0.0
	for range 5 {
		const virtual = 10 * time.Second
		events, start := b.w.Stats().Events, used(t)
		b.w.RunFor(virtual)
		cpu := used(t) - start
		best = max(best, virtual.Seconds()/cpu.Seconds())
		t.Logf("5 members, 100 casts/s each, 1 %% loss: %.0f times real time, %.1f M events/s",
			virtual.Seconds()/cpu.Seconds(),
			float64(b.w.Stats().Events-events)/cpu.Seconds()/1e6)
	}
	if best < 100 {
		t.Errorf("only %.0f times real time", best)
	}
}

// used is the processor time of this thread.
func used(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
