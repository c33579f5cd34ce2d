package clsv_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
)

var bg = context.Background()

func TestGM01(t *testing.T) { both(t, gm01) }

func gm01(t *testing.T) {
	l := newLab(t)
	a := l.add("A", client)
	returned := false
	a.onView = func(v *clsv.View) {
		if returned {
			t.Error("Join returned before AcceptedView")
		}
	}
	l.ok(a.m.Join(bg))
	returned = true
	l.expect("A", "view M=[A] +M=[A] C=[A] +C=[A] r=0/-1 co=A oco= client<-joining")
}

func TestGM02(t *testing.T) { both(t, gm02) }

func gm02(t *testing.T) {
	l := newLab(t)
	l.join("A", client)
	l.mark()
	l.join("B", client)
	l.expect("A", "block", "view M=[A B] +M=[B] C=[A B] +C=[B] r=0/0 co=A oco=A client<-client")
	l.expect("B", "view M=[A B] +M=[A B] C=[A B] +C=[A B] r=1/-1 co=A oco=")
	va, vb := l.r["A"].views, l.r["B"].views
	if va[1].ID != vb[0].ID || va[1].ID.Ltime <= va[0].ID.Ltime {
		t.Errorf("views %v and %v", va[1].ID, vb[0].ID)
	}
}

// exchanger is a recorder that exchanges state messages.
type exchanger struct {
	*recorder
	state, view string
	hook        func()
	changing    func(v *clsv.View)
}

func (x *exchanger) ChangingView(v *clsv.View) []byte {
	x.log("changing %s", describe(v))
	if x.changing != nil {
		x.changing(v)
	}
	return []byte(x.state)
}

func (x *exchanger) ProposeView(v *clsv.View, msgs [][]byte) []byte {
	x.log("propose %s %q", describe(v), msgs)
	if x.hook != nil {
		x.hook()
	}
	return []byte(x.view)
}

func (l *lab) exchange(name, state, view string, o clsv.Options) *exchanger {
	x := &exchanger{recorder: &recorder{}, state: state, view: view}
	o.Handler = x
	l.add(name, o)
	x.recorder.m = l.r[name].m
	l.r[name] = x.recorder
	return x
}

// exchangers makes A, B and C of one view, and D, which has not joined.
func (l *lab) exchangers() map[string]*exchanger {
	xs := map[string]*exchanger{}
	for _, n := range []string{"A", "B", "C", "D"} {
		xs[n] = l.exchange(n, "s"+n, "v"+n, client)
		if n != "D" {
			l.ok(xs[n].m.StartJoin())
			l.settle()
		}
	}
	xs["B"].state = ""
	l.mark()
	return xs
}

func TestGM04(t *testing.T) { both(t, gm04) }

func gm04(t *testing.T) {
	l := newLab(t)
	xs := l.exchangers()
	l.ok(xs["D"].m.StartJoin())
	l.settle()
	const v = "M=[A B C D] +M=[D] C=[A B C D] +C=[D] type=none co=A oco=A sc= osc= r=0/0 " +
		"sr=-1/-1 client<-client"
	l.expect("A", "block", "changing "+v, `propose `+v+` ["sA" "" "sC" "sD"]`, "view "+v+" msg=vA")
	l.expect("B", "block", l.r["B"].lines[1], "view M=[A B C D] +M=[D] C=[A B C D] +C=[D] msg=vA")
	l.expect("D", l.r["D"].lines[0],
		"view M=[A B C D] +M=[A B C D] C=[A B C D] +C=[A B C D] msg=vA")
}

func TestGM05(t *testing.T) { both(t, gm05) }

func gm05(t *testing.T) {
	l := newLab(t)
	k := l.exchange("K", "", "", server(clsv.AtomicXfer))
	var states []clsv.State
	k.changing = func(v *clsv.View) { states = append(states, v.State) }
	l.ok(k.m.StartJoin())
	l.settle()
	x := l.exchange("X", "", "", server(clsv.AtomicXfer))
	var seen *clsv.View
	x.changing = func(v *clsv.View) { seen = v }
	l.ok(x.m.StartJoin())
	l.settle()
	if seen.State != clsv.ServerXfer || !seen.StartXfer || seen.ViewType != clsv.AtomicXfer ||
		names(seen.Servers) != "[K]" || names(seen.XferServers) != "[X]" {
		t.Errorf("X changes to %v", seen)
	}
	if len(states) != 2 || states[1] != clsv.ServerNormal {
		t.Errorf("K changes to %v", states)
	}
}

func TestGM06to08(t *testing.T) {
	for _, who := range []string{"A", "B", "C"} {
		t.Run(who, func(t *testing.T) {
			l := newLab(t)
			xs := l.exchangers()
			first := true
			xs["A"].hook = func() {
				if first { // everybody has run ChangingView, nobody has accepted
					first = false
					l.c.World.After(0, func() { l.c.Crash(who) })
					l.c.CrashAt(who, 1, false)
				}
			}
			l.ok(xs["D"].m.StartJoin())
			l.settle()
			for n, r := range l.r {
				if n == who {
					continue
				}
				if v := r.last(); v.RankOf(xs[who].views[0].Me) >= 0 || len(v.Members) != 3 {
					t.Errorf("%s is in %v", n, v)
				}
			}
		})
	}
}

func TestGM10(t *testing.T) { both(t, gm10) }

func gm10(t *testing.T) {
	l := newLab(t)
	for _, n := range []string{"A", "B", "C"} {
		l.join(n, client)
	}
	l.mark()
	b := l.r["B"]
	var views []clsv.SendView
	send := func(msg string) { views = append(views, l.cast("B", msg)) }
	b.onBlock = func() {
		send("m0")
		// The block has returned, and the view is not accepted yet.
		l.after(time.Microsecond, func() {
			send("m1")
			send("m2")
		})
	}
	b.onView = func(v *clsv.View) { send("m3") }
	l.join("D", client)
	l.expect("A", "block", "cast B m0", "view M=[A B C D] +M=[D] C=[A B C D] +C=[D]",
		"cast B m1", "cast B m2", "cast B m3")
	l.expect("C", "block", "cast B m0", "view M=[A B C D] +M=[D] C=[A B C D] +C=[D]",
		"cast B m1", "cast B m2", "cast B m3")
	v0, v1 := b.views[len(b.views)-2].ID, b.last().ID
	want := []clsv.SendView{{ID: v0}, {ID: v0, Next: true}, {ID: v0, Next: true}, {ID: v1}}
	for i := range want {
		if views[i] != want[i] {
			t.Errorf("m%d goes %v, want %v", i, views[i], want[i])
		}
	}
}

func TestGM11(t *testing.T) { both(t, gm11) }

func gm11(t *testing.T) {
	l := newLab(t)
	for _, n := range []string{"A", "B", "D"} {
		l.join(n, client)
	}
	d := l.id("D")
	b := l.r["B"]
	b.onBlock = func() {
		l.after(time.Microsecond, func() {
			_, err := b.m.TrySend(d, []byte("p"))
			l.ok(err)
		})
	}
	l.ok(l.r["D"].m.Leave(bg))
	l.settle()
	l.soon(func() bool { return len(b.dropped) > 0 })
	if len(b.dropped) != 1 || !errors.Is(b.dropped[0].Err, clsv.ErrNotMember) {
		t.Errorf("dropped %v", b.dropped)
	}
}

func TestGM14(t *testing.T) { both(t, gm14) }

func gm14(t *testing.T) {
	l := newLabOn(t, 3, lossy(9))
	for _, n := range []string{"A", "B", "C"} {
		l.join(n, client)
	}
	const n = 1000
	for i := range n {
		for _, m := range []string{"A", "B", "C"} {
			l.cast(m, string(rune('a'+i%26)))
			for _, to := range []string{"A", "B", "C"} {
				_, err := l.r[m].m.TrySend(l.id(to), []byte{byte(i)})
				l.ok(err)
			}
		}
		l.run(400 * time.Microsecond)
	}
	l.run(2 * time.Second)
	for _, m := range []string{"A", "B", "C"} {
		l.soon(func() bool { return len(l.r[m].got) == 6*n })
		if got := len(l.r[m].got); got != 6*n {
			t.Errorf("%s got %d messages of %d", m, got, 6*n)
		}
	}
}

func TestGM16and17(t *testing.T) { both(t, gm16and17) }

func gm16and17(t *testing.T) {
	l := newLab(t)
	for _, n := range []string{"A", "B", "C"} {
		l.join(n, client)
	}
	l.mark()
	l.cast("B", "last")
	l.ok(l.r["B"].m.Leave(bg))
	l.expect("B", "cast B last", "block", "exit <nil>")
	l.settle()
	inView := func(name string) []string { // the block may come before or after
		if l.r[name].lines[0] == "block" {
			return []string{"block", "cast B last"}
		}
		return []string{"cast B last", "block"}
	}
	l.expect("A", append(inView("A"), "view M=[A C] -M=[B] C=[A C] -C=[B] r=0/0 co=A oco=A")...)
	l.expect("C", append(inView("C"), "view M=[A C] -M=[B] C=[A C] -C=[B] r=1/2 co=A oco=A")...)
	l.mark()
	l.ok(l.r["A"].m.Leave(bg))
	l.settle()
	l.expect("C", "block", "view M=[C] -M=[A] C=[C] -C=[A] r=0/1 co=C oco=A")
}

func TestGM19(t *testing.T) { both(t, gm19) }

func gm19(t *testing.T) {
	l := newLab(t)
	for _, n := range []string{"A", "B"} {
		l.join(n, client)
	}
	b := l.r["B"]
	was := l.id("B")
	l.ok(b.m.Leave(bg))
	l.settle()
	l.mark()
	l.ok(b.m.Join(bg))
	l.settle()
	l.expect("B", "view M=[A B] +M=[A B] C=[A B] +C=[A B] r=1/-1 co=A oco= client<-joining")
	if l.id("B") == was {
		t.Error("the endpoint is the same")
	}
}

func TestGM20(t *testing.T) { both(t, gm20) }

func gm20(t *testing.T) {
	l := newLab(t)
	a := l.add("A", client)
	l.is(a.m.Leave(bg), clsv.ErrNotJoined)
	_, err := a.m.TryCast(nil)
	l.is(err, clsv.ErrNotJoined)
	l.ok(a.m.Join(bg))
	l.is(a.m.Join(bg), clsv.ErrJoined)
	var op *clsv.OpError
	if _, err = a.m.TrySend(clsv.Endpoint{Name: "no"}, nil); !errors.As(err, &op) ||
		op.Op != "send" || op.Group != l.r["A"].last().Group || op.View != a.last().ID {
		t.Errorf("error %v", err)
	}
	l.ok(a.m.Leave(bg))
	l.is(a.m.Leave(bg), clsv.ErrNotJoined)
	l.ok(a.m.Close())
	l.ok(a.m.Close())
	l.is(a.m.Join(bg), clsv.ErrClosed)
	b := l.add("B", client)
	l.ok(b.m.Close())
	l.is(b.m.Join(bg), clsv.ErrClosed)
}

func TestGM22(t *testing.T) { both(t, gm22) }

func gm22(t *testing.T) {
	l := newLab(t)
	for _, n := range []string{"A", "B"} {
		l.join(n, client)
	}
	l.mark()
	l.ok(l.r["A"].m.RequestView())
	l.run(100 * ms)
	l.expect("A", "block", "view M=[A B] C=[A B] r=0/0")
	l.expect("B", "block", "view M=[A B] C=[A B] r=1/1")
	l.is(l.r["B"].m.RequestView(), clsv.ErrNotCoordinator)
	l.run(100 * ms)
	if n := l.views("B"); n != 1 {
		t.Errorf("%d views", n)
	}
	l.mark()
	for range 10 {
		l.ok(l.r["A"].m.RequestView())
	}
	l.run(100 * ms)
	if n := l.views("B"); n < 1 || n > 2 {
		t.Errorf("%d views", n)
	}
}

func TestGroupMember(t *testing.T) {
	c := clsvtest.New(1)
	var got []string
	h := &groupHandler{got: &got}
	o := clsv.GroupOptions{Group: "test", Name: "a", HeartbeatEvery: 100 * ms, Trace: c}
	a, err := clsv.NewGroupMemberOn(o, h, c)
	if err != nil {
		t.Fatal(err)
	}
	if err = a.Join(bg); err != nil {
		t.Fatal(err)
	}
	if _, err = a.Cast(bg, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err = a.Send(bg, a.Endpoint(), []byte("y")); err != nil {
		t.Fatal(err)
	}
	c.Run(150 * ms)
	if err = a.Close(); err != nil {
		t.Fatal(err)
	}
	if len(got) != 6 || got[0] != "view" || got[3] != "heartbeat" || got[5] != "exit" {
		t.Errorf("callbacks %v", got)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

type groupHandler struct {
	clsv.NopGroupHandler
	got *[]string
}

func (g *groupHandler) add(s string)                            { *g.got = append(*g.got, s) }
func (g *groupHandler) ReceiveCast(_ clsv.Endpoint, msg []byte) { g.add(string(msg)) }
func (g *groupHandler) ReceiveSend(_ clsv.Endpoint, msg []byte) { g.add(string(msg)) }
func (g *groupHandler) AcceptedView(*clsv.GroupView, []byte)    { g.add("view") }
func (g *groupHandler) Block()                                  { g.add("block") }
func (g *groupHandler) Exit(error)                              { g.add("exit") }
func (g *groupHandler) Heartbeat(time.Duration)                 { g.add("heartbeat") }
