package clsv_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/stack/check"
)

func TestTH02(t *testing.T) { both(t, th02) }

func th02(t *testing.T) {
	l := newLab(t)
	k := l.normal("K", clsv.FreeXfer)
	x := l.add("X", server(clsv.FreeXfer))
	try := func(v *clsv.View) {
		m := x.m
		_, err := m.Cast(bg, []byte("cast"))
		l.ok(err)
		_, err = m.Scast(bg, []byte("scast"))
		l.ok(err)
		_, err = m.Lsend(bg, []byte("lsend"), clsv.MsgOptions{Dests: v.Members})
		l.ok(err)
		_, err = m.Send(bg, v.Members[0], []byte("send"))
		l.ok(err)
		if v.StartXfer {
			l.ok(m.AskState(v.Servers[0], nil))
			l.ok(m.XferDone())
		}
		l.is(m.RequestView(), clsv.ErrNotCoordinator)
		l.is(m.Join(bg), clsv.ErrJoined)
		l.ok(m.Leave(bg))
		l.is(m.Leave(bg), clsv.ErrNotJoined)
		_, err = m.Cast(bg, nil)
		l.is(err, clsv.ErrNotJoined)
		l.ok(m.Close())
	}
	x.onView = try
	l.ok(x.m.StartJoin())
	l.until(func() bool { return x.exited })
	l.run(100 * ms)
	if last := x.lines[len(x.lines)-1]; last != "exit <nil>" {
		t.Error(last)
	}
	l.soon(func() bool { return len(k.got) == 4 })
	if len(k.got) != 4 {
		t.Errorf("K got %v", k.got)
	}
	l.is(x.m.Join(bg), clsv.ErrClosed)
}

func TestRejoinInExit(t *testing.T) { both(t, rejoinInExit) }

func rejoinInExit(t *testing.T) {
	l := newLab(t)
	l.join("K", client)
	h := &rejoiner{recorder: &recorder{}}
	l.r["X"] = h.recorder
	h.m = l.b.add("X", clsv.Options{Handler: h})
	l.ok(h.m.StartJoin())
	l.settle()
	l.ok(h.m.StartLeave())
	l.soon(func() bool { return len(h.views) == 2 })
	l.settle()
	if len(h.views) != 2 || h.views[0].Me == h.views[1].Me {
		t.Errorf("views %v", h.views)
	}
}

type rejoiner struct{ *recorder }

func (r *rejoiner) Exit(err error) {
	r.recorder.Exit(err)
	if len(r.views) == 1 {
		if err := r.m.Join(bg); err != nil {
			r.log("rejoin %v", err)
		}
	}
}

func TestTH04(t *testing.T) { both(t, th04) }

func th04(t *testing.T) {
	l := newLab(t)
	for _, n := range []string{"A", "B", "C"} {
		o := client
		o.BlockTimeout = 10 * time.Second
		l.join(n, o)
	}
	l.mark()
	l.slow("B", 5*time.Second)
	l.cast("B", "x")
	l.run(4 * time.Second) // much longer than Silence
	l.got("A", "B:x")
	l.got("B") // its callback sleeps
	l.slow("B", 0)
	l.run(3 * time.Second)
	l.got("B", "B:x")
	for _, n := range []string{"A", "B", "C"} {
		if l.views(n) > 0 {
			t.Errorf("%s: a sleeping callback has cost a view", n)
		}
	}
}

// TestSlowBlock has a member that blocks for longer than the view change waits
// for it: the group goes on, and the member catches up.
func TestSlowBlock(t *testing.T) { both(t, slowBlock) }

func slowBlock(t *testing.T) {
	l := newLabOn(t, 1, unchecked(func(o *check.Options) {}))
	for _, n := range []string{"A", "B", "C"} {
		o := client
		o.BlockTimeout = 200 * ms
		l.join(n, o)
	}
	l.mark()
	l.slow("B", time.Second)
	l.start("D", client)
	l.until(func() bool { return len(l.r["A"].last().Members) == 4 })
	l.cast("B", "late")
	l.cast("A", "in the new view")
	l.run(5 * time.Second)
	l.slow("B", 0)
	l.settle()
	l.expect("B", "block", "view M=[A B C D] +M=[D] C=[A B C D] +C=[D]",
		"cast A in the new view", "cast B late")
	l.expect("A", "block", "view M=[A B C D] +M=[D] C=[A B C D] +C=[D]",
		"cast A in the new view", "cast B late")
}

func TestTH07(t *testing.T) { both(t, th07) }

func th07(t *testing.T) {
	for _, where := range []string{"cast", "block", "view", "exit"} {
		t.Run(where, func(t *testing.T) {
			l := newLab(t)
			l.join("A", client)
			x := &panicker{recorder: &recorder{}}
			l.r["X"] = x.recorder
			x.m = l.b.add("X", clsv.Options{Handler: x})
			l.ok(x.m.StartJoin())
			l.settle()
			x.where = where
			switch where {
			case "cast":
				l.cast("A", "now")
				l.cast("A", "and again")
			case "exit":
				l.ok(x.m.StartLeave())
			default:
				l.start("B", client)
			}
			l.run(500 * ms)
			l.settle()
			if n := len(l.r["A"].last().Members); where != "block" && where != "view" && n != 1 {
				t.Errorf("%d members", n)
			}
			if !x.exited || where != "exit" && (!errors.Is(x.exit, clsv.ErrPanic) ||
				!strings.Contains(x.exit.Error(), "ouch")) {
				t.Errorf("exit %v", x.exit)
			}
		})
	}
}

type panicker struct {
	*recorder
	where string
}

func (p *panicker) at(where string) {
	if p.where == where {
		panic("ouch")
	}
}

func (p *panicker) ReceiveCast(clsv.Endpoint, []byte) { p.at("cast") }
func (p *panicker) Block()                            { p.at("block") }
func (p *panicker) AcceptedView(v *clsv.View, _ []byte) {
	p.views = append(p.views, v)
	p.at("view")
}
func (p *panicker) Exit(err error) { p.recorder.Exit(err); p.at("exit") }

func TestTH08(t *testing.T) { both(t, th08) }

func th08(t *testing.T) {
	for _, at := range []time.Duration{0, 50 * ms, 101 * ms, 102 * ms, 150 * ms, 300 * ms} {
		for _, x := range []clsv.Xfer{clsv.NoXfer, clsv.AtomicXfer} {
			l := newLab(t)
			l.normal("K", x)
			r := l.start("X", server(x))
			r2 := l.start("Y", server(x))
			l.run(at)
			if at > 200*ms {
				_ = r2.m.XferDone()
			}
			l.ok(r.m.Close())
			l.ok(r2.m.Close())
			if !r.exited || !r2.exited {
				t.Errorf("%v: no exit", at)
			}
			l.settle()
			l.shape("K", "S=[K] T=[] C=[] type=none server")
		}
	}
}

func TestHeartbeat(t *testing.T) { both(t, heartbeat) }

func heartbeat(t *testing.T) {
	l := newLab(t)
	o := client
	o.HeartbeatEvery = 100 * ms
	a := l.start("A", o)
	beats := func() (n int) {
		for _, s := range a.lines {
			if strings.HasPrefix(s, "heartbeat") {
				n++
			}
		}
		return n
	}
	l.run(1150 * ms)
	if isReal(t) { // a busy machine may leave some out
		l.until(func() bool { return beats() > 5 })
	} else if n := beats(); n != 10 {
		t.Errorf("%d heartbeats", n)
	}
}

// TestSlowExchange has members that are too slow for the exchange: one that is
// asked for its state, and the coordinator itself.
func TestSlowExchange(t *testing.T) { both(t, slowExchange) }

func slowExchange(t *testing.T) {
	long := 10 * time.Second
	if isReal(t) {
		long = time.Second
	}
	for _, slow := range []string{"A", "B"} {
		l := newLabOn(t, 1, clsvtest.Config{})
		for _, n := range []string{"A", "B", "C"} {
			o := client
			o.BlockTimeout = 100 * ms
			x := l.exchange(n, "s"+n, "v"+n, o)
			l.ok(x.m.StartJoin())
			l.settle()
		}
		l.mark()
		l.slow(slow, long)
		l.ok(l.exchange("D", "sD", "vD", client).m.StartJoin())
		l.until(func() bool {
			v := l.r["C"].last()
			return v != nil && len(v.Members) == 4
		})
		l.slow(slow, 0)
		l.run(long + time.Second)
		l.settle()
		want := " msg=vA"
		if slow == "A" {
			want = "client<-client"
		}
		if s := l.r["C"].lines[len(l.r["C"].lines)-1]; !strings.HasSuffix(s, want) {
			t.Errorf("%s is slow: C has %s", slow, s)
		}
	}
}
