package rsm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/clsv/csx"
	"maestro/clsv/once"
	"maestro/stack/check"
	"maestro/stack/sim"
)

var (
	seeds = flag.Int("rsm.seeds", 20, "number of random runs")
	seed  = flag.Int("rsm.seed", -1, "the only random run, if not negative")
)

const ms = time.Millisecond

// journal is a machine that remembers every command.
type journal struct {
	Lines []string
	calls int // of Apply, ever
}

func (j *journal) Apply(c string) string {
	j.calls++
	j.Lines = append(j.Lines, c)
	return fmt.Sprint(len(j.Lines), " ", c)
}

func (j *journal) Snapshot() io.WriterTo {
	b, _ := json.Marshal(j.Lines)
	return bytes.NewReader(b)
}

func (j *journal) Restore(r io.Reader) error {
	j.Lines = nil
	return json.NewDecoder(r).Decode(&j.Lines)
}

func (j *journal) Hash() uint64 { return uint64(len(j.Lines)) }

// node is a replica in a lab.
type node struct {
	*Replica[string, string]
	j      *journal
	events []Event
}

type lab struct {
	*testing.T
	c     *clsvtest.Cluster
	nodes map[string]*node
	opts  Options[string, string]
}

func newLab(t *testing.T, seed uint64) *lab {
	link := sim.LAN()
	link.Loss, link.Reorder, link.Duplicate = 0.002*float64(seed%5), 0.01, 0.01
	l := &lab{T: t, nodes: map[string]*node{}}
	l.c = clsvtest.NewConfig(seed, clsvtest.Config{Sim: sim.Options{Link: &link},
		Check: func(o *check.Options) { o.StateEqual = true }})
	l.opts.Chunk, l.opts.Window = 64, 4
	t.Cleanup(func() {
		if err := l.c.Close(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	})
	return l
}

func (l *lab) start(name string, role clsv.Role) *node {
	l.Helper()
	n := &node{}
	o := l.opts
	o.Group, o.Name, o.Trace, o.Role = "test", name, l.c, role
	if role == clsv.Server {
		n.j = &journal{}
		o.Machine = n.j
	}
	o.Notify = func(e Event) { n.events = append(n.events, e) }
	var err error
	if n.Replica, err = NewReplica(o, l.c); err != nil {
		l.Fatal(err)
	}
	if err := n.StartJoin(); err != nil {
		l.Fatal(err)
	}
	l.nodes[name] = n
	return n
}

func (l *lab) until(what string, ok func() bool) {
	l.Helper()
	if !l.c.Wait(30*time.Second, ok) {
		for n, r := range l.nodes {
			l.Logf("%s: ready %v, %v", n, r.Ready(), r.View())
		}
		l.Fatal("it does not happen: " + what)
	}
}

// settle waits until all are ready and in one view.
func (l *lab) settle() {
	l.Helper()
	l.until("all in one view, and ready", l.settled)
}

func (l *lab) settled() bool {
	var id clsv.ViewID
	for i, n := range slices.Sorted(maps.Keys(l.nodes)) {
		r := l.nodes[n]
		v := r.View()
		if v == nil || len(v.Members) != len(l.nodes) || !r.Ready() || i > 0 && v.ID != id {
			return false
		}
		id = v.ID
	}
	return true
}

// revive is settle, but servers that have lost all sources of their state, and have
// left for that, are started again.
func (l *lab) revive() {
	l.Helper()
	l.until("all in one view, and ready", func() bool {
		for _, name := range slices.Sorted(maps.Keys(l.nodes)) {
			n := l.nodes[name]
			if n.State() == clsv.Initial && len(n.events) > 0 &&
				errors.Is(n.events[len(n.events)-1].Err, clsv.ErrSourcesLost) {
				l.c.Crash(name)
				l.start(name, clsv.Server)
			}
		}
		return l.settled()
	})
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// result waits for a call.
func (l *lab) result(c *Call[string]) (string, error) {
	l.Helper()
	l.until("result of "+string(c.body), func() bool { return closed(c.Done()) })
	return c.Result()
}

// same checks that all servers have applied the same, and returns it.
func (l *lab) same() []string {
	l.Helper()
	l.c.Run(20 * ms)
	var first *node
	for _, name := range slices.Sorted(maps.Keys(l.nodes)) {
		n := l.nodes[name]
		if n.j == nil {
			continue
		}
		if first == nil {
			first = n
		}
		if !slices.Equal(first.j.Lines, n.j.Lines) || first.hash != n.hash {
			l.Errorf("%v\nand %s has\n%v", first.j.Lines, name, n.j.Lines)
		}
	}
	return first.j.Lines
}

func (l *lab) crash(name string) {
	l.c.Crash(name)
	delete(l.nodes, name)
}

func TestPropose(t *testing.T) {
	l := newLab(t, 0)
	l.start("a", clsv.Server)
	l.start("b", clsv.Server)
	l.start("c", clsv.Client)
	l.settle()
	for i, n := range []string{"a", "b", "c", "c"} {
		got, err := l.result(l.nodes[n].Start(n))
		if want := fmt.Sprint(i+1, " ", n); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
		if r := l.nodes[n]; r.j != nil && len(r.j.Lines) != i+1 {
			t.Error("not applied here")
		}
	}
	if got := l.same(); !slices.Equal(got, []string{"a", "b", "c", "c"}) {
		t.Error(got)
	}
	n := l.start("n", clsv.Server)
	l.settle()
	l.same()
	if n.j.calls != 0 || len(n.events) != 2 || n.events[1].What != Restored ||
		n.events[1].Source.Name == "" || n.events[1].Bytes == 0 {
		t.Error(n.j.calls, n.events)
	}
}

// What waits runs in a task, as in a program.
func TestBlocking(t *testing.T) {
	l := newLab(t, 0)
	a := l.start("a", clsv.Server)
	b := l.start("b", clsv.Server)
	c := l.start("c", clsv.Client)
	ctx := t.Context()
	done := 0
	l.c.Go("c", func() {
		for i := range 50 {
			got, err := c.Propose(ctx, "x")
			if want := fmt.Sprint(i+1, " x"); got != want || err != nil {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		}
		done++
		if err := c.Barrier(ctx); err != nil {
			t.Error(err)
		}
		if err := c.Read(ctx, func() {}); err != ErrNotServer {
			t.Error(err)
		}
		if err := c.Peek(ctx, func() {}); err != ErrNotServer {
			t.Error(err)
		}
	})
	l.until("50 commands", func() bool { return done == 1 })
	for _, n := range []*node{a, b} {
		l.c.Go(n.Endpoint().Name, func() {
			k := 0
			if err := n.Read(ctx, func() { k = len(n.j.Lines) }); err != nil || k != 50 {
				t.Error(k, err)
			}
			if err := n.Peek(ctx, func() { k = len(n.j.Lines) }); err != nil || k != 50 {
				t.Error(k, err)
			}
			done++
		})
	}
	l.until("reads", func() bool { return done == 3 })
	l.settle()
}

// Read sees what others were told before.
func TestRead(t *testing.T) {
	l := newLab(t, 3)
	servers := []string{"a", "b", "d"}
	for _, n := range servers {
		l.start(n, clsv.Server)
	}
	c := l.start("c", clsv.Client)
	l.settle()
	for i := range 100 {
		if _, err := l.result(c.Start("x")); err != nil {
			t.Fatal(err)
		}
		r := l.nodes[servers[i%3]]
		k := 0
		if _, err := l.result(r.start(&Call[string]{op: opBarrier,
			f: func() { k = len(r.j.Lines) }})); err != nil || k != i+1 {
			t.Fatalf("%s sees %d of %d: %v", servers[i%3], k, i+1, err)
		}
	}
}

// A server that dies with acknowledgements under way does not make a command
// happen twice, nor be lost.
func TestOnce(t *testing.T) {
	for k := 1; k <= 30; k++ {
		l := newLab(t, uint64(k))
		l.start("a", clsv.Server)
		l.settle()
		l.start("b", clsv.Server)
		c := l.start("c", clsv.Client)
		l.settle()
		l.c.CrashAt("a", k, k%2 == 0)
		var calls []*Call[string]
		for i := range 40 {
			calls = append(calls, c.Start(fmt.Sprint(i)))
			l.c.Run(200 * time.Microsecond)
		}
		for i, call := range calls {
			if got, err := l.result(call); got != fmt.Sprint(i+1, " ", i) || err != nil {
				t.Errorf("k = %d: %q, %v", k, got, err)
			}
		}
		l.crash("a")
		l.settle()
		if got := l.same(); len(got) != len(calls) {
			t.Errorf("k = %d: %d applied", k, len(got))
		}
	}
}

// newSplit is servers a and b, and d, which is cut off, after one command.
func newSplit(t *testing.T) *lab {
	l := newLab(t, 1)
	for _, n := range []string{"a", "b", "d"} {
		l.start(n, clsv.Server)
	}
	l.settle()
	_, _ = l.result(l.nodes["a"].Start("before"))
	l.c.Partition([]string{"d"}, []string{"a", "b"})
	l.until("alone", func() bool { return len(l.nodes["d"].View().Members) == 1 })
	return l
}

// The losing servers of a merge get the winners' state.
func TestMerge(t *testing.T) {
	l := newSplit(t)
	_, _ = l.result(l.nodes["d"].Start("lost"))
	for i := range 5 {
		_, _ = l.result(l.nodes["a"].Start(fmt.Sprint("kept ", i)))
	}
	if len(l.nodes["d"].j.Lines) != 2 {
		t.Error(l.nodes["d"].j.Lines)
	}
	l.c.Heal()
	l.settle()
	if got := l.same(); len(got) != 6 || got[5] != "kept 4" {
		t.Error(got)
	}
	if got, err := l.result(l.nodes["d"].Start("x")); err != nil || got != "7 x" {
		t.Error(got, err)
	}
}

// A member whose history has lost a merge begins as another client.
func TestForgotten(t *testing.T) {
	l := newSplit(t)
	for range 50 {
		_, _ = l.result(l.nodes["d"].Start("lost"))
	}
	_ = l.nodes["a"].SetStateVersion(1000)
	_ = l.nodes["b"].SetStateVersion(1000)
	l.c.Heal()
	l.settle()
	_, err := l.result(l.nodes["d"].Start("x"))
	if !errors.Is(err, ErrForgotten) {
		t.Error(err)
	}
	if got, err := l.result(l.nodes["d"].Start("y")); err != nil || got != "2 y" {
		t.Error(got, err)
	}
	l.settle()
	l.same()
}

func TestNoQuorum(t *testing.T) {
	l := newLab(t, 1)
	l.opts.Quorum = 3
	for _, n := range []string{"a", "b", "d"} {
		l.start(n, clsv.Server)
	}
	c := l.start("c", clsv.Client)
	l.settle()
	l.c.Partition([]string{"a"}, []string{"b", "c", "d"})
	l.until("alone", func() bool { return len(l.nodes["a"].View().Members) == 1 })
	if _, err := l.result(l.nodes["a"].Start("no")); !errors.Is(err, ErrNoQuorum) {
		t.Error(err)
	}
	if _, err := l.result(c.Start("yes")); err != nil {
		t.Error(err)
	}
	l.c.Heal()
	l.settle()
	if got := l.same(); !slices.Equal(got, []string{"yes"}) {
		t.Error(got)
	}
}

// Without a state to go on with, a server that is promoted leaves.
func TestLost(t *testing.T) {
	l := newLab(t, 0)
	l.opts.Chunk, l.opts.Window = 16, 1
	a := l.start("a", clsv.Server)
	l.settle()
	for i := range 100 {
		_, _ = l.result(a.Start(fmt.Sprint("command ", i)))
	}
	n := l.start("n", clsv.Server)
	l.until("some of it", func() bool { return n.Member.Stats().BytesIn > 1000 })
	l.crash("a")
	l.until("exit", func() bool { return n.State() == clsv.Initial })
	if e := n.events[len(n.events)-1]; e.What != Failed || !errors.Is(e.Err, clsv.ErrSourcesLost) {
		t.Error(n.events)
	}
	delete(l.nodes, "n")
}

func TestExit(t *testing.T) {
	l := newLab(t, 0)
	c := l.start("c", clsv.Client)
	call := c.Start("x") // there is no server
	l.settle()
	if err := c.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.result(call); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := l.result(c.Start("x")); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := c.StartJoin(); err != nil {
		t.Fatal(err)
	}
	l.start("a", clsv.Server)
	l.settle()
	if got, err := l.result(c.Start("y")); got != "1 y" || err != nil {
		t.Error(got, err)
	}
}

func TestGiveUp(t *testing.T) {
	l := newLab(t, 0)
	c := l.start("c", clsv.Client)
	l.settle()
	ctx, cancel := context.WithCancel(t.Context())
	var got error
	l.c.Go("c", func() { _, got = c.Propose(ctx, "x") })
	l.c.Run(10 * ms)
	cancel()
	l.c.Run(10 * ms)
	if !errors.Is(got, context.Canceled) || len(c.flight)+len(c.queue) > 0 {
		t.Error(got, c.flight, c.queue)
	}
}

func TestOptions(t *testing.T) {
	type odd struct{}
	_, err := New(Options[odd, string]{Options: csx.Options{
		Options: clsv.Options{GroupOptions: clsv.GroupOptions{Group: "g"}}}})
	if !errors.Is(err, clsv.ErrOptions) {
		t.Error(err)
	}
	o := Options[string, string]{}
	o.Group, o.Role = "g", clsv.Server
	if _, err := New(o); !errors.Is(err, clsv.ErrOptions) {
		t.Error(err)
	}
	o.Role, o.NoLocal = clsv.Client, true
	if _, err := New(o); !errors.Is(err, clsv.ErrOptions) {
		t.Error(err)
	}
}

// TestRND3: whatever happens, servers agree in the end, and have what was
// acknowledged, once.
func TestRND3(t *testing.T) {
	n := *seeds
	if testing.Short() {
		n = max(n/6, 1)
	}
	for s := range n {
		if *seed < 0 || s == *seed {
			t.Run(fmt.Sprint(s), func(t *testing.T) { storm(t, uint64(s)) })
		}
	}
}

// writer proposes commands all the time.
type writer struct {
	l     *lab
	name  string
	n     int
	calls []*Call[string]
	acked map[string]bool
	tried map[string]bool
}

func (w *writer) step() {
	if n := w.l.nodes[w.name]; n != nil && len(w.calls) < 20 {
		w.n++
		c := fmt.Sprint(w.name, "-", w.n)
		w.tried[c] = true
		w.calls = append(w.calls, n.Start(c))
	}
	w.calls = slices.DeleteFunc(w.calls, func(c *Call[string]) bool {
		if !closed(c.Done()) {
			return false
		}
		if _, err := c.Result(); err == nil {
			w.acked[string(c.body)] = true
		} else if errors.Is(err, ErrNoQuorum) {
			delete(w.tried, string(c.body)) // certainly not
		}
		return true
	})
}

func storm(t *testing.T, seed uint64) {
	l := newLab(t, seed)
	l.opts.Quorum = 4
	l.opts.Limits = once.Limits{Sessions: 64}
	l.opts.Xfer = clsv.FreeXfer + clsv.Xfer(seed%4)%3
	rnd := rand.New(rand.NewPCG(seed, 3))
	servers := []string{"a", "b", "d", "e"}
	for _, n := range servers {
		l.start(n, clsv.Server)
	}
	l.start("c", clsv.Client)
	l.start("f", clsv.Client)
	l.settle()
	all := slices.Sorted(maps.Keys(l.nodes))
	var ws []*writer
	for _, n := range []string{"c", "f", "a"} {
		ws = append(ws, &writer{l: l, name: n, acked: map[string]bool{}, tried: map[string]bool{}})
	}
	run := func(d time.Duration) {
		for end := l.c.Now() + d; l.c.Now() < end; {
			for _, w := range ws {
				w.step()
			}
			l.c.Run(500 * time.Microsecond)
		}
	}
	for range 6 {
		victim := servers[rnd.IntN(len(servers))]
		switch rnd.IntN(4) {
		case 0:
			l.c.Partition([]string{victim},
				slices.DeleteFunc(slices.Clone(all), func(n string) bool { return n == victim }))
		case 1:
			l.c.Pause(victim)
		case 2:
			l.c.Crash(victim)
			l.start(victim, clsv.Server)
		case 3:
			l.c.CrashAt(victim, 1+rnd.IntN(40), rnd.IntN(2) == 0)
			run(20 * ms)
			l.c.Crash(victim)
		}
		run(time.Duration(rnd.IntN(1200)) * ms)
		l.c.Heal()
		l.c.Resume(victim)
		if l.c.World.Member(victim) == nil {
			l.start(victim, clsv.Server)
		}
		run(time.Duration(rnd.IntN(300)) * ms)
		if rnd.IntN(2) == 0 {
			l.revive()
		}
	}
	l.revive()
	run(200 * ms)
	l.until("all answers", func() bool {
		for _, w := range ws {
			w.step()
		}
		return len(slices.Concat(ws[0].calls, ws[1].calls, ws[2].calls)) < 60
	})
	l.c.Run(3 * time.Second)
	judge(l, ws)
}

// judge checks the servers' journals against what was proposed and acknowledged.
func judge(l *lab, ws []*writer) {
	seen := map[string]int{}
	for _, line := range l.same() {
		seen[line]++
	}
	acked := 0
	for _, w := range ws {
		for c := range w.acked {
			acked++
			if seen[c] != 1 {
				l.Errorf("%s was acknowledged and is there %d times", c, seen[c])
			}
		}
		for c := range w.tried {
			if seen[c] > 1 {
				l.Errorf("%s is there %d times", c, seen[c])
			}
			delete(seen, c)
		}
	}
	if len(seen) > 0 || acked < 100 {
		l.Errorf("%d acknowledged; proposed by nobody, or refused: %v", acked, seen)
	}
}
