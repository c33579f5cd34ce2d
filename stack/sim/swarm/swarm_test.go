package swarm

import (
	"flag"
	"os"
	"testing"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed alone, with a readable trace")
	dataFlag  = flag.Bool("data", false, "with -seed: show data segments too")
	stackFlag = flag.String("stack", "", "fifo or total")
	startFlag = flag.Uint64("start", 1, "first seed")
	seedsFlag = flag.Int("seeds", 0, "how many seeds")
)

func TestSeeds(t *testing.T) {
	o := Options{Stack: *stackFlag}
	if *seedFlag != 0 {
		o.Trace, o.TraceData = os.Stdout, *dataFlag
		t.Log(Plan(*seedFlag, o))
		r := Run(*seedFlag, o)
		t.Log(r.String())
		if !r.OK() {
			t.Error(r.Detail)
		}
		return
	}
	n := *seedsFlag
	if n == 0 {
		if n = 200; testing.Short() {
			n = 60
		}
	}
	b := RunSeeds(*startFlag, n, 2, o, func(_ *Batch, r *Result) {
		if !r.OK() {
			t.Errorf("%s", r)
		}
	})
	t.Logf("%d passed, %d failed; %v virtual in %v: %.0f times real time; %d datagrams, "+
		"%d delivered, %d views", b.Passed, b.Failed, b.Virtual, b.Real,
		b.Virtual.Seconds()/b.Real.Seconds(), b.Datagrams, b.Deliveries, b.Views)
	for _, k := range Sorted(b.Counters) {
		t.Logf("%10d %s", b.Counters[k], k)
	}
	for _, k := range Sorted(b.Actions) {
		t.Logf("%10d action %s", b.Actions[k], k)
	}
}
