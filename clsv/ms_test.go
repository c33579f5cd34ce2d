package clsv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/stack/check"
	"maestro/wire"
)

// g1 makes M=[K A X c d] S=[K A] T=[X] C=[c d].
func g1(t *testing.T, x clsv.Xfer) *lab { return g1On(newLab(t), x, false) }

func g1On(l *lab, x clsv.Xfer, noLocal bool) *lab {
	opt := func(r clsv.Role, x clsv.Xfer) clsv.Options {
		return clsv.Options{GroupOptions: clsv.GroupOptions{NoLocal: noLocal}, Role: r, Xfer: x}
	}
	l.join("K", opt(clsv.Server, clsv.NoXfer))
	l.join("A", opt(clsv.Server, clsv.NoXfer))
	l.join("X", opt(clsv.Server, x))
	l.join("c", opt(clsv.Client, 0))
	l.join("d", opt(clsv.Client, 0))
	l.mark()
	return l
}

var everybody = []string{"K", "A", "X", "c", "d"}

// silent is a lab without self-delivery.
func silent(t *testing.T) *lab { return newLabOn(t, 1, noLocal) }

func TestMS01to04(t *testing.T) { both(t, ms01to04) }

func ms01to04(t *testing.T) {
	for _, local := range []bool{true, false} {
		l := newLab(t)
		if !local {
			l = silent(t)
		}
		g1On(l, clsv.FreeXfer, !local)
		d := func(n ...string) clsv.MsgOptions {
			var o clsv.MsgOptions
			for _, n := range n {
				o.Dests = append(o.Dests, l.id(n))
			}
			return o
		}
		gone := clsv.Endpoint{Name: "gone"}
		for _, s := range everybody {
			try := func(want string, err error) {
				t.Helper()
				l.ok(err)
				l.run(10 * ms)
				for _, n := range everybody {
					in := strings.Contains(want, n) && (local || n != s)
					if !l.soon(func() bool { return in == (len(l.r[n].got) == 1) }) {
						t.Errorf("from %s: %s got %v, want %v", s, n, l.r[n].lines, in)
					}
				}
				l.mark()
			}
			m := l.r[s].m
			_, err := m.TryCast([]byte("cast"))
			try("KAXcd", err)
			_, err = m.TryScast([]byte("scast"))
			try("KAX", err)
			_, err = m.TryScast([]byte("scast"), d("d", "K"))
			try("KAXd", err)
			o := d("A", "d")
			o.Dests = append(o.Dests, gone)
			_, err = m.TryLsend([]byte("lsend"), o)
			try("Ad", err)
			_, err = m.TryLsend([]byte("lsend"))
			try("", err)
		}
	}
}

func TestMS05(t *testing.T) { both(t, ms05) }

func ms05(t *testing.T) {
	l := g1(t, clsv.FreeXfer)
	_, err := l.r["K"].m.TrySend(l.id("c"), []byte("m"))
	l.ok(err)
	_, err = l.r["K"].m.TrySend(l.id("K"), []byte("me"))
	l.ok(err)
	_, err = l.r["K"].m.TrySend(clsv.Endpoint{Name: "x"}, []byte("m"))
	l.is(err, clsv.ErrNotMember)
	l.run(10 * ms)
	l.expect("c", "send K m")
	l.expect("K", "send K me")
	l.expect("A")
	s := g1On(silent(t), clsv.FreeXfer, true)
	_, err = s.r["K"].m.TrySend(s.id("K"), []byte("me"))
	s.is(err, clsv.ErrSelf)
}

func TestMS07(t *testing.T) { both(t, ms07) }

func ms07(t *testing.T) {
	l := g1(t, clsv.FreeXfer)
	k := l.r["K"].m
	l.cast("K", "1")
	_, err := k.TryScast([]byte("2"))
	l.ok(err)
	_, err = k.TryLsend([]byte("3"), clsv.MsgOptions{Dests: []clsv.Endpoint{l.id("c")}})
	l.ok(err)
	l.cast("K", "4")
	l.run(10 * ms)
	l.got("A", "K:1", "K:2", "K:4")
	l.got("c", "K:1", "K:3", "K:4")
	l.got("d", "K:1", "K:4")
}

func TestMS08(t *testing.T) { both(t, ms08) }

func ms08(t *testing.T) {
	l := newLabOn(t, 5, lossy(4))
	for i, n := range everybody {
		o := client
		if i < 3 {
			o = server(clsv.NoXfer)
		}
		o.Total = true
		l.join(n, o)
	}
	const n = 100
	var all clsv.MsgOptions
	for _, name := range everybody {
		all.Dests = append(all.Dests, l.id(name))
	}
	for i := range n {
		for _, who := range []string{"K", "c"} {
			l.cast(who, fmt.Sprint("cast ", i))
			_, err := l.r[who].m.TryScast(fmt.Appendf(nil, "scast %d", i))
			l.ok(err)
			_, err = l.r[who].m.TryLsend(fmt.Appendf(nil, "lsend %d", i), all)
			l.ok(err)
		}
		l.run(200 * time.Microsecond)
	}
	l.run(time.Second)
	if testing.Verbose() {
		for _, n := range everybody {
			t.Log(n, l.r[n].m.Dump())
		}
	}
	for i, name := range everybody {
		want := 6 * n
		if i >= 3 {
			want = 4 * n // clients get no scasts
		}
		l.soon(func() bool { return len(l.r[name].got) == want })
		if got := len(l.r[name].got); got != want {
			t.Fatalf("%s got %d messages of %d", name, got, want)
		}
	}
	order := l.r["K"].got
	theirs := slices.DeleteFunc(slices.Clone(order),
		func(s string) bool { return strings.Contains(s, "scast") })
	for i, name := range everybody {
		want := order
		if i >= 3 {
			want = theirs
		}
		if !slices.Equal(l.r[name].got, want) {
			t.Errorf("%s got %d messages in another order than K", name, len(want))
		}
	}
	if slices.IsSortedFunc(order, bySender) {
		t.Error("nothing is interleaved")
	}
}

// bySender compares the senders of two messages as recorded.
func bySender(a, b string) int { return strings.Compare(a[:1], b[:1]) }

// delay has A send five Generic messages, of each kind.
func (l *lab) delay() {
	a := l.r["A"].m
	l.cast("A", "1")
	_, err := a.TryScast([]byte("2"))
	l.ok(err)
	_, err = a.TrySend(l.id("c"), []byte("3"))
	l.ok(err)
	_, err = a.TryLsend([]byte("4"), clsv.MsgOptions{Dests: []clsv.Endpoint{l.id("d")}})
	l.ok(err)
	l.cast("A", "5")
}

func TestMS10(t *testing.T) { both(t, ms10) }

func ms10(t *testing.T) {
	l := g1(t, clsv.AtomicXfer)
	l.delay()
	l.run(50 * ms)
	l.expect("d")
	l.r["A"].onView = func(*clsv.View) { l.cast("A", "6") }
	l.ok(l.r["X"].m.XferDone())
	l.settle()
	l.got("d", "A:1", "A:4", "A:5", "A:6")
	l.got("K", "A:1", "A:2", "A:5", "A:6")
	l.soon(func() bool { return len(l.r["c"].got) == 4 })
	if got := l.r["c"].got; len(got) != 4 || !slices.Contains(got, "A:3") {
		t.Errorf("c got %v", got)
	}
}

func TestMS11(t *testing.T) { both(t, ms11) }

func ms11(t *testing.T) {
	l := g1(t, clsv.ProtectedXfer)
	l.cast("A", "1")
	l.cast("A", "2", clsv.MsgOptions{Safety: clsv.Safe})
	l.cast("A", "3", clsv.MsgOptions{Safety: clsv.XferSafe})
	l.run(10 * ms)
	l.got("c", "A:2", "A:3")
	l.ok(l.r["X"].m.XferDone())
	l.settle()
	l.got("c", "A:2", "A:3", "A:1")
}

func TestMS13(t *testing.T) { both(t, ms13) }

func ms13(t *testing.T) {
	l := g1(t, clsv.AtomicXfer)
	l.join("Y", server(clsv.ProtectedXfer))
	l.mark()
	safe := clsv.MsgOptions{Safety: clsv.Safe}
	l.cast("A", "g1")
	l.cast("A", "s1", safe)
	l.cast("A", "g2")
	l.cast("A", "s2", safe)
	l.run(10 * ms)
	l.got("c")
	l.ok(l.r["X"].m.XferDone())
	l.settle()
	l.got("c", "A:s1", "A:s2")
	l.ok(l.r["Y"].m.XferDone())
	l.settle()
	l.got("c", "A:s1", "A:s2", "A:g1", "A:g2")
}

func TestMS14(t *testing.T) { both(t, ms14) }

func ms14(t *testing.T) {
	l := g0(t)
	a := l.r["A"]
	sent := false
	a.onBlock = func() {
		l.after(time.Microsecond, func() {
			if sv := l.cast("A", "m"); !sv.Next {
				t.Error("it went at once")
			}
			sent = true
		})
	}
	l.join("X", server(clsv.AtomicXfer))
	a.onBlock = nil
	l.run(50 * ms)
	if l.got("c"); !sent {
		t.Error("not sent")
	}
	l.cast("A", "later")
	l.ok(l.r["X"].m.XferDone())
	l.settle()
	l.got("c", "A:m", "A:later")
}

func TestMS16(t *testing.T) { both(t, ms16) }

func ms16(t *testing.T) {
	l := g1(t, clsv.AtomicXfer)
	l.delay()
	l.crash("X")
	l.settle()
	l.got("K", "A:1", "A:2", "A:5")
}

func TestMS17(t *testing.T) { both(t, ms17) }

func ms17(t *testing.T) {
	l := g1(t, clsv.AtomicXfer)
	_, err := l.r["A"].m.TrySend(l.id("d"), []byte("p"))
	l.ok(err)
	l.cast("A", "after")
	l.ok(l.r["d"].m.Leave(bg))
	l.settle()
	l.ok(l.r["X"].m.XferDone())
	l.settle()
	l.soon(func() bool { return len(l.r["A"].dropped) == 1 })
	if d := l.r["A"].dropped; len(d) != 1 || !errors.Is(d[0].Err, clsv.ErrNotMember) ||
		string(d[0].Msg) != "p" || d[0].Kind != clsv.Send || d[0].To.Name != "d" {
		t.Errorf("dropped %v", d)
	}
	l.got("K", "A:after")
}

func TestMS19(t *testing.T) { both(t, ms19) }

func ms19(t *testing.T) {
	l := g1(t, clsv.AtomicXfer)
	l.delay()
	l.ok(l.r["A"].m.Leave(bg))
	l.expect("A", l.r["A"].lines[0], l.r["A"].lines[1], l.r["A"].lines[2], l.r["A"].lines[3],
		"dropped cast 5: not in the group", "block", "exit <nil>")
	l.ok(l.r["X"].m.XferDone())
	l.settle()
	l.got("c")
	l.got("d")
}

func TestMS20(t *testing.T) { both(t, ms20) }

func ms20(t *testing.T) {
	l := newLab(t)
	o := client
	o.QueueBytes = 1000
	l.join("c", o)
	l.join("K", server(clsv.NoXfer))
	x := l.join("X", server(clsv.AtomicXfer))
	c := l.r["c"].m
	n := 0
	for ; ; n++ {
		if _, err := c.TryCast(make([]byte, 100)); err != nil {
			l.is(err, clsv.ErrWouldBlock)
			break
		}
	}
	if n == 0 || n > 10 {
		t.Errorf("%d messages wait", n)
	}
	l.cast("c", "x", clsv.MsgOptions{Safety: clsv.XferSafe})
	ctx, cancel := context.WithCancel(bg)
	cancel()
	_, err := c.Cast(ctx, make([]byte, 100))
	l.is(err, context.Canceled)
	l.after(10*ms, func() { l.ok(x.m.XferDone()) })
	if _, err = c.Cast(bg, make([]byte, 100)); err != nil { // waits for room
		t.Error(err)
	}
	l.run(10 * ms)
	l.soon(func() bool { return len(l.r["K"].got) == n+2 })
	if got := len(l.r["K"].got); got != n+2 {
		t.Errorf("K got %d of %d", got, n+2)
	}
}

func TestMS22(t *testing.T) { both(t, ms22) }

func ms22(t *testing.T) {
	for _, x := range []clsv.Xfer{clsv.FreeXfer, clsv.AtomicXfer} {
		l := g1(t, x)
		b := []byte("first")
		dests := []clsv.Endpoint{l.id("d")}
		_, err := l.r["A"].m.TryLsend(b, clsv.MsgOptions{Dests: dests})
		l.ok(err)
		copy(b, "xxxxx")
		dests[0] = l.id("c")
		l.ok(l.r["X"].m.XferDone())
		l.settle()
		l.got("d", "A:first")
		l.got("c")
	}
}

func TestMS25(t *testing.T) { both(t, ms25) }

func ms25(t *testing.T) {
	l := newLabOn(t, 2, lossy(4))
	g1On(l, clsv.FreeXfer, false)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var got int
	l.r["X"].onState = func(_ clsv.Endpoint, b []byte) {
		if bytes.Equal(b, big) {
			got++
		}
	}
	l.ok(l.r["X"].m.AskState(l.id("A"), []byte("all")))
	l.run(100 * ms)
	l.ok(l.r["A"].m.SendState(l.id("X"), big))
	_, err := l.r["K"].m.TryScast(big)
	l.ok(err)
	l.run(3 * time.Second)
	l.soon(func() bool { return got == 1 && len(l.r["A"].got) == 1 })
	if got != 1 || len(l.r["A"].got) != 1 || len(l.r["c"].got) != 0 {
		t.Errorf("state %d times, scast %d and %d times", got, len(l.r["A"].got), len(l.r["c"].got))
	}
	for _, c := range []string{"c", "d"} {
		s, _ := l.r[c].m.Stats()
		if n := s.Stack.PacketsIn[wire.KindCore] + s.Stack.NotForUs + s.NotForUs; n != 0 {
			t.Errorf("%s: %d packets or messages for servers", c, n)
		}
	}
}

func TestMS26(t *testing.T) { both(t, ms26) }

func ms26(t *testing.T) {
	l := newLab(t)
	l.join("c", client)
	l.join("d", client)
	_, err := l.r["c"].m.TryScast([]byte("nobody"))
	l.ok(err)
	_, err = l.r["c"].m.TryScast([]byte("d"), clsv.MsgOptions{Dests: []clsv.Endpoint{l.id("d")}})
	l.ok(err)
	l.run(10 * ms)
	l.got("c")
	l.got("d", "c:d")
}

var noLocal = unchecked(func(o *check.Options) { o.Local = false })
