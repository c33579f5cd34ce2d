package csx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"maestro/clsv"
)

// never is a StateTransfer that only waits for its end.
func (a *app) never(ctx context.Context, _ *Transfer) {
	_ = a.m.Wait(context.Background(), ctx.Done())
}

// pair is two servers, A and K of which K coordinates.
func pair(t *testing.T) (l *lab, k, a *app) {
	l = newLab(t)
	k = l.join("K", clsv.FreeXfer, &app{})
	a = l.join("A", clsv.FreeXfer, &app{})
	return l, k, a
}

// source is who of them x asks, and the other.
func source(x *app, apps ...*app) (src, other *app) {
	s := x.xfers[len(x.xfers)-1].Source()
	for _, a := range apps {
		if a.m.Endpoint() == s {
			src = a
		} else {
			other = a
		}
	}
	return src, other
}

func TestCX01(t *testing.T) {
	l, k, _ := pair(t)
	x := &app{}
	x.transfer = x.never
	l.start("X", clsv.FreeXfer, x)
	l.until("transfer", func() bool { return x.has("transfer 1") })
	l.expect(x, "transfer 1")
	if x.lines[0] != "view xfer start" {
		t.Error("transfer before AcceptedView has returned")
	}
	x.mark()
	_, _ = k.m.TryCast([]byte("meanwhile"))
	l.start("c", clsv.NoXfer, &app{})
	l.until("one view", func() bool { return l.settled(false) })
	if !slices.Equal(x.lines, []string{"cast meanwhile", "view xfer"}) {
		t.Errorf("%q", x.lines)
	}
	if err := x.xfers[0].Done(); err != nil {
		t.Error(err)
	}
	l.settle()
	if n := count("transfer 1", x); n != 0 || len(x.xfers) != 1 {
		t.Error("not exactly once")
	}
}

// slow is an answer that a function writes.
type slow func(w io.Writer) error

func (f slow) WriteTo(w io.Writer) (int64, error) { return 0, f(w) }

func TestCX02(t *testing.T) {
	l, k, a := pair(t)
	x := &app{}
	x.transfer = func(ctx context.Context, tr *Transfer) {
		for _, p := range []string{"p1", "p2", "p3"} {
			if x.get(ctx, tr, p) != nil {
				return
			}
		}
		_ = tr.Done()
	}
	l.join("X", clsv.AtomicXfer, x)
	l.expect(x, "transfer 1", "got reply to p1", "got reply to p2", "got reply to p3", "returned 1")
	if n := count("ask X p1", k, a) + count("ask X p2", k, a) + count("ask X p3", k, a); n != 3 {
		t.Errorf("%d asked", n)
	}
	if s := x.m.State(); s != clsv.ServerNormal {
		t.Error(s)
	}
}

// 1000 portions, each asked for when the one before has come.
func TestCX04(t *testing.T) {
	l, _, _ := pair(t)
	x := &app{}
	var ids []uint64
	n := 0
	x.transfer = func(ctx context.Context, tr *Transfer) {
		done := make(chan struct{})
		var got func(b []byte, err error)
		got = func(b []byte, err error) {
			if want := fmt.Sprint("reply to ", n); string(b) != want || err != nil {
				t.Errorf("%q, %v, want %s", b, err, want)
			}
			if n++; n == 1000 {
				close(done)
				return
			}
			ids = append(ids, tr.Ask(fmt.Append(nil, n), got))
		}
		ids = append(ids, tr.Ask(fmt.Append(nil, n), got))
		_ = x.m.Wait(ctx, done)
		_ = tr.Done()
	}
	l.join("X", clsv.FreeXfer, x)
	if n != 1000 || len(ids) != 1000 || !slices.IsSorted(ids) {
		t.Error(n, len(ids))
	}
}

func TestCX05(t *testing.T) {
	l, k, a := pair(t)
	x := l.join("X", clsv.ProtectedXfer, &app{})
	l.expect(x, "transfer 1")
	l.expect(k)
	l.expect(a, "transfer 1")
	if s := x.m.State(); s != clsv.ServerNormal {
		t.Error(s)
	}
}

// crashy is a newcomer X that waits for a reply which its source never gives.
func crashy(t *testing.T, servers int) (l *lab, x *app, srv []*app) {
	l = newLab(t)
	for i := range servers {
		s := &app{}
		s.ask = func(ctx context.Context, _ clsv.Endpoint, req []byte) (io.WriterTo, error) {
			if len(l.live()) == 2 { // the last one answers
				return slow(func(w io.Writer) error {
					_, err := w.Write([]byte("ok"))
					return err
				}), nil
			}
			return slow(func(io.Writer) error { return s.m.Wait(ctx, nil) }), nil
		}
		srv = append(srv, l.join(fmt.Sprint("S", i), clsv.FreeXfer, s))
	}
	for _, s := range srv {
		s.mark()
	}
	x = &app{}
	x.transfer = func(ctx context.Context, tr *Transfer) {
		if x.get(ctx, tr, "p") == nil {
			_ = tr.Done()
		}
	}
	return l, l.start("X", clsv.FreeXfer, x), srv
}

func (l *lab) crash(a *app) {
	for n, b := range l.apps {
		if a == b {
			l.c.Crash(n)
			delete(l.apps, n)
		}
	}
}

func TestCX07(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		l, x, srv := crashy(t, 2)
		l.until("transfer", func() bool {
			return len(x.xfers) > 0 && !x.xfers[0].Source().IsZero()
		})
		src, other := source(x, srv...)
		if when == "after" {
			l.until("asked", func() bool { return src.has("ask X p") })
		}
		l.crash(src)
		l.settle()
		l.expect(x, "transfer 1", "got ok", "returned 1")
		if count("ask X p", other) != 1 || when == "before" && count("ask X p", src) != 0 {
			t.Error(when, src.lines, other.lines)
		}
	}
}

// A source that dies after the reply has been received is not replaced.
func TestCX07Received(t *testing.T) {
	l, k, a := pair(t)
	x := &app{}
	x.transfer = func(ctx context.Context, tr *Transfer) {
		_ = x.get(ctx, tr, "p")
		x.never(ctx, tr)
	}
	l.start("X", clsv.FreeXfer, x)
	l.until("reply", func() bool { return x.has("got reply to p") })
	src, other := source(x, k, a)
	l.crash(src)
	l.until("view", func() bool { return l.settled(false) })
	if other.has("ask X p") {
		t.Error("asked again")
	}
	_ = x.xfers[0].Done()
	l.settle()
}

func TestCX08(t *testing.T) {
	l, x, srv := crashy(t, 3)
	for range 2 {
		var src *app
		l.until("asked", func() bool {
			if len(x.xfers) == 0 {
				return false
			}
			src, _ = source(x, srv...)
			return src != nil && src.has("ask X p")
		})
		l.crash(src)
		l.until("view", func() bool { return l.settled(false) })
	}
	l.settle()
	l.expect(x, "transfer 1", "got ok", "returned 1")
	if n := count("ask X p", srv...); n != 3 {
		t.Errorf("%d asked", n)
	}
}

// merged has E transfer at D, which loses a merge against P and A.
func merged(t *testing.T, e *app) (l *lab, x1 *Transfer) {
	l = newLab(t)
	l.join("P", clsv.FreeXfer, &app{})
	l.join("A", clsv.FreeXfer, &app{})
	l.c.Partition([]string{"P", "A"}, []string{"D", "E"})
	d := &app{}
	d.ask = func(ctx context.Context, _ clsv.Endpoint, _ []byte) (io.WriterTo, error) {
		return slow(func(io.Writer) error { return d.m.Wait(ctx, nil) }), nil
	}
	l.start("D", clsv.FreeXfer, d)
	l.until("alone", func() bool { return d.m.State() == clsv.ServerNormal })
	l.start("E", clsv.FreeXfer, e)
	l.until("asked", func() bool { return d.has("ask E p") })
	x1 = e.xfers[0]
	l.c.Heal()
	l.settle()
	return l, x1
}

func TestCX10And26(t *testing.T) {
	e := &app{}
	e.transfer = func(ctx context.Context, tr *Transfer) {
		if e.get(ctx, tr, "p") == nil {
			_ = tr.Done()
		}
		if err := context.Cause(ctx); tr.ID() == 1 && !errors.Is(err, ErrTerminated) {
			t.Error(err)
		}
	}
	l, x1 := merged(t, e)
	l.expect(e, "transfer 1", "degraded", "get p: "+clsv.ErrMergeLost.Error(), "returned 1",
		"transfer 2", "got reply to p", "returned 2")
	if x1.ID() != 1 || e.xfers[1].ID() != 2 {
		t.Error(x1.ID(), e.xfers[1].ID())
	}
}

func TestCX11(t *testing.T) {
	e := &app{}
	var x1 *Transfer
	e.transfer = func(ctx context.Context, tr *Transfer) {
		if tr.ID() == 1 {
			x1 = tr
			_ = e.get(ctx, tr, "p")
			return
		}
		before := e.m.Stats().Asked
		if _, err := x1.GetState(ctx, nil); !errors.Is(err, ErrTerminated) {
			t.Error(err)
		}
		if err := x1.Done(); !errors.Is(err, ErrTerminated) {
			t.Error(err)
		}
		if e.m.Stats().Asked != before || e.m.State() != clsv.ServerXfer {
			t.Error("the old transfer has an effect")
		}
		_ = e.get(ctx, tr, "q")
		_ = tr.Done()
	}
	l, _ := merged(t, e)
	if !e.has("got reply to q") {
		t.Error(e.lines)
	}
	l.settle()
}

// Replies to what is over, and replies that come twice, are dropped.
func TestCX13And14(t *testing.T) {
	l, k, a := pair(t)
	x := &app{}
	step := make(chan struct{})
	x.transfer = func(ctx context.Context, tr *Transfer) {
		_ = x.get(ctx, tr, "one")
		_ = x.m.Wait(ctx, step)
		_ = x.get(ctx, tr, "two")
		_ = tr.Done()
	}
	l.start("X", clsv.FreeXfer, x)
	l.until("reply", func() bool { return x.has("got reply to one") })
	src, _ := source(x, k, a)
	digest := newRequest(nil, nil)
	_, _ = digest.digest.Write([]byte("again"))
	for id := range uint64(4) { // of the first request, the next one, and of none
		p := portion{kind: stateChunk, id: id, try: 1, last: true, cut: 1, length: 5,
			hash: digest.digest.Sum64()}
		b := append(p.appendHead(nil), "again"...)
		if err := src.m.SendState(x.m.Endpoint(), b); err != nil {
			t.Fatal(err)
		}
	}
	l.c.Run(10 * ms)
	close(step)
	l.settle()
	l.expect(x, "transfer 1", "got reply to one", "got reply to two", "returned 1")
	if s := x.m.Stats(); s.Late != 4 {
		t.Errorf("%+v", s)
	}
}

// Requests overlap, answers come in another order, each goes where it belongs.
func TestCX16(t *testing.T) {
	l, k, a := pair(t)
	const n = 8
	gates := make([]chan struct{}, n)
	for i := range gates {
		gates[i] = make(chan struct{})
	}
	for _, s := range []*app{k, a} {
		s.ask = func(ctx context.Context, _ clsv.Endpoint, req []byte) (io.WriterTo, error) {
			return slow(func(w io.Writer) error {
				i := req[0]
				if err := s.m.Wait(ctx, gates[i]); err != nil {
					return err
				}
				if i > 0 {
					close(gates[i-1])
				}
				_, err := w.Write([]byte{i + 100})
				return err
			}), nil
		}
	}
	x := &app{}
	x.transfer = func(ctx context.Context, tr *Transfer) {
		left := n
		done := make(chan struct{})
		for i := range n {
			_ = x.m.Go(func() {
				b, err := tr.GetState(ctx, []byte{byte(i)})
				if err != nil || len(b) != 1 || b[0] != byte(i+100) {
					t.Errorf("%d: %v %v", i, b, err)
				}
				if left--; left == 0 {
					close(done)
				}
			})
		}
		_ = x.m.Wait(ctx, done)
		_ = tr.Done()
	}
	l.c.World.After(300*ms, func() { close(gates[n-1]) })
	l.join("X", clsv.FreeXfer, x)
}

func TestBusy(t *testing.T) {
	l, x, _ := crashy(t, 2)
	x.m.o.Requests = 3
	l.until("transfer", func() bool { return x.has("transfer 1") })
	l.c.Run(10 * ms)
	var errs []error
	for range 4 {
		x.xfers[0].Ask(nil, func(_ []byte, err error) { errs = append(errs, err) })
	}
	if len(errs) != 2 || !errors.Is(errs[0], ErrBusy) {
		t.Error(errs)
	}
}

func TestCX17(t *testing.T) {
	l, x, _ := crashy(t, 2)
	l.until("transfer", func() bool { return x.has("transfer 1") })
	l.c.Run(10 * ms)
	var last error
	x.xfers[0].Ask([]byte("q"), func(_ []byte, err error) { last = err })
	if err := x.xfers[0].Done(); err != nil || !errors.Is(last, ErrDone) {
		t.Error(err, last)
	}
	l.settle()
	l.expect(x, "transfer 1", "get p: "+ErrDone.Error(), "returned 1")
}

func TestCX19(t *testing.T) {
	l := newLab(t)
	l.join("c", clsv.NoXfer, &app{})
	x := l.join("X", clsv.AtomicXfer, &app{})
	l.expect(x)
	if s := x.m.State(); s != clsv.ServerNormal {
		t.Error(s)
	}
}

func TestCX20(t *testing.T) {
	l, x, srv := crashy(t, 2)
	l.until("asked", func() bool { return count("ask X p", srv...) == 1 })
	l.start("c", clsv.NoXfer, &app{})
	l.until("view", func() bool { return l.settled(false) })
	l.c.Run(time.Second)
	l.expect(x, "transfer 1")
	if s := x.m.Stats(); s.Asked != 1 || s.Reasked != 0 || count("ask X p", srv...) != 1 {
		t.Errorf("%+v", s)
	}
	_ = x.xfers[0].Done()
	l.settle()
}

func TestCX22(t *testing.T) {
	l, _, _ := pair(t)
	x := l.join("X", clsv.FreeXfer, &app{})
	for range 20 {
		if err := x.m.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.settle()
		if err := x.m.StartJoin(); err != nil {
			t.Fatal(err)
		}
		l.settle()
	}
	if len(x.xfers) != 21 {
		t.Errorf("%d transfers", len(x.xfers))
	}
	for i, tr := range x.xfers {
		if tr.ID() != uint64(i+1) {
			t.Errorf("transfer %d has the id %d", i+1, tr.ID())
		}
	}
}

func TestCX23(t *testing.T) {
	l, k, a := pair(t)
	gate := make(chan struct{})
	for _, s := range []*app{k, a} {
		s.ask = func(_ context.Context, _ clsv.Endpoint, req []byte) (io.WriterTo, error) {
			return slow(func(w io.Writer) error {
				if string(req) == "p" { // whatever the context says
					_ = s.m.Wait(context.Background(), gate)
				}
				_, err := w.Write(req)
				return err
			}), nil
		}
	}
	x := &app{}
	one, cancel := context.WithCancel(t.Context())
	x.transfer = func(ctx context.Context, tr *Transfer) {
		_ = x.get(one, tr, "p")
		close(gate)
		_ = x.get(ctx, tr, "q")
		_ = tr.Done()
	}
	l.start("X", clsv.FreeXfer, x)
	l.until("transfer", func() bool { return x.has("transfer 1") })
	l.c.Run(50 * ms)
	cancel()
	l.settle()
	l.expect(x, "transfer 1", "get p: context canceled", "got q", "returned 1")
}

// Two transfer, the last source dies: one goes on, the other begins again.
func TestCX25(t *testing.T) {
	l := newLab(t)
	k := l.join("K", clsv.FreeXfer, &app{})
	k.ask = func(ctx context.Context, _ clsv.Endpoint, _ []byte) (io.WriterTo, error) {
		return slow(func(io.Writer) error { return k.m.Wait(ctx, nil) }), nil
	}
	var apps []*app
	for _, n := range []string{"X", "Y"} {
		x := &app{}
		x.transfer = func(ctx context.Context, tr *Transfer) {
			if x.get(ctx, tr, "p") == nil {
				_ = tr.Done()
			}
		}
		apps = append(apps, l.start(n, clsv.FreeXfer, x))
	}
	l.until("asked", func() bool { return k.has("ask X p") && k.has("ask Y p") })
	l.crash(k)
	l.settle()
	lost := "get p: " + clsv.ErrSourcesLost.Error()
	if len(apps[0].xfers) > len(apps[1].xfers) {
		apps[0], apps[1] = apps[1], apps[0]
	}
	l.expect(apps[0], "transfer 1", lost, "returned 1", "ask "+apps[1].m.Endpoint().Name+" p")
	l.expect(apps[1], "transfer 1", "degraded", lost, "returned 1", "transfer 2",
		"got reply to p", "returned 2")
}

// What waits within a callback says so and does not hang.
func TestTH05(t *testing.T) {
	l, _, _ := pair(t)
	x := &app{}
	x.transfer = x.never
	l.start("X", clsv.FreeXfer, x)
	l.until("transfer", func() bool { return x.has("transfer 1") })
	x.receive = func(clsv.Endpoint, []byte) { _ = x.get(t.Context(), x.xfers[0], "p") }
	_, _ = x.m.TryCast([]byte("go"))
	l.c.Run(10 * ms)
	if !x.has("get p: " + clsv.ErrWouldDeadlock.Error()) {
		t.Error(x.lines)
	}
	_ = x.xfers[0].Done()
	l.settle()
}

// Leaving ends a transfer, and what waits.
func TestLeave(t *testing.T) {
	l, x, _ := crashy(t, 2)
	l.until("transfer", func() bool { return x.has("transfer 1") })
	l.c.Run(10 * ms)
	if err := x.m.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	l.c.Run(10 * ms)
	l.expect(x, "transfer 1", "exit", "get p: "+clsv.ErrNotJoined.Error(), "returned 1")
}

// A panic takes the member out of the group.
func TestPanic(t *testing.T) {
	l, k, a := pair(t)
	x := &app{}
	x.transfer = func(context.Context, *Transfer) { panic("oh") }
	l.start("X", clsv.FreeXfer, x)
	l.until("exit", func() bool { return x.has("exit") })
	delete(l.apps, "X")
	l.settle()
	k.ask = func(context.Context, clsv.Endpoint, []byte) (io.WriterTo, error) {
		return slow(func(io.Writer) error { panic("no") }), nil
	}
	a.ask = k.ask
	y := &app{}
	y.transfer = func(ctx context.Context, tr *Transfer) {
		_ = y.get(ctx, tr, "p")
		_ = tr.Done()
	}
	l.start("Y", clsv.FreeXfer, y)
	l.until("exit", func() bool { return k.has("exit") || a.has("exit") })
}
