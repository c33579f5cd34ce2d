package swarm

import (
	"bufio"
	"flag"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	seedFlag   = flag.Uint64("seed", 0, "run this seed alone, with a readable trace")
	dataFlag   = flag.Bool("data", false, "with -seed: show data segments too")
	shrinkFlag = flag.Bool("shrink", false, "with -seed: leave out what does not matter")
	stackFlag  = flag.String("stack", "", "fifo or total")
	startFlag  = flag.Uint64("start", 1, "first seed")
	seedsFlag  = flag.Int("seeds", 0, "how many seeds")
)

// TestSeeds runs some histories; go test -run TestSeeds -seeds N -start S runs
// others, and -seed S -v shows one.
func TestSeeds(t *testing.T) {
	if *seedFlag != 0 {
		one(t, *seedFlag)
		return
	}
	n := *seedsFlag
	if n == 0 {
		if n = 150; testing.Short() {
			n = 20
		}
	}
	o := Options{Stack: *stackFlag}
	b := RunSeeds(*startFlag, n, runtime.GOMAXPROCS(0), o, func(_ *Batch, r *Result) {
		if !r.OK() {
			t.Errorf("%s", r)
		}
	})
	t.Logf("%d passed, %d failed; %v virtual in %v: %.0f times real time; %d datagrams, "+
		"%d delivered, %d views", b.Passed, b.Failed, b.Virtual.Round(time.Second),
		b.Real.Round(time.Millisecond), b.Virtual.Seconds()/b.Real.Seconds(), b.Datagrams,
		b.Deliveries, b.Views)
	for _, m := range []map[string]uint64{b.Counters, b.Actions} {
		for _, k := range Sorted(m) {
			t.Logf("%12d %s", m[k], k)
		}
	}
	if n < 150 {
		return
	}
	for _, k := range Rare() {
		if b.Counters[k] == 0 {
			t.Errorf("%s never happened", k)
		}
	}
}

func one(t *testing.T, seed uint64) {
	o := Options{Stack: *stackFlag}
	if *shrinkFlag {
		omit, left, of := Shrink(seed, o, 200)
		t.Logf("%d of %d actions are left", left, of)
		o.Omit = omit
	}
	o.Trace, o.TraceData = os.Stdout, *dataFlag
	t.Log(Plan(seed, o))
	r := Run(seed, o)
	t.Log(r.String())
	if !r.OK() {
		t.Error(r.Detail)
	}
}

// TestSame runs seeds twice: they must come to the same, in every detail, also
// when somebody watches.
func TestSame(t *testing.T) {
	last := uint64(12)
	if testing.Short() {
		last = 4
	}
	for seed := uint64(1); seed <= last; seed++ {
		a := Run(seed, Options{})
		var w strings.Builder
		b := Run(seed, Options{Trace: &w, TraceData: true})
		if a.Digest != b.Digest || !reflect.DeepEqual(a, b) {
			t.Errorf("seed %d: %v, then %v", seed, &a, &b)
		}
		if w.Len() == 0 {
			t.Errorf("seed %d: no trace", seed)
		}
	}
	a, b := Run(1, Options{}), Run(2, Options{})
	if a.Digest == b.Digest {
		t.Error("two seeds, one history")
	}
}

// TestBatch holds a batch on several workers against one on one.
func TestBatch(t *testing.T) {
	var order []uint64
	a := RunSeeds(101, 6, 1, Options{}, nil)
	b := RunSeeds(101, 6, 4, Options{}, func(_ *Batch, r *Result) { order = append(order, r.Seed) })
	a.Real, b.Real = 0, 0
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%+v\n%+v", a, b)
	}
	for i, s := range order {
		if s != uint64(i+101) {
			t.Fatalf("seeds came as %v", order)
		}
	}
}

// TestRegressions runs the seeds that have once found a bug.
func TestRegressions(t *testing.T) {
	f, err := os.Open("../testdata/regressions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		line, what, _ := strings.Cut(in.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		seed, err := strconv.ParseUint(line, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if r := Run(seed, Options{}); !r.OK() {
			t.Errorf("%s (%s)", &r, strings.TrimSpace(what))
		}
	}
}
