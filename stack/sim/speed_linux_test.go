package sim_test

import (
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"maestro/stack"
	"maestro/stack/sim"
)

// BenchmarkSpeed says how much faster than real time five members with total
// order run, by the time of the processor. At least 100 is wanted.
func BenchmarkSpeed(t *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l := sim.LAN()
	l.Loss = 0.01
	b := newBench(t, 5, stack.Total, sim.Options{Link: &l})
	for _, r := range b.apps {
		r.Work(sim.Load{Every: 10 * time.Millisecond, Burst: 1, Small: 200}, stack.Never)
	}
	b.w.RunFor(time.Second)
	var factors []float64
	for range t.N {
		const virtual = 10 * time.Second
		start := used(t)
		b.w.RunFor(virtual)
		cpu := used(t) - start
		factors = append(factors, virtual.Seconds()/cpu.Seconds())
	}
	slices.Sort(factors)
	t.ReportMetric(factors[len(factors)/2], "x-real-time")
	t.ReportMetric(float64(b.w.Stats().Events)/b.w.Now().Sub(0).Seconds(), "events/virtual-s")
}

// used is the processor time of this thread.
func used(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
