package clsv_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"maestro/clsv"
)

// closing is the states that a member is closed in: each brings X there.
var closing = map[string]func(l *lab, x *recorder){
	"initial": func(*lab, *recorder) {},
	"joining": func(l *lab, x *recorder) { l.ok(x.m.StartJoin()) },
	"looking": func(l *lab, x *recorder) {
		l.b.partition([]string{"X"}, []string{"K", "Y", "c"})
		l.ok(x.m.StartJoin())
		l.run(20 * ms)
	},
	"first view": func(l *lab, x *recorder) {
		x.onView = func(*clsv.View) { l.ok(x.m.Close()) }
		l.ok(x.m.StartJoin())
		l.until(func() bool { return x.exited })
	},
	"xfer": func(l *lab, x *recorder) { l.ok(x.m.Join(bg)) },
	"asked": func(l *lab, x *recorder) {
		l.ok(x.m.Join(bg))
		l.ok(x.m.AskState(l.id("K"), []byte("p")))
		l.run(10 * ms)
	},
	"done": func(l *lab, x *recorder) {
		l.ok(x.m.Join(bg))
		l.ok(x.m.XferDone())
	},
	"server": func(l *lab, x *recorder) {
		l.ok(x.m.Join(bg))
		l.ok(x.m.XferDone())
		l.until(func() bool { return x.m.State() == clsv.ServerNormal })
	},
	"becoming": func(l *lab, x *recorder) {
		l.ok(x.m.Join(bg))
		l.until(func() bool { return x.m.State() == clsv.BecomingServer }) // too late
	},
	"messages wait": func(l *lab, x *recorder) {
		l.ok(x.m.Join(bg))
		for range 10 {
			l.cast("X", "m")
		}
	},
	"in Block": func(l *lab, x *recorder) {
		l.ok(x.m.Join(bg))
		x.onBlock = func() { l.ok(x.m.Close()) }
		l.start("e", client)
		l.until(func() bool { return x.exited })
	},
	"blocked": func(l *lab, x *recorder) {
		l.ok(x.m.Join(bg))
		blocked := false
		x.onBlock = func() { blocked = true }
		l.start("e", client)
		l.until(func() bool { return blocked })
	},
	"exchange": func(l *lab, x *recorder) {
		l.ok(x.m.Join(bg))
		asked := false
		e := l.exchange("e", "s", "v", client)
		e.changing = func(*clsv.View) { asked = true }
		l.ok(e.m.StartJoin())
		l.until(func() bool { return asked })
	},
	"leaving": func(l *lab, x *recorder) {
		l.ok(x.m.Join(bg))
		l.ok(x.m.StartLeave())
	},
	"left": func(l *lab, x *recorder) {
		l.ok(x.m.Join(bg))
		l.ok(x.m.Leave(bg))
	},
	"alone": func(l *lab, x *recorder) {
		l.ok(x.m.Join(bg))
		l.b.partition([]string{"X"}, []string{"K", "Y", "c"})
	},
	"slow": func(l *lab, x *recorder) {
		l.ok(x.m.Join(bg))
		l.slow("X", 200*ms)
		l.cast("K", "m", clsv.MsgOptions{Safety: clsv.XferSafe})
		l.run(20 * ms)
	},
}

// TestTH08states closes a member in every state, within the bound.
func TestTH08states(t *testing.T) { both(t, th08states) }

func th08states(t *testing.T) {
	for state, reach := range closing {
		t.Run(state, func(t *testing.T) {
			if isReal(t) {
				t.Parallel()
			}
			l := newLab(t)
			l.normal("K", clsv.AtomicXfer)
			l.join("Y", server(clsv.AtomicXfer))
			l.join("c", client)
			o := server(clsv.AtomicXfer)
			o.LeaveTimeout = time.Second
			if state == "becoming" {
				o.XferTimeout = 200 * ms
			}
			x := l.add("X", o)
			reach(l, x)
			joined := x.m.State() != clsv.Initial || x.exited
			from := l.now()
			l.ok(x.m.Close())
			l.ok(x.m.Close())
			if d := l.now() - from; d > o.LeaveTimeout+400*ms {
				t.Errorf("Close took %v", d)
			}
			if x.exited != joined {
				t.Errorf("exit %v, joined %v", x.exited, joined)
			}
			n := len(x.lines)
			l.is(x.m.Join(bg), clsv.ErrClosed)
			if _, err := x.m.TryCast(nil); !errors.Is(err, clsv.ErrClosed) &&
				!errors.Is(err, clsv.ErrNotJoined) {
				t.Errorf("cast: %v", err)
			}
			if s := x.m.State(); s != clsv.Initial {
				t.Errorf("state %v", s)
			}
			l.b.heal()
			l.run(100 * ms)
			l.settle()
			exits := 0
			for _, line := range x.lines {
				if len(line) > 4 && line[:4] == "exit" {
					exits++
				}
			}
			if len(x.lines) != n || exits > 1 || joined && exits != 1 {
				t.Errorf("%d exits: %q", exits, x.lines)
			}
		})
	}
}

// now is the time, virtual or not.
func (l *lab) now() time.Duration {
	if l.c != nil {
		return l.c.Now()
	}
	return time.Duration(time.Now().UnixNano())
}

// guard sees to it that callbacks of a member come one at a time and in order.
type guard struct {
	t      *testing.T
	m      *clsv.Member
	inside atomic.Int32
	n      int // callbacks; written by all of them, so that races show
	views  int
	blocks int
	from   map[clsv.Endpoint]uint64
	gone   bool
}

func (g *guard) in(view bool) func() {
	if g.inside.Add(1) != 1 {
		g.t.Error("two callbacks at a time")
	}
	if g.gone || !view && g.views == 0 {
		g.t.Error("a callback after Exit, or before the first view")
	}
	g.n++
	return func() { g.inside.Add(-1) }
}

func (g *guard) message(o clsv.Endpoint, msg []byte) {
	defer g.in(false)()
	var k uint64
	_, _ = fmt.Sscan(string(msg), &k)
	if k <= g.from[o] {
		g.t.Errorf("%d of %v after %d", k, o, g.from[o])
	}
	g.from[o] = k
}

func (g *guard) ReceiveCast(o clsv.Endpoint, b []byte)  { g.message(o, b) }
func (g *guard) ReceiveScast(o clsv.Endpoint, b []byte) { g.message(o, b) }
func (g *guard) ReceiveLsend(o clsv.Endpoint, b []byte) { g.message(o, b) }
func (g *guard) ReceiveSend(clsv.Endpoint, []byte)      { g.in(false)() }
func (g *guard) Dropped(clsv.Dropped)                   { g.in(true)() }
func (g *guard) Block()                                 { defer g.in(false)(); g.blocks++ }
func (g *guard) Degraded(clsv.Degraded)                 { g.in(false)() }
func (g *guard) Heartbeat(time.Duration)                { g.in(false)() }
func (g *guard) RcvState(clsv.Endpoint, []byte)         { g.in(false)(); _ = g.m.XferDone() }
func (g *guard) AskState(o clsv.Endpoint, b []byte) {
	defer g.in(false)()
	_ = g.m.SendState(o, b)
}
func (g *guard) ChangingView(*clsv.View) []byte { g.in(true)(); return nil }
func (g *guard) ProposeView(*clsv.View, [][]byte) []byte {
	g.in(true)()
	return nil
}
func (g *guard) AcceptedView(v *clsv.View, _ []byte) {
	defer g.in(true)()
	if g.views != g.blocks {
		g.t.Errorf("view %d after %d blocks", g.views, g.blocks)
	}
	g.views++
	if v.State == clsv.ServerXfer && len(v.Servers) > 0 {
		_ = g.m.AskState(v.Servers[0], []byte("p"))
	}
}
func (g *guard) Exit(error) {
	g.in(true)()
	g.gone = true
}

// TestTH01 has callbacks of all kinds come over real sockets, while messages are
// sent by many goroutines and members come and go.
func TestTH01(t *testing.T) {
	if err := loopback(); err != nil {
		t.Skip(err)
	}
	t.Parallel()
	group := fmt.Sprint("th01-", time.Now().UnixNano())
	ctx, cancel := context.WithTimeout(bg, 30*time.Second)
	defer cancel()
	stop := make(chan struct{})
	var wg, senders sync.WaitGroup
	var guards []*guard
	open := func(name string) (*clsv.Member, *guard) {
		g := &guard{t: t, from: map[clsv.Endpoint]uint64{}}
		o := clsv.Options{Role: clsv.Server, Xfer: clsv.FreeXfer, Handler: g}
		o.Group, o.Name, o.Transport.Interface = group, name, "lo"
		o.Discovery, o.Silence, o.HeartbeatEvery = 300*ms, 3*time.Second, ms
		m, err := clsv.New(o)
		if err != nil {
			t.Fatal(err)
		}
		g.m = m
		if err := m.Join(ctx); err != nil {
			t.Fatal(err)
		}
		return m, g
	}
	for i := range 3 {
		m, g := open(fmt.Sprint("m", i))
		guards = append(guards, g)
		var mu sync.Mutex // numbers go out in order
		n := uint64(0)
		for j := range 3 {
			senders.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					mu.Lock()
					n++
					b := fmt.Append(nil, n)
					switch j {
					case 0:
						_, _ = m.Cast(ctx, b)
					case 1:
						_, _ = m.Scast(ctx, b)
					case 2:
						_, _ = m.Lsend(ctx, b, clsv.MsgOptions{Dests: m.View().Members})
						_, _ = m.Send(ctx, m.View().Members[0], b)
					}
					mu.Unlock()
					time.Sleep(100 * time.Microsecond) // handlers keep up
				}
			})
		}
		wg.Go(func() { <-stop; senders.Wait(); _ = m.Close() })
	}
	for range 3 {
		m, g := open("guest")
		guards = append(guards, g)
		time.Sleep(100 * ms)
		if err := m.Leave(ctx); err != nil {
			t.Error(err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	for i, g := range guards {
		if !g.gone || i < 3 && (g.views < 4 || g.n < 100) {
			t.Errorf("%d: exit %v, %d views, %d callbacks", i, g.gone, g.views, g.n)
		}
	}
}

// TestTH08hammer closes members at random moments, while others call them.
func TestTH08hammer(t *testing.T) {
	if err := loopback(); err != nil {
		t.Skip(err)
	}
	t.Parallel()
	group := fmt.Sprint("th08-", time.Now().UnixNano())
	rounds := 24
	if testing.Short() {
		rounds = 8
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(worker), 8))
			for k := range rounds / 4 {
				hammer(t, group, fmt.Sprint("w", worker, "-", k), rnd)
			}
		})
	}
	wg.Wait()
}

func hammer(t *testing.T, group, name string, rnd *rand.Rand) {
	g := &guard{t: t, from: map[clsv.Endpoint]uint64{}}
	o := clsv.Options{Role: clsv.Server, Xfer: clsv.Xfer(rnd.IntN(4)), Handler: g}
	o.Group, o.Name, o.Transport.Interface = group, name, "lo"
	o.Discovery, o.LeaveTimeout = 50*ms, time.Second
	m, err := clsv.New(o)
	if err != nil {
		t.Error(err)
		return
	}
	g.m = m
	stop := make(chan struct{})
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	for i := range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch i {
				case 0:
					_ = m.Join(ctx)
					time.Sleep(ms)
				case 1:
					_, _ = m.Send(ctx, m.Endpoint(), make([]byte, 100))
					_, _, _ = m.View(), m.State(), m.Dump()
					_ = m.Suspect(clsv.Endpoint{})
					_ = m.RequestView()
				case 2:
					_ = m.XferDone()
					_ = m.Post(func() {})
					_ = m.Wait(ctx, stop)
				}
			}
		})
	}
	time.Sleep(time.Duration(rnd.IntN(250)) * ms)
	if rnd.IntN(3) == 0 {
		wg.Go(func() { _ = m.Leave(ctx) })
	}
	wg.Go(func() { _ = m.Close() }) // twice at a time
	from := time.Now()
	if err := m.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if d := time.Since(from); d > o.LeaveTimeout+5*time.Second {
		t.Errorf("Close took %v", d)
	}
	close(stop)
	cancel()
	wg.Wait()
}

// TestTH04groups has a callback that sleeps in one group: it delays nobody
// else's, and its member is not excluded.
func TestTH04groups(t *testing.T) {
	if err := loopback(); err != nil {
		t.Skip(err)
	}
	t.Parallel()
	stamp := time.Now().UnixNano()
	ctx, cancel := context.WithTimeout(bg, 30*time.Second)
	defer cancel()
	open := func(group, name string, h clsv.Handler) *clsv.Member {
		o := clsv.Options{Handler: h}
		o.Group, o.Name, o.Transport.Interface = fmt.Sprint(group, stamp), name, "lo"
		o.Discovery = 200 * ms
		m, err := clsv.Open(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		return m
	}
	sleeper := &sleepy{wake: make(chan struct{}), asleep: make(chan struct{})}
	a := open("one-", "a", nil)
	b := open("one-", "b", sleeper)
	two := &counter{}
	c := open("two-", "c", two)
	if _, err := a.Cast(ctx, []byte("sleep")); err != nil {
		t.Fatal(err)
	}
	<-sleeper.asleep
	const n = 150
	for range n { // longer than failure detection takes
		if _, err := a.Cast(ctx, make([]byte, 100)); err != nil {
			t.Error(err)
		}
		if _, err := c.Cast(ctx, nil); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * ms)
	}
	if k := two.count(); k < n-5 {
		t.Errorf("group two is delayed: %d of %d", k, n)
	}
	if k := len(a.View().Members); k != 2 {
		t.Errorf("%d members", k)
	}
	close(sleeper.wake)
	wait(t, "the rest", func() bool { return sleeper.n.Load() == n+1 })
	if k := len(b.View().Members); k != 2 {
		t.Errorf("%d members", k)
	}
}

type sleepy struct {
	clsv.NopHandler
	n            atomic.Int64
	asleep, wake chan struct{}
}

func (s *sleepy) ReceiveCast(clsv.Endpoint, []byte) {
	if s.n.Add(1) == 1 {
		close(s.asleep)
		<-s.wake
	}
}

// hasher shows its state to traces, until it cannot any more.
type hasher struct {
	*recorder
	broken bool
}

func (h *hasher) StateHash() uint64 {
	if h.broken {
		panic("ouch")
	}
	return 1
}

// TestTH07hash: a StateHash that panics is a handler that panics, wherever it is
// asked.
func TestTH07hash(t *testing.T) {
	for _, where := range []string{"cast", "view"} {
		l := newLab(t)
		l.join("A", client)
		x := &hasher{recorder: &recorder{}}
		o := client
		o.Handler = x
		l.add("X", o)
		x.recorder.m = l.r["X"].m
		l.r["X"] = x.recorder
		l.ok(x.m.StartJoin())
		l.settle()
		x.broken = true
		if where == "cast" {
			l.cast("A", "x")
		} else {
			l.start("B", client)
		}
		l.run(500 * ms)
		l.settle()
		if !x.exited || !errors.Is(x.exit, clsv.ErrPanic) {
			t.Errorf("%s: exit %v, %v", where, x.exited, x.exit)
		}
	}
}
