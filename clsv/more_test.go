package clsv_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
)

// TestMS19all leaves with a message of each kind waiting: all are reported.
func TestMS19all(t *testing.T) { both(t, ms19all) }

func ms19all(t *testing.T) {
	l := g1(t, clsv.AtomicXfer)
	l.delay()
	l.ok(l.r["A"].m.Leave(bg))
	const out = ": not in the group"
	l.expect("A", "dropped cast 1"+out, "dropped scast 2"+out, "dropped send 3"+out,
		"dropped lsend 4"+out, "dropped cast 5"+out, "block", "exit <nil>")
}

// TestMS23 asks for state and sends it while everything else is delayed, and
// while much waits.
func TestMS23(t *testing.T) { both(t, ms23) }

func ms23(t *testing.T) {
	for _, x := range []clsv.Xfer{clsv.ProtectedXfer, clsv.AtomicXfer} {
		l := g1(t, x)
		l.delay()
		_, err := l.r["X"].m.TryCast([]byte("waits"))
		l.ok(err)
		l.run(10 * ms)
		l.mark()
		l.ok(l.r["X"].m.AskState(l.id("A"), []byte("p")))
		l.run(5 * ms)
		l.expect("A", "ask X p")
		l.ok(l.r["A"].m.SendState(l.id("X"), []byte("d")))
		l.run(5 * ms)
		l.expect("X", "state A d")
		if s, _ := l.r["A"].m.Stats(); s.Delayed != 5 {
			t.Errorf("%v: %d messages are delayed", x, s.Delayed)
		}
	}
}

// TestXF02 answers when two others have asked and a hundred casts have passed.
func TestXF02(t *testing.T) { both(t, xf02) }

func xf02(t *testing.T) {
	l := v2(t, clsv.FreeXfer)
	l.join("Y", server(clsv.FreeXfer))
	l.mark()
	x, y := l.r["X"].m, l.r["Y"].m
	l.ok(x.AskState(l.id("A"), []byte("first")))
	l.ok(y.AskState(l.id("A"), []byte("second")))
	l.ok(x.AskState(l.id("A"), []byte("third")))
	for range 100 {
		l.cast("K", "c")
	}
	l.run(20 * ms)
	asks := func() (n int) {
		for _, s := range l.r["A"].lines {
			if strings.HasPrefix(s, "ask ") {
				n++
			}
		}
		return n
	}
	l.until(func() bool {
		for _, r := range l.r {
			if len(r.got) < 100 {
				return false
			}
		}
		return asks() == 3
	})
	l.mark()
	l.ok(l.r["A"].m.SendState(l.id("X"), []byte("d1")))
	l.ok(l.r["A"].m.SendState(l.id("Y"), []byte("d2")))
	l.run(10 * ms)
	l.expect("X", "state A d1")
	l.expect("Y", "state A d2")
	for _, n := range []string{"K", "A", "c"} {
		l.expect(n) // nobody else sees any of it
	}
}

// TestXF08states calls XferDone in the states that the other test has not.
func TestXF08states(t *testing.T) { both(t, xf08states) }

func xf08states(t *testing.T) {
	l := newLab(t)
	l.normal("K", clsv.FreeXfer)
	o := server(clsv.AtomicXfer)
	o.XferTimeout = 200 * ms
	x := l.join("X", o)
	l.until(func() bool { return x.m.State() == clsv.BecomingServer })
	l.is(x.m.XferDone(), clsv.ErrNotInTransfer)
	l.ok(x.m.RetryTransfer())
	l.until(func() bool { return x.m.State() == clsv.ServerXfer })
	l.ok(x.m.XferDone())
	l.is(x.m.XferDone(), clsv.ErrNotInTransfer)
	l.until(func() bool { return x.m.State() == clsv.ServerNormal })
	l.settle()
	l.mark()
	l.is(x.m.XferDone(), clsv.ErrNotInTransfer)
	l.run(100 * ms)
	l.expect("K")
	l.ok(x.m.Leave(bg))
	l.is(x.m.XferDone(), clsv.ErrNotJoined)
}

// TestCJ22 has the view that would let a server in be skipped, because a third
// member fails: it gets in without a new coordinator.
func TestCJ22(t *testing.T) {
	skipped := 0
	for k := 1; k < 25; k++ {
		l := newLab(t)
		for _, n := range []string{"K", "A", "c"} {
			o := clsv.Options{Role: clsv.Server, Xfer: clsv.NoXfer}
			if n == "c" {
				o = client
			}
			l.ok(l.exchange(n, "s", "v", o).m.StartJoin())
			l.settle()
		}
		x := l.exchange("X", "s", "v", server(clsv.AtomicXfer))
		proposed := map[clsv.ViewID]bool{}
		x.changing = func(v *clsv.View) { proposed[v.ID] = true }
		l.ok(x.m.StartJoin())
		l.c.CrashAt("c", k, k%2 == 0)
		l.c.Run(time.Second)
		l.c.Crash("c")
		l.settle()
		if len(proposed) > len(x.views) {
			skipped++
		}
		starts := 0
		for _, v := range x.views {
			if v.StartXfer {
				starts++
			}
		}
		if starts != 1 || x.m.State() != clsv.ServerXfer {
			t.Errorf("c crashes at %d: %d starts, %v", k, starts, x.last())
		}
	}
	if skipped == 0 {
		t.Error("no view was skipped")
	}
}

// TestMG13state has a server that was wrongly suspected get what was cast at
// the other side meanwhile.
func TestMG13state(t *testing.T) {
	l := newLab(t)
	sums := map[string]*sum{}
	for _, n := range []string{"A", "B"} {
		s := &sum{recorder: &recorder{}, snaps: map[clsv.Endpoint]int{}}
		o := server(clsv.FreeXfer)
		o.Handler = s
		l.add(n, o)
		s.m = l.r[n].m
		sums[n] = s
		l.ok(s.m.StartJoin())
		l.until(func() bool { return s.m.State() == clsv.ServerNormal })
	}
	l.start("c", client)
	l.until(func() bool { return l.c.Settled(0, "A", "B", "c") })
	l.cast("c", "\x05")
	l.c.Run(20 * ms)
	l.ok(l.r["A"].m.Suspect(l.id("B")))
	for range 40 { // while they are apart, and when they meet again
		l.cast("c", "\x01")
		l.c.Run(10 * ms)
	}
	l.until(func() bool {
		return l.c.Settled(0, "A", "B", "c") && sums["B"].m.State() == clsv.ServerNormal
	})
	l.c.Run(20 * ms)
	if a, b := sums["A"].value, sums["B"].value; a != 45 || b != 45 {
		t.Errorf("A has %d, B has %d", a, b)
	}
	var states []clsv.State
	for _, v := range sums["B"].views[len(sums["B"].views)-3:] {
		states = append(states, v.State)
	}
	if !slices.Equal(states, []clsv.State{clsv.ServerNormal, clsv.ServerXfer, clsv.ServerNormal}) {
		t.Errorf("B was %v", states)
	}
}

// TestMG16sides merges two sides while a fifth of all packets is lost.
func TestMG16sides(t *testing.T) {
	const bound = 1500 * ms // several announcements, of which one gets through
	for seed := range uint64(10) {
		l := newLabOn(t, seed, lossy(19))
		all := []string{"A", "B", "C", "D"}
		for _, n := range all {
			l.start(n, client)
		}
		l.until(func() bool { return l.c.Settled(0, all...) })
		l.c.Partition([]string{"A", "B"}, []string{"C", "D"})
		l.until(func() bool { return l.c.Settled(0, "A", "B") && l.c.Settled(0, "C", "D") })
		l.c.Heal()
		if !l.c.Settled(bound, all...) {
			t.Errorf("seed %d: not merged after %v", seed, bound)
		}
	}
}

// TestIn sends messages that are for one view only.
func TestIn(t *testing.T) { both(t, oneView) }

func oneView(t *testing.T) {
	l := newLab(t)
	for _, n := range []string{"A", "B"} {
		l.join(n, client)
	}
	a := l.r["A"]
	in := func() clsv.MsgOptions { return clsv.MsgOptions{In: a.m.View().ID} }
	l.cast("A", "now", in())
	old := in()
	var errs []error
	try := func() {
		_, err := a.m.TryCast([]byte("blocked"), old)
		errs = append(errs, err)
	}
	a.onBlock = func() { l.after(time.Microsecond, try) }
	l.join("C", client)
	a.onBlock = nil
	try()
	for _, err := range errs {
		l.is(err, clsv.ErrOtherView)
	}
	l.cast("A", "again", in())
	l.run(20 * ms)
	l.got("B", "A:now", "A:again")
	l.got("C", "A:again")
	l.normal("S", clsv.NoXfer)
	l.join("X", server(clsv.AtomicXfer))
	_, err := a.m.TryCast([]byte("unsafe"), in())
	l.is(err, clsv.ErrOtherView)
	if len(errs) != 2 {
		t.Errorf("tried %d times", len(errs))
	}
}

// TestQueue fills what a member may have under way: more is refused, or waits if
// it may, and goes out in order; what is for the view only is dropped with it.
func TestQueue(t *testing.T) {
	l := newLab(t)
	for _, n := range []string{"A", "B"} {
		o := client
		o.QueueBytes, o.BlockTimeout = 1<<20, 200*ms
		l.join(n, o)
	}
	a := l.r["A"]
	to := l.id("B")
	l.c.Pause("B") // acknowledges nothing
	n := 0
	send := func(o clsv.MsgOptions) error {
		sv, err := a.m.TrySend(to, append(make([]byte, 60000), byte(n)), o)
		if err == nil {
			n++
			if sv.Next && !o.Queue {
				t.Error("it waits")
			}
		}
		return err
	}
	for n < 10000 {
		if err := send(clsv.MsgOptions{}); err != nil {
			l.is(err, clsv.ErrWouldBlock)
			break
		}
	}
	fits := n
	for n < fits+100 {
		if err := send(clsv.MsgOptions{Queue: true}); err != nil {
			l.is(err, clsv.ErrWouldBlock)
			break
		}
	}
	if fits == 10000 || n < fits+10 || n > fits+18 {
		t.Fatalf("%d fit and %d wait", fits, n-fits)
	}
	l.c.Resume("B")
	l.until(func() bool { return len(l.r["B"].got) == n })
	l.c.Slow("B", 500*ms) // and one message at a time
	for send(clsv.MsgOptions{}) == nil {
		l.c.Run(ms)
	}
	l.ok(send(clsv.MsgOptions{Queue: true, In: a.m.View().ID}))
	l.ok(send(clsv.MsgOptions{Queue: true}))
	l.start("C", client)
	// The view comes when B has taken what was sent.
	if !l.c.Wait(30*time.Second, func() bool { return len(a.last().Members) == 3 }) {
		t.Fatal("no view")
	}
	l.c.Slow("B", 0)
	l.until(func() bool { return len(l.r["B"].got) == n-1 })
	if d := a.dropped; len(d) != 1 || !errors.Is(d[0].Err, clsv.ErrOtherView) {
		t.Errorf("%d dropped", len(d))
	}
}
