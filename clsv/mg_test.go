package clsv_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
)

// pq makes P: M=[A B c] S=[A B] and Q: M=[D E f] S=[D] T=[E], apart. D is of
// a type.
func pq(t *testing.T, d clsv.Xfer) *lab {
	l := newLab(t)
	for _, n := range []string{"A", "B", "c", "D", "E", "f"} {
		l.add(n, map[string]clsv.Options{"A": server(clsv.FreeXfer), "B": server(clsv.FreeXfer),
			"D": server(d), "E": server(clsv.AtomicXfer)}[n])
	}
	l.b.partition([]string{"A", "B", "c"}, []string{"D", "E", "f"})
	begin := func(of ...string) {
		l.ok(l.r[of[len(of)-1]].m.StartJoin())
		l.until(func() bool { return l.settled(of...) })
	}
	begin("A")
	begin("A", "B")
	l.ok(l.r["B"].m.XferDone())
	l.run(50 * ms)
	begin("A", "B", "c")
	l.cast("c", "one")
	begin("D")
	begin("D", "E")
	begin("D", "E", "f")
	l.run(20 * ms)
	l.shape("f", "S=[D] T=[E] C=[f] type=atomic client")
	l.shape("c", "S=[A B] T=[] C=[c] type=none client")
	l.mark()
	return l
}

func TestMG01(t *testing.T) { both(t, mg01) }

func mg01(t *testing.T) {
	l := pq(t, clsv.FreeXfer)
	l.b.heal()
	l.settle()
	for _, n := range []string{"A", "f"} {
		l.shape(n, fmt.Sprintf("S=[A B] T=[D E] C=[c f] type=atomic %v", l.r[n].m.State()))
	}
	d := l.r["D"]
	l.expect("D", "block", "degraded "+clsv.ErrMergeLost.Error(), d.lines[2])
	if v := d.last(); names(v.NewServers) != "[A B]" || names(v.DepartedServers) != "[D]" ||
		names(v.NewXferServers) != "[D]" || v.OldState != clsv.ServerNormal || !v.StartXfer ||
		v.MyOldServerRank != 0 || v.MyServerRank != -1 || v.OldServerCoordinator.Name != "D" ||
		v.ServerCoordinator.Name != "A" {
		t.Error(v)
	}
	if e := l.r["E"].last(); !e.StartXfer || e.OldState != clsv.ServerXfer {
		t.Error(e)
	}
	l.expect("f", "block", "view M=[A B c D E f] +M=[A B c] S=[A B] +S=[A B] -S=[D] T=[D E] "+
		"+T=[D] C=[c f] +C=[c] client<-client sc=A osc=D type=atomic")
	l.ok(l.r["D"].m.XferDone())
	l.ok(l.r["E"].m.XferDone())
	l.settle()
	l.run(50 * ms)
	l.shape("f", "S=[A B D E] T=[] C=[c f] type=none client")
}

func TestMG02(t *testing.T) { both(t, mg02) }

func mg02(t *testing.T) {
	l := pq(t, clsv.FreeXfer)
	x := l.r["B"]
	l.ok(x.m.Leave(bg))
	l.run(50 * ms)
	l.ok(x.m.StartJoin()) // is SX now
	l.run(300 * ms)
	l.ok(x.m.AskState(l.id("A"), []byte("p")))
	l.asked("A")
	l.b.heal()
	l.settle()
	if v := x.last(); v.StartXfer || v.State != clsv.ServerXfer || v.ViewType != clsv.AtomicXfer {
		t.Error(v)
	}
	l.ok(l.r["A"].m.SendState(l.id("B"), []byte("d")))
	l.run(ms)
	l.soon(func() bool { return x.lines[len(x.lines)-1] == "state A d" })
	if s := x.lines[len(x.lines)-1]; s != "state A d" {
		t.Error(s)
	}
}

func TestMG04(t *testing.T) { both(t, mg04) }

func mg04(t *testing.T) {
	l := pq(t, clsv.NoXfer)
	l.b.heal()
	l.settle()
	l.run(100 * ms)
	v := l.r["D"].views
	if n := len(v); v[n-2].State != clsv.BecomingServer || v[n-1].State != clsv.ServerNormal ||
		v[n-1].StartXfer {
		t.Error(v)
	}
	l.shape("A", "S=[A B D] T=[E] C=[c f] type=atomic server")
}

func TestMG05(t *testing.T) { both(t, mg05) }

func mg05(t *testing.T) {
	l := newLab(t)
	for i := range 5 {
		l.join(fmt.Sprint("c", i), client)
	}
	l.b.partition([]string{"c0", "c1", "c2", "c3", "c4"}, []string{"D"})
	l.ok(l.add("D", server(clsv.FreeXfer)).m.StartJoin())
	l.run(500 * ms)
	l.shape("D", "S=[D] T=[] C=[] type=none server")
	l.mark()
	l.b.heal()
	l.settle()
	v := l.r["D"].last()
	if l.views("D") != 1 || v.State != clsv.ServerNormal || len(l.r["D"].degraded) > 0 {
		t.Error(v)
	}
}

func TestMG07(t *testing.T) { both(t, mg07) }

func mg07(t *testing.T) {
	seeds, apart := uint64(5), 3*time.Second
	if isReal(t) {
		seeds, apart = 1, 600*ms
	}
	for seed := range seeds {
		l := newLabOn(t, seed, clsvtest.Config{})
		l.join("A", server(clsv.FreeXfer))
		for range 100 {
			l.cast("A", "x")
		}
		l.run(ms)
		l.b.partition([]string{"A"}, []string{"X"})
		l.ok(l.add("X", server(clsv.FreeXfer)).m.StartJoin())
		l.run(apart)
		for range 3 { // X has views of its own, with larger ids
			l.ok(l.r["X"].m.RequestView())
			l.run(100 * ms)
		}
		l.mark()
		l.b.heal()
		l.settle()
		v := l.r["A"].last()
		if v.State != clsv.ServerNormal || names(v.XferServers) != "[X]" || v.Version != 100 {
			t.Errorf("seed %d: %v version %d", seed, v, v.Version)
		}
	}
}

func TestMG08(t *testing.T) { both(t, mg08) }

func mg08(t *testing.T) {
	l := pq(t, clsv.FreeXfer)
	l.ok(l.r["A"].m.SetStateVersion(70))
	l.ok(l.r["D"].m.SetStateVersion(7))
	l.b.heal()
	l.settle()
	if d := l.r["D"].degraded; len(d) != 1 || !errors.Is(d[0].Err, clsv.ErrMergeLost) ||
		d[0].Version != 7 || d[0].Winner != 70 || d[0].View != l.r["D"].last().ID {
		t.Errorf("%v", d)
	}
}

func TestMG10(t *testing.T) {
	for k := 1; k < 40; k++ {
		l := pq(t, clsv.FreeXfer)
		for _, n := range []string{"D", "E", "B"} {
			r := l.r[n]
			r.onView = func(v *clsv.View) {
				if v.State == clsv.ServerXfer && len(v.Servers) > 0 {
					l.c.World.After(ms, func() { _ = r.m.XferDone() })
				}
			}
		}
		l.c.Heal()
		l.c.CrashAt("A", k, k%2 == 0)
		l.c.Run(time.Second)
		l.c.Crash("A")
		l.c.Run(time.Second)
		l.settle()
		v := l.r["f"].last()
		if len(v.Servers) != 3 || len(v.XferServers) != 0 || len(v.Members) != 5 {
			t.Errorf("%d: %v", k, v)
		}
	}
}

func TestMG11(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	for seed := range rounds {
		rnd := rand.New(rand.NewPCG(uint64(seed), 11))
		l := newLabOn(t, uint64(seed), clsvtest.Config{})
		var all []string
		for i := range 8 {
			n := fmt.Sprint("m", i)
			all = append(all, n)
			o := client
			if i < 6 {
				o = server(clsv.Xfer(i % 4))
			}
			l.auto(l.start(n, o))
		}
		l.c.Run(500 * ms)
		for range 20 {
			var parts [2][]string
			for _, n := range all {
				k := rnd.IntN(2)
				parts[k] = append(parts[k], n)
			}
			l.c.Partition(parts[:]...)
			l.c.Run(100 * ms)
			if rnd.IntN(2) == 0 {
				l.c.Heal()
				l.c.Run(100 * ms)
			}
		}
		l.c.Heal()
		l.quiet(all)
	}
}

// auto has a server finish its transfers by itself.
func (l *lab) auto(r *recorder) {
	r.onView = func(v *clsv.View) {
		if v.State == clsv.ServerXfer && len(v.Servers) > 0 {
			l.after(2*ms, func() { _ = r.m.XferDone() })
		}
	}
}

// quiet is INV-L: all is as it should be within 5 s.
func (l *lab) quiet(all []string) {
	l.Helper()
	good := l.b.wait(5*time.Second, func() bool {
		if !l.settled(all...) {
			return false
		}
		for _, n := range all {
			v := l.r[n].m.View()
			s, _ := l.r[n].m.Stats()
			want := clsv.ClientNormal
			if v.MyMbrshipType == clsv.Server {
				want = clsv.ServerNormal
			}
			if v.State != want || len(v.XferServers) > 0 || s.QueuedMessages > 0 {
				return false
			}
		}
		return true
	})
	if !good {
		for _, n := range all {
			l.Errorf("not quiet: %v\n%s", l.r[n].m.View(), l.r[n].m.Dump())
		}
		l.FailNow()
	}
}

func TestMG13(t *testing.T) { both(t, mg13) }

func mg13(t *testing.T) {
	l := newLab(t)
	l.auto(l.normal("A", clsv.FreeXfer))
	b := l.normal("B", clsv.FreeXfer)
	l.join("c", client)
	l.mark()
	l.auto(b)
	l.ok(l.r["A"].m.Suspect(l.id("B")))
	l.run(20 * ms)
	l.cast("c", "meanwhile")
	l.quiet([]string{"A", "B", "c"})
	starts := 0
	for _, v := range b.views {
		if v.StartXfer {
			starts++
		}
	}
	if starts != 2 || len(b.degraded) != 1 {
		t.Errorf("B began %d transfers, degraded %v", starts, b.degraded)
	}
}

func TestMG14(t *testing.T) { both(t, mg14) }

func mg14(t *testing.T) {
	l := pq(t, clsv.FreeXfer)
	l.cast("f", "waits") // E transfers atomically
	l.b.heal()
	l.settle()
	l.ok(l.r["E"].m.XferDone())
	l.settle()
	l.run(20 * ms)
	l.shape("f", "S=[A B E] T=[D] C=[c f] type=free client")
	l.got("A", "f:waits")
}

func TestMG16(t *testing.T) {
	for seed := range uint64(5) {
		cfg := lossy(19)
		l := newLabOn(t, seed, cfg)
		l.start("A", client)
		l.start("B", client)
		if !l.c.Settled(2*time.Second, "A", "B") {
			t.Errorf("seed %d: not merged", seed)
		}
	}
}

// TestMinorityVersion: what is received without a quorum does not make a state
// newer, since applications refuse it.
func TestMinorityVersion(t *testing.T) { both(t, minorityVersion) }

func minorityVersion(t *testing.T) {
	l := newLab(t)
	quorum := func(o clsv.Options) clsv.Options { o.Quorum = 2; return o }
	l.join("A", quorum(server(clsv.NoXfer)))
	b := l.join("B", quorum(server(clsv.FreeXfer)))
	l.join("c", quorum(client))
	l.ok(b.m.XferDone())
	l.until(func() bool { return b.m.State() == clsv.ServerNormal })
	l.settle()
	l.cast("c", "counts")
	l.run(20 * ms)
	l.soon(func() bool { return len(l.r["A"].got) == 1 && len(l.r["B"].got) == 1 })
	l.b.partition([]string{"B"}, []string{"A", "c"})
	l.until(func() bool { return len(b.m.View().Members) == 1 })
	for range 50 {
		l.cast("B", "does not")
	}
	l.run(20 * ms)
	l.soon(func() bool { return len(l.r["B"].got) == 51 })
	l.b.heal()
	l.settle()
	if d := b.degraded; len(d) != 1 || d[0].Version != 1 || d[0].Winner != 1 {
		t.Errorf("%+v", d)
	}
}
