package clsv_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
)

// bomb is a handler that panics in one place.
type bomb struct {
	*recorder
	at    string
	after int // callbacks after the panic, but for Exit
	gone  bool
}

func (b *bomb) reach(where string) {
	if b.gone {
		b.after++
	}
	if b.at == where {
		b.gone = true
		panic("ouch in " + where)
	}
}

func (b *bomb) ReceiveCast(clsv.Endpoint, []byte)       { b.reach("ReceiveCast") }
func (b *bomb) ReceiveSend(clsv.Endpoint, []byte)       { b.reach("ReceiveSend") }
func (b *bomb) ReceiveScast(clsv.Endpoint, []byte)      { b.reach("ReceiveScast") }
func (b *bomb) ReceiveLsend(clsv.Endpoint, []byte)      { b.reach("ReceiveLsend") }
func (b *bomb) AskState(clsv.Endpoint, []byte)          { b.reach("AskState") }
func (b *bomb) Dropped(clsv.Dropped)                    { b.reach("Dropped") }
func (b *bomb) Degraded(clsv.Degraded)                  { b.reach("Degraded") }
func (b *bomb) Heartbeat(time.Duration)                 { b.reach("Heartbeat") }
func (b *bomb) PrimaryView(*clsv.View, []byte)          { b.reach("PrimaryView") }
func (b *bomb) Block()                                  { b.reach("Block") }
func (b *bomb) AcceptedView(*clsv.View, []byte)         { b.reach("AcceptedView") }
func (b *bomb) ChangingView(*clsv.View) []byte          { b.reach("ChangingView"); return nil }
func (b *bomb) ProposeView(*clsv.View, [][]byte) []byte { b.reach("ProposeView"); return nil }
func (b *bomb) call(where string) func()                { return func() { b.reach(where) } }

// provoke has X, the coordinator and a server, be called everywhere.
func (l *lab) provoke(x *bomb) {
	to := []clsv.Endpoint{x.m.Endpoint()}
	c, m := l.r["C"].m, x.m
	_ = m.Post(x.call("Post"))
	_, _ = m.After(ms, x.call("After"))
	_, _ = c.TryCast([]byte("m"))
	_, _ = c.TryScast([]byte("m"))
	_, _ = c.TryLsend([]byte("m"), clsv.MsgOptions{Dests: to})
	_, _ = c.TrySend(to[0], []byte("m"))
	l.run(50 * ms)
	if y := l.start("Y", server(clsv.FreeXfer)); x.at == "AskState" {
		l.until(func() bool { return y.m.State() == clsv.ServerXfer })
		_ = y.m.AskState(to[0], nil)
	} else {
		l.run(500 * ms)
		_ = y.m.XferDone()
	}
	l.run(200 * ms)
	if m.State() != clsv.ServerNormal {
		return
	}
	l.b.partition([]string{"X"}, []string{"C", "Y"})
	l.run(2 * time.Second)
	_ = l.r["Y"].m.SetStateVersion(1000)
	l.b.heal()
	l.run(2 * time.Second)
}

// TestTH07All: whatever of an application's panics, wherever the library calls it,
// takes its member out of the group, and nobody else. Exit tells, and is the last.
func TestTH07All(t *testing.T) {
	for _, where := range []string{"ReceiveCast", "ReceiveSend", "ReceiveScast", "ReceiveLsend",
		"AskState", "Degraded", "Heartbeat", "PrimaryView", "Block", "AcceptedView",
		"ChangingView", "ProposeView", "Post", "After"} {
		t.Run(where, func(t *testing.T) {
			l := newLab(t)
			x := &bomb{recorder: &recorder{}}
			o := server(clsv.ProtectedXfer)
			o.Handler, o.HeartbeatEvery = x, 20*ms
			c := client
			if where == "PrimaryView" {
				o.Quorum, c.Quorum = 1, 1
			}
			l.add("X", o)
			x.m, l.r["X"] = l.r["X"].m, x.recorder
			l.ok(x.m.StartJoin())
			l.settle()
			l.join("C", c)
			x.at = where
			l.provoke(x)
			if !x.gone || !x.exited || !errors.Is(x.exit, clsv.ErrPanic) ||
				!strings.Contains(x.exit.Error(), "ouch in "+where) ||
				!strings.Contains(x.exit.Error(), "panic_test.go") {
				t.Errorf("panicked %v, exit %v: %v", x.gone, x.exited, x.exit)
			}
			if x.after > 0 {
				t.Errorf("%d callbacks after the panic", x.after)
			}
			l.settle() // the others go on
		})
	}
}

// TestTH07Policy: where a merge policy panics, the default decides, so that the
// state does not leave with the member.
func TestTH07Policy(t *testing.T) {
	l := newLab(t)
	o := server(clsv.FreeXfer)
	o.Merge = func(a, b clsv.Side) int { panic("ouch") }
	for _, n := range []string{"A", "B", "C"} {
		l.join(n, o)
		_ = l.r[n].m.XferDone()
		l.settle()
	}
	l.b.partition([]string{"A"}, []string{"B", "C"})
	l.until(func() bool { return len(l.r["B"].m.View().Members) == 2 })
	l.ok(l.r["A"].m.SetStateVersion(7))
	l.b.heal()
	l.until(func() bool { return len(l.live()) == 2 })
	l.settle()
	n := 0
	for name, r := range l.r {
		if r.exited {
			n++
			if !errors.Is(r.exit, clsv.ErrPanic) {
				t.Errorf("%s: %v", name, r.exit)
			}
		} else if slices.ContainsFunc(r.views, func(v *clsv.View) bool { return v.SourcesLost }) {
			t.Errorf("%s has lost the state", name)
		}
	}
	if n != 1 {
		t.Errorf("%d members have left", n)
	}
}

// TestTH07Join: a first AcceptedView that panics is a Join that fails.
func TestTH07Join(t *testing.T) {
	if err := loopback(); err != nil {
		t.Skip(err)
	}
	x := &bomb{recorder: &recorder{}, at: "AcceptedView"}
	o := clsv.Options{Handler: x}
	o.Group, o.Transport.Interface = "th07-join", "lo"
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := clsv.Open(ctx, o); !errors.Is(err, clsv.ErrPanic) {
		t.Error(err)
	}
}

// TestTH07Exit: if Exit panics, after Leave or in Close, it is they who tell.
func TestTH07Exit(t *testing.T) {
	var log bytes.Buffer
	l := newLab(t)
	x := &panicker{recorder: &recorder{}, where: "exit"}
	o := clsv.Options{Handler: x}
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	x.m = l.b.add("X", o)
	l.ok(x.m.StartJoin())
	l.run(time.Second)
	var err error
	l.c.Go("X", func() { err = x.m.Leave(context.Background()) })
	l.run(time.Second)
	if !errors.Is(err, clsv.ErrPanic) {
		t.Error(err)
	}
	l.ok(x.m.StartJoin())
	l.run(time.Second)
	l.c.Go("X", func() { err = x.m.Close() })
	l.run(time.Second)
	if !errors.Is(err, clsv.ErrPanic) {
		t.Error(err)
	}
}
