package rsm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"maestro/clsv"
)

// overlap has a cut off in the moment in which it installs a primary view of three
// servers. It does not learn whether the others have; they are soon in another with
// the rest. Meanwhile a applies many commands, all by itself.
func overlap(t *testing.T, seed uint64, copies int) (*lab, *Call[string]) {
	l := newLab(t, seed)
	l.opts.Quorum, l.opts.Copies = 3, copies
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		l.start(n, clsv.Server)
		l.settle()
	}
	l.c.Partition([]string{"a", "b", "c"}, []string{"d", "e"})
	a := l.nodes["a"]
	for end := l.c.Now() + 10*time.Second; len(a.View().Members) != 3; {
		if l.c.Now() > end {
			t.Fatal("a does not notice")
		}
		l.c.Run(10 * time.Microsecond)
	}
	l.c.Partition([]string{"a"}, []string{"b", "c", "d", "e"})
	call := a.Start("lost")
	for i := range 49 {
		a.Start(fmt.Sprint("lost ", i))
	}
	l.until("four servers", func() bool { return len(l.nodes["b"].View().Servers) == 4 })
	return l, call
}

// TestUnagreedView: a state that holds what was acknowledged wins over one that
// holds many more commands of a view that was not agreed on.
func TestUnagreedView(t *testing.T) {
	for seed := range uint64(5) {
		l, _ := overlap(t, seed, 0)
		if n := len(l.nodes["a"].j.Lines); n < 40 {
			t.Errorf("seed %d: a has applied %d", seed, n)
		}
		if _, err := l.result(l.nodes["b"].Start("kept")); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		l.crash("c")
		l.crash("d")
		l.c.Partition([]string{"a"}, []string{"b"}, []string{"e"})
		l.until("alone", func() bool { return len(l.nodes["b"].View().Members) == 1 })
		l.c.Partition([]string{"a", "b"}, []string{"e"})
		l.until("two", func() bool { return len(l.nodes["b"].View().Members) == 2 })
		l.c.Heal()
		l.settle()
		if got := l.same(); !slices.Contains(got, "kept") {
			t.Errorf("seed %d: %d commands, and not the one that was acknowledged", seed, len(got))
		}
	}
}

// TestAgreedRandom splits five servers again and again, often when the first of
// them has just accepted a view: whatever was acknowledged is there in the end.
func TestAgreedRandom(t *testing.T) {
	acked, few := 0, 0
	for s := range *seeds {
		if *seed < 0 || s == *seed {
			t.Run(fmt.Sprint(s), func(t *testing.T) {
				k, n := splits(t, uint64(s))
				acked, few = acked+k, few+n
			})
		}
	}
	if *seed < 0 && (acked < 100**seeds || few == 0) {
		t.Error("too little has happened")
	}
	t.Logf("%d acknowledged; %d primary views on fewer servers than the quorum", acked, few)
}

// watcher counts who has installed which primary view, and notes Blocks.
type watcher struct {
	clsv.NopHandler
	views   map[clsv.ViewID]int
	blocked bool
}

func (w *watcher) Block() { w.blocked = true }

func (w *watcher) AcceptedView(v *clsv.View, _ []byte) {
	if v.Primary {
		w.views[v.ID]++
	}
}

func splits(t *testing.T, seed uint64) (acked, few int) {
	l := newLab(t, seed)
	w := &watcher{views: map[clsv.ViewID]int{}}
	l.opts.Quorum, l.opts.SourcesLost, l.opts.Handler = 3, clsv.Wait, w
	names := []string{"a", "b", "c", "d", "e"}
	for _, n := range names {
		l.start(n, clsv.Server)
	}
	l.settle()
	rnd := rand.New(rand.NewPCG(seed, 4))
	var ws []*writer
	for _, n := range names {
		ws = append(ws, &writer{l: l, name: n, acked: map[string]bool{}, tried: map[string]bool{}})
	}
	run := func(d time.Duration) {
		for end := l.c.Now() + d; l.c.Now() < end; {
			for _, w := range ws {
				w.step()
			}
			l.c.Run(10 * ms)
		}
	}
	shuffle := func() {
		rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	}
	for range 8 {
		l.c.Heal()
		run(time.Duration(rnd.IntN(1000)) * ms)
		shuffle()
		k := 2 + rnd.IntN(2)
		l.c.Partition(names[:k], names[k:])
		w.blocked = false
		l.c.Wait(2*time.Second, func() bool { return w.blocked }) // they are about to agree
		l.c.Run(time.Duration(rnd.IntN(600)) * time.Microsecond)
		if rnd.IntN(2) == 0 {
			shuffle()
		}
		k = 1 + rnd.IntN(2)
		l.c.Partition(names[:k], names[k:])
		run(time.Duration(rnd.IntN(1500)) * ms)
	}
	l.c.Heal()
	l.settle()
	run(200 * ms)
	l.c.Run(3 * time.Second)
	seen := map[string]int{}
	for _, line := range l.same() {
		seen[line]++
	}
	for _, w := range ws {
		acked += len(w.acked)
		for c := range w.acked {
			if seen[c] != 1 {
				t.Errorf("seed %d: %s was acknowledged and is there %d times", seed, c, seen[c])
			}
		}
	}
	for _, n := range w.views {
		if n < l.opts.Quorum {
			few++
		}
	}
	return acked, few
}

// TestVouch: with whatever Copies, nobody is told of what has been applied in a view
// of which it is not known that a quorum has installed it. When it is over, and lost,
// it is done once more.
func TestVouch(t *testing.T) {
	l, call := overlap(t, 1, 1)
	a := l.nodes["a"]
	if n := len(a.j.Lines); closed(call.Done()) || n < 40 {
		t.Errorf("done %v, %d applied", closed(call.Done()), n)
	}
	if _, err := l.result(l.nodes["b"].Start("kept")); err != nil {
		t.Error(err)
	}
	l.c.Heal()
	l.settle()
	if got, err := l.result(call); err != nil || got == "1 lost" {
		t.Error(got, err)
	}
}
