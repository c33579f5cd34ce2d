package rsm

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"maestro/clsv"
)

// minority is two servers and a client of six members, without a quorum.
func minority(t *testing.T, seed uint64) *lab {
	l := newLab(t, seed)
	l.opts.Quorum = 4
	for _, n := range []string{"a", "b", "d", "e", "f"} {
		l.start(n, clsv.Server)
		l.settle()
	}
	l.start("c", clsv.Client)
	l.settle()
	l.c.Partition([]string{"a", "b", "c"}, []string{"d", "e", "f"})
	return l
}

// TestRefusedUnsent: what is refused has not even been sent, so that nobody, such as
// a server that is promoted and goes through its backlog, can refuse it once more.
func TestRefusedUnsent(t *testing.T) {
	l := minority(t, 2)
	c := l.nodes["c"]
	l.until("three", func() bool { return len(c.View().Members) == 3 })
	before, _ := c.Member.Member.Stats()
	for i := range 200 { // more than a window
		call := c.Start(fmt.Sprint(i))
		if !closed(call.Done()) || !errors.Is(call.err, ErrNoQuorum) {
			t.Fatal(i, call.err)
		}
	}
	l.c.Run(5 * time.Second) // heartbeats
	if after, ok := c.Member.Member.Stats(); !ok ||
		after.Sent[clsv.Scast] != before.Sent[clsv.Scast] {
		t.Errorf("%d commands were sent", after.Sent[clsv.Scast]-before.Sent[clsv.Scast])
	}
	l.c.Heal()
	l.settle()
	if got, err := l.result(c.Start("now")); err != nil || got != "1 now" {
		t.Error(got, err)
	}
}

// TestLostRefusal: without a quorum there is an answer, whoever dies meanwhile.
func TestLostRefusal(t *testing.T) {
	l := minority(t, 1)
	c := l.nodes["c"]
	l.until("three", func() bool { return len(c.View().Members) == 3 })
	call := c.Start("x")
	l.crash("a")
	if _, err := l.result(call); !errors.Is(err, ErrNoQuorum) {
		t.Error(err)
	}
}

// TestRefused proposes all the time while a group loses its quorum and gets it
// back. What is refused has not been applied, then and later. What is not was sent
// while there was a quorum, or so it seemed: it is applied once in the end.
func TestRefused(t *testing.T) {
	refused, kept := 0, 0
	for seed := range uint64(10) {
		l := minority(t, seed)
		var calls []*Call[string]
		propose := func(d time.Duration) {
			for end := l.c.Now() + d; l.c.Now() < end; l.c.Run(5 * ms) {
				for _, n := range []string{"a", "c"} {
					calls = append(calls, l.nodes[n].Start(fmt.Sprint(n, len(calls))))
				}
			}
		}
		propose(100 * ms)
		l.until("three", func() bool {
			return len(l.nodes["a"].View().Members) == 3 && len(l.nodes["c"].View().Members) == 3
		})
		late := len(calls)
		propose(100 * ms)
		for _, call := range calls[late:] {
			if !closed(call.Done()) {
				t.Errorf("seed %d: %s gets no answer", seed, call.body)
			}
		}
		l.c.Heal()
		propose(100 * ms)
		l.settle()
		want := map[string]int{}
		for _, call := range calls {
			_, err := l.result(call)
			switch {
			case err == nil:
				want[string(call.body)] = 1
				kept++
			case errors.Is(err, ErrNoQuorum):
				refused++
			default:
				t.Errorf("seed %d: %s: %v", seed, call.body, err)
			}
		}
		for _, line := range l.same() {
			want[line]--
		}
		for line, n := range want {
			if n != 0 {
				t.Errorf("seed %d: %s: %d", seed, line, -n)
			}
		}
	}
	if refused == 0 || kept == 0 {
		t.Errorf("%d refused, %d kept", refused, kept)
	}
}

// TestPeekEnds: Peek ends when the member does, and when its f panics.
func TestPeekEnds(t *testing.T) {
	for _, f := range []func(){func() {}, func() { panic("oh") }} {
		l := newLab(t, 0)
		a := l.start("a", clsv.Server)
		l.settle()
		ended := make(chan error, 2)
		_ = a.Post(func() { _ = a.StartLeave() }) // what is posted later never runs
		l.c.Go("a", func() { ended <- a.Peek(t.Context(), f) })
		l.c.Go("a", func() { ended <- a.Peek(t.Context(), f) })
		l.until("the end", func() bool { return len(ended) == 2 })
		delete(l.nodes, "a")
	}
}

// TestPanic: a machine that panics takes its server out of the group, and whoever
// waits for the server is told.
func TestPanic(t *testing.T) {
	l := newLab(t, 0)
	a := l.start("a", clsv.Server)
	l.settle()
	a.o.Machine = broken{a.j}
	call := a.Start("x")
	if _, err := l.result(call); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	l.until("exit", func() bool { return a.State() == clsv.Initial })
	delete(l.nodes, "a")
}

type broken struct{ *journal }

func (broken) Apply(string) string { panic("oh") }
