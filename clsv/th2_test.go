package clsv_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"maestro/clsv"
)

// everywhere is a handler that makes all downcalls in one of its callbacks.
type everywhere struct {
	*recorder
	l      *lab
	armed  string // the callback
	end    string // what it does last: leave, close or nothing
	went   int    // how often it has
	inside bool
	peer   func() clsv.Endpoint // somebody else
}

// at makes the downcalls, if a callback is the one. No other may begin before it
// returns.
func (x *everywhere) at(where string) {
	if x.inside {
		x.l.Errorf("%s within another callback", where)
	}
	x.inside = true
	defer func() { x.inside = false }()
	if x.armed != where {
		return
	}
	x.armed = ""
	x.went++
	lines := len(x.lines)
	x.downcalls(where == "exit")
	if len(x.lines) != lines {
		x.l.Errorf("%s: callbacks came within it: %q", where, x.lines[lines:])
	}
}

// downcalls makes each downcall. Outside of the group, in Exit, all but Join
// report so.
func (x *everywhere) downcalls(out bool) {
	m, l := x.m, x.l
	may := func(op string, err error, or ...error) {
		l.Helper()
		if err == nil && !out {
			return
		}
		for _, e := range append(or, clsv.ErrNotJoined) {
			if errors.Is(err, e) && (!out || e == clsv.ErrNotJoined || e == clsv.ErrNotInTransfer) {
				return
			}
		}
		l.Errorf("%s: %v", op, err)
	}
	peer := x.peer()
	o := clsv.MsgOptions{Dests: []clsv.Endpoint{peer}}
	_, err := m.Cast(bg, []byte("cast"))
	may("cast", err)
	_, err = m.TryCast([]byte("cast"))
	may("try cast", err)
	_, err = m.Scast(bg, []byte("scast"), o)
	may("scast", err)
	_, err = m.TryScast([]byte("scast"))
	may("try scast", err)
	_, err = m.Lsend(bg, []byte("lsend"), o)
	may("lsend", err)
	_, err = m.TryLsend([]byte("lsend"), o)
	may("try lsend", err)
	_, err = m.Send(bg, peer, []byte("send"))
	may("send", err, clsv.ErrNotMember)
	_, err = m.TrySend(peer, []byte("send"))
	may("try send", err, clsv.ErrNotMember)
	states := []error{clsv.ErrNotInTransfer, clsv.ErrNotServer, clsv.ErrNotMember,
		clsv.ErrNotTransferring}
	may("ask state", m.AskState(peer, nil), states...)
	may("send state", m.SendState(peer, nil), states...)
	may("push state", m.PushState(bg, peer, clsv.Portion{}), states...)
	may("retry", m.RetryTransfer(), clsv.ErrNotInTransfer)
	may("request view", m.RequestView(), clsv.ErrNotCoordinator)
	may("suspect", m.Suspect(clsv.Endpoint{Name: "x"}), clsv.ErrNotMember)
	may("transfer done", m.XferDone(), clsv.ErrNotInTransfer)
	may("post", m.Post(func() { x.log("posted") }))
	stop, err := m.After(time.Hour, func() { l.Error("a timer that was stopped") })
	may("after", err)
	stop()
	_, _, _, _ = m.State(), m.View(), m.Endpoint(), m.Dump()
	_, _ = m.Stats()
	_ = m.Now()
	if err := m.Wait(bg, make(chan struct{})); !errors.Is(err, clsv.ErrWouldDeadlock) &&
		!errors.Is(err, clsv.ErrNotJoined) {
		l.Errorf("wait: %v", err)
	}
	if !out {
		l.is(m.Join(bg), clsv.ErrJoined)
		l.is(m.StartJoin(), clsv.ErrJoined)
	}
	switch x.end {
	case "leave":
		may("leave", m.Leave(bg))
		l.is(m.Leave(bg), clsv.ErrNotJoined)
	case "close":
		l.ok(m.Close())
		l.ok(m.Close())
		l.is(m.Join(bg), clsv.ErrClosed)
	}
}

func (x *everywhere) ReceiveCast(o clsv.Endpoint, b []byte) {
	x.recorder.ReceiveCast(o, b)
	x.at("cast")
}
func (x *everywhere) ReceiveScast(o clsv.Endpoint, b []byte) {
	x.recorder.ReceiveScast(o, b)
	x.at("scast")
}
func (x *everywhere) ReceiveLsend(o clsv.Endpoint, b []byte) {
	x.recorder.ReceiveLsend(o, b)
	x.at("lsend")
}
func (x *everywhere) ReceiveSend(o clsv.Endpoint, b []byte) {
	x.recorder.ReceiveSend(o, b)
	x.at("send")
}
func (x *everywhere) Dropped(d clsv.Dropped)   { x.recorder.Dropped(d); x.at("dropped") }
func (x *everywhere) Block()                   { x.recorder.Block(); x.at("block") }
func (x *everywhere) Degraded(d clsv.Degraded) { x.recorder.Degraded(d); x.at("degraded") }
func (x *everywhere) Exit(err error)           { x.recorder.Exit(err); x.at("exit") }
func (x *everywhere) AcceptedView(v *clsv.View, b []byte) {
	x.recorder.AcceptedView(v, b)
	x.at("view")
}
func (x *everywhere) Heartbeat(d time.Duration) { x.at("heartbeat") }
func (x *everywhere) AskState(o clsv.Endpoint, b []byte) {
	x.recorder.AskState(o, b)
	x.at("ask")
}
func (x *everywhere) RcvState(o clsv.Endpoint, b []byte) {
	x.recorder.RcvState(o, b)
	x.at("state")
}
func (x *everywhere) ChangingView(*clsv.View) []byte { x.at("changing"); return []byte("s") }
func (x *everywhere) ProposeView(*clsv.View, [][]byte) []byte {
	x.at("propose")
	return []byte("v")
}

// everywhereLab makes the coordinator X, a normal server; K, which gets its
// state from it, or gives it, atomically; and a client c.
func everywhereLab(t *testing.T, first bool) (*lab, *everywhere) {
	l := newLab(t)
	x := &everywhere{recorder: &recorder{}, l: l}
	k := func() {
		l.start("K", server(clsv.AtomicXfer))
		l.until(func() bool { return l.settled(l.live()...) })
	}
	if !first {
		k()
	}
	o := server(clsv.AtomicXfer)
	o.Handler, o.HeartbeatEvery = x, 30*ms
	l.add("X", o)
	x.recorder.m = l.r["X"].m
	l.r["X"] = x.recorder
	x.peer = func() clsv.Endpoint { return l.id("K") }
	l.ok(x.m.StartJoin())
	l.settle()
	if first {
		k()
	}
	l.join("c", client)
	return l, x
}

// provoke has a callback of X come.
func (x *everywhere) provoke(where string) {
	l := x.l
	k := l.r["K"].m
	o := clsv.MsgOptions{Safety: clsv.XferSafe, Dests: []clsv.Endpoint{l.id("X")}}
	var err error
	switch where {
	case "cast":
		_, err = k.TryCast([]byte("m"), o)
	case "scast":
		_, err = k.TryScast([]byte("m"), o)
	case "lsend":
		_, err = k.TryLsend([]byte("m"), o)
	case "send":
		_, err = k.TrySend(l.id("X"), []byte("m"), o)
	case "dropped":
		_, err = x.m.TrySend(l.id("c"), []byte("m")) // waits for the transfer
		l.ok(err)
		l.ok(l.r["c"].m.Leave(bg))
		l.settle()
		err = k.XferDone()
	case "block", "view", "changing", "propose":
		err = l.add("e", client).m.StartJoin()
	case "ask":
		err = k.AskState(l.id("X"), []byte("p"))
	case "state":
		l.ok(x.m.AskState(l.id("K"), []byte("p")))
		l.until(func() bool { return slices.Contains(l.r["K"].lines, "ask X p") })
		err = k.SendState(l.id("X"), []byte("d"))
	case "degraded":
		l.ok(k.SetStateVersion(100))
		l.b.partition([]string{"X"}, []string{"K", "c"})
		l.until(func() bool { return len(x.m.View().Members) == 1 })
		l.b.heal()
	case "exit":
		err = x.m.StartLeave()
	}
	l.ok(err)
}

// TestTH02everywhere makes every downcall in every callback.
func TestTH02everywhere(t *testing.T) { both(t, th02everywhere) }

func th02everywhere(t *testing.T) {
	first := []string{"cast", "scast", "lsend", "send", "dropped", "block", "view", "changing",
		"propose", "ask", "heartbeat", "exit"}
	for _, where := range append(slices.Clone(first), "state", "degraded") {
		for _, end := range []string{"nothing", "leave", "close"} {
			if isReal(t) && end == "close" && len(where)%2 == 0 {
				continue // enough
			}
			t.Run(where+"/"+end, func(t *testing.T) {
				if isReal(t) {
					t.Parallel()
				}
				l, x := everywhereLab(t, slices.Contains(first, where))
				if where == "degraded" {
					l.ok(x.m.XferDone())
					l.until(func() bool { return x.m.State() == clsv.ServerNormal })
					l.settle()
				}
				x.armed, x.end = where, end
				x.provoke(where)
				l.until(func() bool { return x.went == 1 })
				if end == "nothing" && where != "exit" {
					l.until(func() bool { return x.posted() })
				} else {
					l.until(func() bool { return x.exited })
				}
				l.run(100 * ms)
				l.settle()
				exits := 0
				for i, line := range x.lines {
					if line == "exit <nil>" {
						exits++
						if i != len(x.lines)-1 {
							t.Errorf("after Exit: %q", x.lines[i:])
						}
					}
				}
				if want := map[bool]int{true: 1}[x.exited]; exits != want || x.exit != nil {
					t.Errorf("%d exits: %v", exits, x.exit)
				}
			})
		}
	}
}

func (x *everywhere) posted() bool { return slices.Contains(x.lines, "posted") }

// TestTH05 calls what waits from within callbacks: nothing hangs.
func TestTH05(t *testing.T) { both(t, th05) }

func th05(t *testing.T) {
	l := newLab(t)
	o := client
	o.QueueBytes = 1000
	a := l.add("A", o)
	l.join("B", server(clsv.NoXfer))
	l.join("X", server(clsv.AtomicXfer))
	var got []string
	ctx, cancel := context.WithCancel(bg)
	cancel()
	never := make(chan struct{})
	a.onView = func(*clsv.View) {
		note := func(what string, err error) {
			var op *clsv.OpError
			if err != nil && !errors.As(err, &op) {
				t.Errorf("%s: %T", what, err)
			}
			got = append(got, fmt.Sprint(what, " ", errors.Unwrap(err)))
		}
		note("join", a.m.Join(bg))
		note("wait", a.m.Wait(bg, never))
		var err error
		for range 100 {
			if _, err = a.m.Cast(bg, make([]byte, 100)); err != nil {
				break
			}
		}
		note("cast", err) // it is delayed, and there is no room
		_, err = a.m.Send(ctx, l.id("B"), make([]byte, 100))
		note("send", err)
		note("leave", a.m.Leave(bg))
		note("close", a.m.Close())
	}
	l.ok(a.m.StartJoin())
	l.until(func() bool { return a.exited })
	want := []string{"join " + clsv.ErrJoined.Error(), "wait " + clsv.ErrWouldDeadlock.Error(),
		"cast " + clsv.ErrWouldBlock.Error(), "send " + clsv.ErrWouldBlock.Error(), "leave <nil>",
		"close <nil>"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	l.settle()
}
