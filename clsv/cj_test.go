package clsv_test

import (
	"fmt"
	"testing"
	"time"

	"maestro/clsv"
)

// g0 makes M=[K A c] S=[K A] C=[c].
func g0(t *testing.T) *lab {
	l := newLab(t)
	l.normal("K", clsv.FreeXfer)
	l.normal("A", clsv.FreeXfer)
	l.join("c", client)
	l.mark()
	return l
}

func TestCJ01(t *testing.T) { both(t, cj01) }

func cj01(t *testing.T) {
	l := g0(t)
	l.join("X", client)
	l.expect("A", "block", "view M=[K A c X] +M=[X] S=[K A] C=[c X] +C=[X] type=none sc=K osc=K "+
		"co=K")
	l.expect("X", "view M=[K A c X] +M=[K A c X] S=[K A] +S=[K A] C=[c X] +C=[c X] type=none "+
		"sc=K osc= sr=-1/-1 client<-joining")
}

func TestCJ02(t *testing.T) { both(t, cj02) }

func cj02(t *testing.T) {
	l := newLab(t)
	x := l.join("X", clsv.Options{})
	if v := x.last(); v.MyMbrshipType != clsv.Client || v.MyXferType != clsv.NoXfer {
		t.Errorf("%v %v", v.MyMbrshipType, v.MyXferType)
	}
	if o := (clsv.MsgOptions{}); o.Safety != clsv.Generic || o.Dests != nil {
		t.Errorf("%v", o)
	}
}

func TestCJ04(t *testing.T) { both(t, cj04) }

func cj04(t *testing.T) {
	l := g0(t)
	l.join("X", server(clsv.NoXfer))
	l.expect("X", "view M=[K A c X] +M=[K A c X] S=[K A X] +S=[K A X] C=[c] +C=[c] type=none "+
		"sr=2/-1 server<-joining")
	l.expect("c", "block", "view M=[K A c X] +M=[X] S=[K A X] +S=[X] C=[c] type=none sc=K")
}

func TestCJ05(t *testing.T) { both(t, cj05) }

func cj05(t *testing.T) {
	for _, x := range []clsv.Xfer{clsv.FreeXfer, clsv.ProtectedXfer, clsv.AtomicXfer} {
		t.Run(x.String(), func(t *testing.T) {
			l := g0(t)
			r := l.join("X", server(x))
			l.ok(r.m.XferDone())
			if s := r.m.State(); s != clsv.ServerXferDone {
				t.Errorf("state %v", s)
			}
			l.settle()
			l.run(50 * ms)
			ty := fmt.Sprint("type=", x)
			l.expect("X", "view M=[K A c X] +M=[K A c X] S=[K A] +S=[K A] T=[X] +T=[X] C=[c] "+
				"+C=[c] xfer<-joining sr=-1/-1 startXfer "+ty, "block",
				"view M=[K A c X] S=[K A X] +S=[X] -T=[X] C=[c] server<-xfer sr=2/-1 type=none")
			l.expect("c", "block", "view M=[K A c X] +M=[X] S=[K A] T=[X] +T=[X] C=[c] "+ty,
				"block",
				"view M=[K A c X] S=[K A X] +S=[X] -T=[X] C=[c] client<-client type=none")
			l.expect("K", "block",
				"view M=[K A c X] +M=[X] S=[K A] T=[X] +T=[X] C=[c] server<-server "+ty, "block",
				"view M=[K A c X] S=[K A X] +S=[X] -T=[X] C=[c] type=none")
		})
	}
}

func TestCJ07(t *testing.T) { both(t, cj07) }

func cj07(t *testing.T) {
	l := g0(t)
	l.cast("K", "before")
	l.join("X", server(clsv.FreeXfer))
	for _, n := range []string{"K", "A", "c"} {
		l.cast(n, n+"1")
		_, err := l.r[n].m.TryScast([]byte(n + "2"))
		l.ok(err)
	}
	l.run(10 * ms)
	l.soon(func() bool { return len(l.r["X"].got) == 6 })
	if got := len(l.r["X"].got); got != 6 {
		t.Errorf("X got %v", l.r["X"].got)
	}
}

func TestCJ08(t *testing.T) { both(t, cj08) }

func cj08(t *testing.T) {
	l := newLab(t)
	l.join("K", clsv.Options{Xfer: clsv.AtomicXfer})
	l.join("X", server(clsv.ProtectedXfer))
	if v := l.r["K"].last(); v.MyXferType != clsv.AtomicXfer || v.MyMbrshipType != clsv.Client {
		t.Error(v)
	}
	if v := l.r["X"].last(); v.MyXferType != clsv.ProtectedXfer || v.MyMbrshipType != clsv.Server {
		t.Error(v)
	}
}

func TestCJ10(t *testing.T) { both(t, cj10) }

func cj10(t *testing.T) {
	l := newLab(t)
	l.join("k", client)
	l.join("c", client)
	l.mark()
	l.join("X", server(clsv.AtomicXfer))
	l.expect("X", "view M=[k c X] +M=[k c X] S=[X] +S=[X] C=[k c] +C=[k c] type=none sc=X "+
		"server<-joining sr=0/-1")
	l.expect("k", "block", "view M=[k c X] +M=[X] S=[X] +S=[X] C=[k c] type=none sc=X osc=")
}

func TestCJ11(t *testing.T) { both(t, cj11) }

func cj11(t *testing.T) {
	l := newLab(t)
	l.join("k", client)
	l.join("c", client)
	l.start("X", server(clsv.AtomicXfer))
	l.start("Y", server(clsv.AtomicXfer))
	l.until(func() bool { return len(l.live()) == 4 && l.settled(l.live()...) })
	first, second := "X", "Y"
	if l.r["X"].last().State == clsv.ServerXfer {
		first, second = second, first
	}
	l.shape(first, "S=["+first+"] T=["+second+"] C=[k c] type=atomic server")
	if !l.r[second].last().StartXfer {
		t.Error("no transfer")
	}
	l.ok(l.r[second].m.XferDone())
	l.until(func() bool { return l.r[second].m.State() == clsv.ServerNormal })
}

func TestCJ13and14(t *testing.T) { both(t, cj13and14) }

func cj13and14(t *testing.T) {
	l := g0(t)
	l.join("X", server(clsv.FreeXfer))
	l.join("Y", server(clsv.AtomicXfer))
	l.shape("c", "S=[K A] T=[X Y] C=[c] type=atomic client")
	l.mark()
	if sv := l.cast("c", "later"); !sv.Next {
		t.Error("it is not delayed")
	}
	l.run(50 * ms)
	l.got("A")
	l.ok(l.r["Y"].m.XferDone())
	l.settle()
	l.shape("c", "S=[K A Y] T=[X] C=[c] type=free client")
	l.got("A", "c:later")
}

func TestCJ16(t *testing.T) { both(t, cj16) }

func cj16(t *testing.T) {
	l := g0(t)
	l.join("X", server(clsv.AtomicXfer))
	l.mark()
	l.join("Y", server(clsv.NoXfer))
	l.shape("Y", "S=[K A Y] T=[X] C=[c] type=atomic server")
	l.expect("X", "block", "view M=[K A c X Y] +M=[Y] S=[K A Y] +S=[Y] T=[X] C=[c] xfer<-xfer")
}

func TestCJ17(t *testing.T) { both(t, cj17) }

func cj17(t *testing.T) {
	l := newLab(t)
	l.normal("A", clsv.FreeXfer)
	l.join("B", server(clsv.FreeXfer))
	l.join("C", server(clsv.NoXfer))
	l.mark()
	l.crash("A")
	l.settle()
	l.expect("C", "block", "view M=[B C] -M=[A] S=[C] -S=[A] T=[B] sc=C osc=A sr=0/1")
	l.mark()
	l.ok(l.r["B"].m.XferDone())
	l.settle()
	l.expect("C", "block", "view M=[B C] S=[B C] +S=[B] -T=[B] sc=B osc=C sr=1/0")
	l.expect("B", "block", "view M=[B C] S=[B C] +S=[B] -T=[B] sc=B osc=C sr=0/-1")
}

func TestCJ19(t *testing.T) { both(t, cj19) }

func cj19(t *testing.T) {
	l := g0(t)
	l.ok(l.r["A"].m.Leave(bg))
	l.settle()
	l.expect("K", "block", "view M=[K c] -M=[A] S=[K] -S=[A] C=[c] server<-server")
	l.mark()
	l.ok(l.r["K"].m.Leave(bg))
	l.settle()
	l.expect("c", "block", "view M=[c] -M=[K] -S=[K] C=[c] sc= osc=K type=none client<-client")
}

func TestCJ20to23(t *testing.T) {
	for k := 1; k < 30; k++ {
		for _, who := range []string{"K", "X"} {
			l := g0(t)
			x := l.start("X", server(clsv.AtomicXfer))
			l.c.CrashAt(who, k, k%2 == 0)
			l.c.Run(ms * 300)
			l.settle()
			if who == "X" && x.m.State() == clsv.Initial {
				l.shape("A", "S=[K A] T=[] C=[c] type=none server")
				continue
			}
			starts := 0
			for _, v := range x.views {
				if v.StartXfer {
					starts++
				}
			}
			if starts != 1 || x.m.State() != clsv.ServerXfer {
				t.Errorf("%s crashes at %d: %d starts, %v", who, k, starts, x.last())
			}
		}
	}
}

func TestCJ25(t *testing.T) { both(t, cj25) }

func cj25(t *testing.T) {
	l := g0(t)
	const n = 16
	for i := range n {
		r := l.add(fmt.Sprint("s", i), server(clsv.FreeXfer))
		r.onView = func(v *clsv.View) {
			if v.StartXfer {
				l.after(ms, func() { _ = r.m.XferDone() })
			}
		}
		l.after(20*ms*time.Duration(i)/n, func() { l.ok(r.m.StartJoin()) })
	}
	l.until(func() bool {
		v := l.r["K"].last()
		return len(v.Servers) == n+2
	})
	l.settle()
	if v := l.views("K"); v > 6 {
		t.Errorf("%d views", v)
	}
}

func TestCJ26(t *testing.T) { both(t, cj26) }

func cj26(t *testing.T) {
	l := g0(t)
	x := l.join("X", server(clsv.AtomicXfer))
	l.ok(x.m.AskState(l.id("A"), []byte("p")))
	l.asked("A")
	l.mark()
	l.join("d", client)
	l.expect("X", "block",
		"view M=[K A c X d] +M=[d] S=[K A] T=[X] C=[c d] +C=[d] xfer<-xfer type=atomic")
	l.ok(l.r["A"].m.SendState(l.id("X"), []byte("s")))
	l.run(ms)
	l.soon(func() bool { return len(l.r["X"].lines) == 3 })
	if n := len(l.r["X"].lines); n != 3 || l.r["X"].lines[2] != "state A s" {
		t.Error("no state")
	}
}

func TestCJ28(t *testing.T) { both(t, cj28) }

func cj28(t *testing.T) {
	l := g0(t)
	x := l.normal("X", clsv.AtomicXfer)
	l.ok(x.m.Leave(bg))
	l.settle()
	l.mark()
	l.ok(x.m.Join(bg))
	l.expect("X", "view M=[K A c X] +M=[K A c X] S=[K A] +S=[K A] T=[X] +T=[X] C=[c] +C=[c] "+
		"xfer<-joining sr=-1/-1 startXfer")
	l.ok(x.m.XferDone())
	l.until(func() bool { return x.m.State() == clsv.ServerNormal })
}

func TestCJ29(t *testing.T) { both(t, cj29) }

func cj29(t *testing.T) {
	l := newLab(t)
	l.exchange("K", "", "v", server(clsv.FreeXfer))
	l.ok(l.r["K"].m.StartJoin())
	l.settle()
	l.join("c", client)
	l.join("X", server(clsv.FreeXfer))
	for n, r := range l.r {
		for _, s := range r.lines {
			if s[:5] == "view " && s[len(s)-6:] != " msg=v" {
				t.Errorf("%s: %s", n, s)
			}
		}
	}
}
