package clsv_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"maestro/clsv"
)

// v2 makes S=[K A] T=[X] C=[c].
func v2(t *testing.T, x clsv.Xfer) *lab {
	l := g0(t)
	l.join("X", server(x))
	l.mark()
	return l
}

func TestXF01and02(t *testing.T) { both(t, xf01and02) }

func xf01and02(t *testing.T) {
	l := v2(t, clsv.AtomicXfer)
	x := l.r["X"].m
	l.ok(x.AskState(l.id("A"), []byte("p1")))
	l.run(ms)
	l.expect("A", "ask X p1")
	l.run(100 * ms) // answers may take their time
	l.ok(l.r["A"].m.SendState(l.id("X"), []byte("d1")))
	l.run(ms)
	l.ok(x.AskState(l.id("K"), []byte("p2")))
	l.asked("K")
	l.ok(l.r["K"].m.SendState(l.id("X"), []byte("d2")))
	l.run(ms)
	l.expect("X", "state A d1", "state K d2")
	l.expect("c")
	l.ok(x.XferDone())
	l.settle()
	l.shape("X", "S=[K A X] T=[] C=[c] type=none server")
}

// A portion arrives in one piece, also one that waits for the next view.
func TestPortions(t *testing.T) {
	l := v2(t, clsv.FreeXfer)
	l.ok(l.r["X"].m.AskState(l.id("A"), nil))
	l.asked("A")
	push := func(front, data string) {
		t.Helper()
		l.ok(l.r["A"].m.PushState(context.Background(), l.id("X"),
			clsv.Portion{Front: []byte(front), Data: []byte(data), More: true}))
	}
	push("he", "ad")
	push("", "tail")
	l.run(5 * ms) // the last one leaves although more was announced
	l.expect("X", "state A head", "state A tail")
	blocked := false
	l.r["A"].onBlock = func() { blocked = true }
	l.c.Slow("K", 50*ms)
	l.start("d", clsv.Options{})
	for !blocked {
		l.run(ms)
	}
	l.run(ms)
	push("la", "st")
	if s, _ := l.r["A"].m.Stats(); s.QueuedMessages != 1 {
		t.Errorf("%d messages are queued", s.QueuedMessages)
	}
	l.c.Slow("K", 0)
	l.settle()
	if !slices.Contains(l.r["X"].lines, "state A last") {
		t.Errorf("%q", l.r["X"].lines)
	}
}

func TestXF04(t *testing.T) { both(t, xf04) }

func xf04(t *testing.T) {
	l := v2(t, clsv.FreeXfer)
	ask := func(who, whom string) error { return l.r[who].m.AskState(l.id(whom), nil) }
	l.is(ask("c", "A"), clsv.ErrNotInTransfer)
	l.is(ask("A", "K"), clsv.ErrNotInTransfer)
	l.is(ask("X", "c"), clsv.ErrNotServer)
	l.is(l.r["X"].m.AskState(clsv.Endpoint{Name: "no"}, nil), clsv.ErrNotMember)
	l.is(l.r["A"].m.SendState(l.id("X"), nil), clsv.ErrNotTransferring) // has not asked
	l.is(l.r["c"].m.SendState(l.id("X"), nil), clsv.ErrNotServer)
	l.is(l.r["A"].m.SendState(l.id("c"), nil), clsv.ErrNotTransferring)
	l.is(l.r["A"].m.SendState(clsv.Endpoint{Name: "no"}, nil), clsv.ErrNotMember)
	l.ok(ask("X", "A"))
	l.asked("A")
	l.ok(l.r["X"].m.XferDone())
	l.is(ask("X", "A"), clsv.ErrNotInTransfer)
	l.ok(l.r["A"].m.SendState(l.id("X"), []byte("late")))
	l.settle()
	l.is(ask("X", "A"), clsv.ErrNotInTransfer)
	l.is(l.r["A"].m.SendState(l.id("X"), nil), clsv.ErrNotTransferring)
	for _, line := range l.r["X"].lines {
		if line == "state A late" {
			t.Error("state after XferDone")
		}
	}
	if s, _ := l.r["X"].m.Stats(); s.LateState != 1 {
		t.Errorf("%d late state messages", s.LateState)
	}
}

func TestXF07(t *testing.T) { both(t, xf07) }

func xf07(t *testing.T) {
	l := v2(t, clsv.AtomicXfer)
	x := l.r["X"].m
	l.ok(x.AskState(l.id("A"), []byte("p")))
	l.run(ms)
	l.crash("A")
	l.settle()
	l.expect("X", "block",
		"view M=[K c X] -M=[A] S=[K] -S=[A] T=[X] C=[c] type=atomic xfer<-xfer")
	l.mark()
	l.ok(x.AskState(l.id("K"), []byte("p")))
	l.run(ms)
	l.expect("K", "ask X p")
	l.ok(l.r["K"].m.SendState(l.id("X"), []byte("d")))
	l.run(ms)
	l.expect("X", "state K d")
	l.ok(x.XferDone())
	l.settle()
	l.shape("X", "S=[K X] T=[] C=[c] type=none server")
}

func TestXF08(t *testing.T) { both(t, xf08) }

func xf08(t *testing.T) {
	l := g0(t)
	x := l.add("X", server(clsv.FreeXfer))
	l.is(x.m.XferDone(), clsv.ErrNotJoined)
	for _, n := range []string{"c", "K"} {
		l.is(l.r[n].m.XferDone(), clsv.ErrNotInTransfer)
	}
	l.run(100 * ms)
	if n := l.views("c"); n != 0 {
		t.Errorf("%d views", n)
	}
}

func TestXF10(t *testing.T) { both(t, xf10) }

func xf10(t *testing.T) {
	l := v2(t, clsv.AtomicXfer)
	x := l.r["X"]
	x.onBlock = func() {
		l.after(time.Microsecond, func() { l.ok(x.m.XferDone()) })
		x.onBlock = nil
	}
	l.join("d", client)
	l.until(func() bool { return x.m.State() == clsv.ServerNormal })
	if n := l.views("X"); n > 2 {
		t.Errorf("%d views", n)
	}
}

func TestXF11(t *testing.T) { both(t, xf11) }

func xf11(t *testing.T) {
	l := newLab(t)
	l.normal("K", clsv.FreeXfer)
	l.join("X", server(clsv.AtomicXfer))
	l.join("c", client)
	l.mark()
	l.crash("K")
	l.settle()
	l.expect("X", "block", "view M=[X c] -M=[K] S=[X] +S=[X] -S=[K] -T=[X] C=[c] type=none "+
		"server<-xfer sc=X osc=K sourcesLost")
}

func TestXF11done(t *testing.T) { both(t, xf11done) }

func xf11done(t *testing.T) {
	l := newLab(t)
	l.normal("K", clsv.FreeXfer)
	x := l.join("X", server(clsv.AtomicXfer))
	l.join("Y", server(clsv.AtomicXfer))
	l.ok(x.m.XferDone())
	l.crash("K")
	l.settle()
	if v := x.last(); v.SourcesLost || v.State != clsv.ServerNormal {
		t.Error(v)
	}
	if v := l.r["Y"].last(); v.StartXfer || v.State != clsv.ServerXfer {
		t.Error(v)
	}
}

func TestXF13(t *testing.T) { both(t, xf13) }

func xf13(t *testing.T) {
	l := v2(t, clsv.AtomicXfer)
	y := l.join("Y", server(clsv.FreeXfer))
	l.ok(y.m.AskState(l.id("A"), []byte("p")))
	l.run(ms)
	l.ok(l.r["A"].m.SendState(l.id("Y"), []byte("much")))
	l.run(ms)
	l.mark()
	l.crash("K")
	l.crash("A")
	l.settle()
	l.run(time.Second)
	l.shape("Y", "S=[Y] T=[X] C=[c] type=atomic server")
	lost, starts := 0, 0
	for _, v := range l.r["X"].views[1:] {
		if v.SourcesLost {
			lost++
		}
		if v.StartXfer {
			starts++
		}
	}
	if lost != 1 || starts != 1 {
		t.Errorf("sources lost %d times, transfer restarted %d times", lost, starts)
	}
	if d := l.r["X"].degraded; len(d) != 1 || !errors.Is(d[0].Err, clsv.ErrSourcesLost) {
		t.Errorf("degraded %v", d)
	}
	l.ok(l.r["X"].m.XferDone())
	l.settle()
	l.shape("X", "S=[X Y] T=[] C=[c] type=none server")
}

func TestXF14(t *testing.T) { both(t, xf14) }

func xf14(t *testing.T) {
	l := newLab(t)
	o := server(clsv.AtomicXfer)
	o.SourcesLost = clsv.Wait
	for _, n := range []string{"K", "X"} {
		l.join(n, o)
	}
	l.join("c", clsv.Options{SourcesLost: clsv.Wait})
	l.b.partition([]string{"K"}, []string{"X", "c"})
	l.until(func() bool { return len(l.r["X"].last().Members) == 2 })
	l.shape("X", "S=[] T=[X] C=[c] type=atomic xfer")
	if v := l.r["X"].last(); v.StartXfer || !v.SourcesLost {
		t.Error(v)
	}
	l.cast("c", "m")
	l.run(time.Second)
	l.mark()
	l.b.heal()
	l.settle()
	l.shape("X", "S=[K] T=[X] C=[c] type=atomic xfer")
	if v := l.r["X"].last(); !v.StartXfer {
		t.Error(v)
	}
	l.ok(l.r["X"].m.XferDone())
	l.settle()
	l.got("K", "c:m")
}

func TestSourcesLostFail(t *testing.T) { both(t, sourcesLostFail) }

func sourcesLostFail(t *testing.T) {
	l := newLab(t)
	o := server(clsv.AtomicXfer)
	o.SourcesLost = clsv.Fail
	l.join("K", o)
	x := l.join("X", o)
	l.crash("K")
	l.until(func() bool { return x.exited })
	l.is(x.exit, clsv.ErrSourcesLost)
}

func TestXF16(t *testing.T) { both(t, xf16) }

func xf16(t *testing.T) {
	l := newLab(t)
	unit := 100 * ms
	if isReal(t) {
		unit = 400 * ms // busy machines
	}
	o := server(clsv.AtomicXfer)
	o.XferTimeout = 10 * unit
	l.join("K", o)
	x := l.join("X", o)
	l.join("c", client)
	l.cast("c", "m")
	l.run(6 * unit)
	l.ok(x.m.AskState(l.id("K"), nil)) // is progress
	l.run(6 * unit)
	l.shape("X", "S=[K] T=[X] C=[c] type=atomic xfer")
	l.run(6 * unit)
	l.shape("X", "S=[K] T=[] C=[X c] type=none becoming")
	l.got("K", "c:m")
	l.soon(func() bool { return len(x.degraded) == 1 })
	if len(x.degraded) != 1 || !errors.Is(x.degraded[0].Err, clsv.ErrDeadline) {
		t.Errorf("degraded %v", x.degraded)
	}
	l.join("d", client) // is no reason to begin again
	l.shape("X", "S=[K] T=[] C=[X c d] type=none becoming")
	l.mark()
	l.ok(x.m.RetryTransfer())
	l.settle()
	l.expect("X", "block",
		"view M=[K X c d] S=[K] T=[X] +T=[X] C=[c d] -C=[X] xfer<-becoming startXfer")
}

func TestXF19(t *testing.T) { both(t, xf19) }

func xf19(t *testing.T) {
	l := v2(t, clsv.ProtectedXfer)
	for i := range 10 {
		l.cast("c", fmt.Sprint("g", i))
		l.cast("c", fmt.Sprint("s", i), clsv.MsgOptions{Safety: clsv.Safe})
	}
	l.run(10 * ms)
	l.soon(func() bool { return len(l.r["X"].got) == 10 })
	if got := l.r["X"].got; len(got) != 10 || got[0] != "c:s0" {
		t.Errorf("X got %v", got)
	}
}

// sum is a replicated state: the sum of all casts. Its snapshot point is the
// start of the view in which a transfer starts: every server notes its state
// there, and one that transfers adds what it has received since.
type sum struct {
	*recorder
	value int
	since int // received since the transfer began
	snaps map[clsv.Endpoint]int
}

func (s *sum) AcceptedView(v *clsv.View, _ []byte) {
	s.views = append(s.views, v)
	if v.StartXfer {
		s.value, s.since = 0, 0
		_ = s.m.AskState(v.Servers[0], nil)
	}
	if v.State == clsv.ServerNormal {
		for _, e := range v.NewXferServers {
			s.snaps[e] = s.value
		}
	}
}

func (s *sum) ReceiveCast(_ clsv.Endpoint, msg []byte) {
	s.value += int(msg[0])
	s.since += int(msg[0])
}

func (s *sum) AskState(o clsv.Endpoint, _ []byte) {
	_ = s.m.SendState(o, fmt.Appendf(nil, "%d", s.snaps[o]))
}

func (s *sum) RcvState(_ clsv.Endpoint, state []byte) {
	var n int
	_, _ = fmt.Sscan(string(state), &n)
	s.value = n + s.since
	_ = s.m.XferDone()
}

func TestXF17(t *testing.T) { both(t, xf17) }

func xf17(t *testing.T) {
	runs := 30
	switch {
	case isReal(t):
		runs = 1
	case testing.Short():
		runs = 10
	}
	for seed := range runs {
		rnd := rand.New(rand.NewPCG(uint64(seed), 17))
		l := newLabOn(t, uint64(seed), lossy(uint64(seed%5)))
		sums := map[string]*sum{}
		names := []string{"A", "B", "X", "Y"}
		for i, n := range names {
			s := &sum{recorder: &recorder{}, snaps: map[clsv.Endpoint]int{}}
			o := server(clsv.FreeXfer)
			o.Handler = s
			l.add(n, o)
			s.m = l.r[n].m
			l.r[n], sums[n] = s.recorder, s
			l.after(time.Duration(i*200+rnd.IntN(100))*ms, func() { _ = s.m.StartJoin() })
		}
		for range 3000 {
			s, x := sums[names[rnd.IntN(2)]], byte(1+rnd.IntN(9))
			l.after(time.Duration(rnd.IntN(1_200_000))*time.Microsecond, func() {
				_, _ = s.m.TryCast([]byte{x})
			})
		}
		l.run(3 * time.Second)
		for n, s := range sums {
			if s.m.State() != clsv.ServerNormal || s.value != sums["A"].value || s.value == 0 {
				t.Errorf("seed %d: %s is %v with %d, A has %d", seed, n, s.m.State(), s.value,
					sums["A"].value)
			}
		}
	}
}
