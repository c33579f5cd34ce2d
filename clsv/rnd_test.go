package clsv_test

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"maestro/clsv"
)

// Random runs (RND). A failure prints the command that repeats it. Of each kind
// there are this many, beside those in testdata/regressions.txt; continuous
// integration wants 1000, and -clsv.start moves on to others.
var (
	rndSeeds = flag.Int("clsv.seeds", 60, "number of random runs of each kind")
	rndStart = flag.Int("clsv.start", 0, "the first of them")
	rndSteps = flag.Int("clsv.steps", 0, "steps of each run; 0: some 200")
	rndSeed  = flag.Int("clsv.seed", -1, "the only random run, if not negative")
	rndTrace = flag.String("clsv.trace", "", "file for what the network does in it")
)

// seeds runs f for the seeds of a kind, on all processors.
func seeds(t *testing.T, kind string, f func(t *testing.T, seed uint64)) {
	todo := regressions(t, kind)
	n := *rndSeeds
	if testing.Short() {
		n = (n + 4) / 5
	}
	for i := range n {
		todo = append(todo, uint64(*rndStart+i))
	}
	if *rndSeed >= 0 {
		todo = []uint64{uint64(*rndSeed)}
	}
	each(len(todo), func(i int) {
		if t.Failed() {
			return // one is enough to look at
		}
		seed := todo[i]
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("repeat: go test ./clsv -run '^Test%s$' -clsv.seed %d -clsv.steps %d -v",
						kind, seed, *rndSteps)
				}
			}()
			f(t, seed)
		})
	})
}

func stepsOr(n int) int {
	if *rndSteps > 0 {
		return *rndSteps
	}
	return n
}

// each runs f for 0 to n-1, on all processors.
func each(n int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				f(int(i - 1))
			}
		})
	}
	wg.Wait()
}

// regressions are seeds of a kind that have once found something.
func regressions(t *testing.T, kind string) (found []uint64) {
	f, err := os.Open("testdata/regressions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		line, _, _ := strings.Cut(in.Text(), "#")
		if w := strings.Fields(line); len(w) == 2 && w[0] == kind {
			seed, err := strconv.ParseUint(w[1], 10, 64)
			if err != nil {
				t.Fatalf("%v in %q", err, in.Text())
			}
			found = append(found, seed)
		}
	}
	return found
}

// TestRND1 has members of all kinds on a bad network, to which everything
// happens. It is TestRND5 too: every view is held against the table of states,
// and in enough runs each of its rows occurs.
func TestRND1(t *testing.T) {
	var sum steps
	seeds(t, "RND1", func(t *testing.T, seed uint64) {
		p := plan{seed: seed, servers: 4, clients: 3, steps: stepsOr(250), total: seed%2 == 1,
			exchange: seed%4 >= 2, lazy: seed%8 < 4, mixed: true}
		p.run(t, &sum)
	})
	t.Log(&sum)
	if *rndSeed < 0 && *rndSeeds >= 1000 {
		for i, r := range table {
			if sum.rows[i].Load() == 0 && !r.rare {
				t.Errorf("never: %v", r)
			}
		}
	}
}

// TestRND2 has servers that keep a state and transfer it atomically: normal
// servers have the same state whenever they accept a view, and when they leave
// one together.
func TestRND2(t *testing.T) { replicas(t, "RND2", clsv.AtomicXfer) }

// TestRND3 is RND-2 with messages that go on changing the state while it is
// transferred.
func TestRND3(t *testing.T) { replicas(t, "RND3", clsv.FreeXfer) }

// replicas has servers keep equal states, which they transfer.
func replicas(t *testing.T, kind string, xfer clsv.Xfer) {
	var sum steps
	seeds(t, kind, func(t *testing.T, seed uint64) {
		p := plan{seed: seed, servers: 4, clients: 2, steps: stepsOr(200), total: seed%2 == 1,
			exchange: seed%4 >= 2, xfer: xfer, equal: true}
		p.run(t, &sum)
	})
	t.Log(&sum)
}
