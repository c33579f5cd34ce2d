package rsm

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/csx"
	"maestro/clsv/once"
)

// acknowledged has a command acknowledged that only servers a and b hear of for a
// while, and crashes them and the client at that moment. It reports whether the
// others have the command in the end.
func acknowledged(t *testing.T, seed uint64, copies int) bool {
	l := newLab(t, seed)
	l.opts.Copies = copies
	for _, n := range []string{"a", "b", "d", "e", "f"} {
		l.start(n, clsv.Server)
		l.settle() // so that a is the sequencer
	}
	c := l.start("c", clsv.Client)
	l.settle()
	cut := func(cut bool) {
		for _, n := range []string{"d", "e", "f"} {
			l.c.World.Cut("c", n, cut)
		}
	}
	cut(true)
	l.c.World.After(time.Duration(seed)*10*ms, func() { cut(false) })
	call := c.Start("x")
	for end := l.c.Now() + time.Second; !closed(call.Done()) && l.c.Now() < end; {
		l.c.Run(20 * time.Microsecond)
	}
	if _, err := call.Result(); !closed(call.Done()) || err != nil {
		t.Errorf("seed %d: done %v, %v", seed, closed(call.Done()), err)
	}
	for _, n := range []string{"a", "b", "c"} {
		l.crash(n)
	}
	l.settle()
	return slices.Equal(l.same(), []string{"x"})
}

// TestAcknowledged: a command that was acknowledged survives the crash of any two
// of five servers, those included that were the first to have it. With fewer
// copies it may be lost: that is the check of this test.
func TestAcknowledged(t *testing.T) {
	lost := 0
	for seed := uint64(1); seed <= 10; seed++ {
		if !acknowledged(t, seed, 0) {
			t.Errorf("seed %d: lost", seed)
		}
		if !acknowledged(t, seed, 2) {
			lost++
		}
	}
	if lost == 0 {
		t.Error("two copies are as good")
	}
	t.Logf("with two copies %d of 10 were lost", lost)
}

// TestMinorityMerge: what a quorum has acknowledged survives when all but one of
// it crash, and that one meets others who have refused many commands meanwhile.
func TestMinorityMerge(t *testing.T) {
	l := newLab(t, 2)
	l.opts.Quorum = 3
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		l.start(n, clsv.Server)
	}
	l.settle()
	l.c.Partition([]string{"a", "b", "c"}, []string{"d", "e"})
	l.until("two sides", func() bool {
		return len(l.nodes["a"].View().Members) == 3 && len(l.nodes["d"].View().Members) == 2
	})
	if _, err := l.result(l.nodes["a"].Start("x")); err != nil {
		t.Error(err)
	}
	l.crash("a")
	l.crash("b")
	for i := range 50 {
		if _, err := l.result(l.nodes["d"].Start(fmt.Sprint(i))); !errors.Is(err, ErrNoQuorum) {
			t.Error(err)
		}
	}
	l.c.Heal()
	l.settle()
	if got := l.same(); !slices.Equal(got, []string{"x"}) {
		t.Error(got)
	}
}

// TestCopies: as many as Options say, whoever proposes.
func TestCopies(t *testing.T) {
	for copies, want := range map[int][]int{0: {0, 1, 2, 2, 3, 3}, 1: {0, 1, 1, 1, 1, 1},
		4: {0, 1, 2, 3, 4, 4}, AllCopies: {0, 1, 2, 3, 4, 5}} {
		o := Options[string, string]{Copies: copies}
		for n, k := range want {
			v := &clsv.View{Servers: make([]clsv.Endpoint, n)}
			if got := o.copies(v); got != k {
				t.Errorf("Copies %d: %d of %d servers, want %d", copies, got, n, k)
			}
		}
	}
	o := Options[string, string]{}
	o.Quorum = 4
	if got := o.copies(&clsv.View{Servers: make([]clsv.Endpoint, 5)}); got != 4 {
		t.Error(got)
	}
	if _, err := New(Options[string, string]{Copies: -2, Options: csx.Options{
		Options: clsv.Options{GroupOptions: clsv.GroupOptions{Group: "g"}}}}); !errors.Is(err,
		clsv.ErrOptions) {
		t.Error(err)
	}
}

// TestWitnesses: exactly those tell a proposer that they have its command whom it
// needs.
func TestWitnesses(t *testing.T) {
	all := make([]clsv.Endpoint, 5)
	for i := range all {
		all[i].Name = fmt.Sprint(i)
	}
	client := clsv.Endpoint{Name: "client"}
	for origin, want := range map[clsv.Endpoint][]int{client: {0, 1, 2, -1, -1},
		all[0]: {-9, 0, 1, -1, -1}, all[1]: {0, -9, 1, -1, -1}, all[4]: {0, 1, -1, -1, -9}} {
		for i, k := range want {
			v := &clsv.View{Servers: all, MyServerRank: i}
			v.Me = all[i]
			r := &Replica[string, string]{}
			if got := r.witness(v, origin); got != k && k != -9 {
				t.Errorf("%v: server %d is witness %d, want %d", origin, i, got, k)
			}
		}
	}
}

// TestLostResult: a server that is gone may have applied a command where nobody else
// has. What it said of the result is not what the others' copies confirm.
func TestLostResult(t *testing.T) {
	all := make([]clsv.Endpoint, 5)
	for i := range all {
		all[i].Name = fmt.Sprint(i)
	}
	r := &Replica[string, string]{}
	r.identity = clsv.Endpoint{Name: "client"}
	r.client = once.NewClient(r.identity, 8)
	r.posting = true // nothing is sent
	if err := r.o.Result.fill("Result"); err != nil {
		t.Fatal(err)
	}
	enter := func(servers, departed []clsv.Endpoint) {
		r.view = &clsv.View{Servers: servers, DepartedServers: departed}
		r.view.Me, r.view.Primary = r.identity, true
		r.entered(r.view)
	}
	tell := func(i int, reply string) {
		r.complete(all[i], brief(r.identity), 1, 0, []byte(reply))
	}
	ok, same := string([]byte{byte(statusOK)}), string([]byte{byte(statusCopy)})
	enter(all, nil)
	call := &Call[string]{op: opApply, done: make(chan struct{})}
	r.queue = append(r.queue, call)
	r.number()
	tell(0, ok+"lost")
	tell(1, same)
	enter(all[1:], all[:1])
	tell(2, same)
	tell(3, same)
	if closed(call.Done()) {
		t.Error("nobody who is there has told the result")
	}
	tell(1, ok+"right")
	if got, err := call.Result(); !closed(call.Done()) || got != "right" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestAllCopies waits for the slowest server, and for no one else.
func TestAllCopies(t *testing.T) {
	l := newLab(t, 0)
	l.opts.Copies = AllCopies
	for _, n := range []string{"a", "b", "d"} {
		l.start(n, clsv.Server)
	}
	c := l.start("c", clsv.Client)
	l.settle()
	l.c.Pause("d")
	calls := []*Call[string]{c.Start("1"), l.nodes["a"].Start("2")}
	l.c.Run(100 * ms)
	for _, call := range calls {
		if closed(call.Done()) {
			t.Error("acknowledged without d")
		}
	}
	l.c.Resume("d")
	for _, call := range calls {
		if _, err := l.result(call); err != nil {
			t.Error(err)
		}
	}
}
