package request_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"maestro/clsv"
	"maestro/clsv/request"
)

// TestBounds makes more calls than may be under way.
func TestBounds(t *testing.T) {
	l := newLab(t, 1)
	l.later = true
	l.group("A")
	l.n["A"].mute = true
	n := l.add("c", clsv.Options{}, request.Options{Calls: 5, Bytes: 100, Window: 2})
	l.settle()
	var rs []*result
	var ps []*request.Pending
	for i := range 5 {
		r, p := l.call("c", request.Call{Data: fmt.Append(nil, i)})
		rs, ps = append(rs, r), append(ps, p)
	}
	full := func() error { _, err := n.d.Start(request.Call{}, nil); return err }
	if err := full(); !errors.Is(err, clsv.ErrWouldBlock) {
		t.Error(err)
	}
	l.c.Run(20 * ms)
	if k := len(l.n["A"].later); k != 2 {
		t.Errorf("%d under way, window 2", k)
	}
	ps[0].Cancel()
	ps[0].Cancel()
	l.expect(rs[0], context.Canceled)
	l.c.Run(20 * ms)
	if k := len(l.n["A"].later); k != 3 {
		t.Errorf("%d have come, want 3", k)
	}
	for k := 0; k < len(l.n["A"].later); k++ {
		r := l.n["A"].later[k]
		if err := r.Reply(r.Data, nil); err != nil {
			t.Error(err)
		}
		if err := r.Reply(r.Data, nil); !errors.Is(err, request.ErrAnswered) {
			t.Error(err)
		}
		l.c.Run(20 * ms)
	}
	for i, r := range rs[1:] {
		l.expect(r, nil, fmt.Sprint("A:", i+1))
	}
	if s := n.d.Stats(); s.Late != 1 || s.Calls != 5 {
		t.Errorf("%+v", s)
	}
	l.call("c", request.Call{Data: make([]byte, 1000)}) // one is always allowed
	if err := full(); !errors.Is(err, clsv.ErrWouldBlock) {
		t.Error(err)
	}
}

// TestCancelKeepsReplies ends a call that has got one reply of two.
func TestCancelKeepsReplies(t *testing.T) {
	l := newLab(t, 1)
	l.later = true
	l.group("A", "B", "c")
	l.echo()
	l.n["B"].mute = true
	r, p := l.call("c", request.Call{To: request.AllServers(), Collect: request.All})
	l.c.Run(20 * ms)
	p.Cancel()
	l.expect(r, context.Canceled, "A:A got ")
	_ = l.n["B"].later[0].Reply(nil, nil)
	l.c.Run(20 * ms)
	l.expect(r, context.Canceled, "A:A got ")
}

// TestExit leaves with calls under way, and joins again.
func TestExit(t *testing.T) {
	l := newLab(t, 1)
	l.later = true
	l.group("A", "c")
	l.n["A"].mute = true
	c := l.n["c"]
	first, _ := l.call("c", request.Call{})
	second, _ := l.call("c", request.Call{To: request.AllServers()})
	l.c.Run(10 * ms)
	_ = c.m.StartLeave()
	if _, err := c.d.Start(request.Call{}, nil); !errors.Is(err, clsv.ErrNotJoined) {
		t.Error(err)
	}
	l.until("exit", func() bool { return c.exit })
	l.expect(first, clsv.ErrNotJoined)
	l.expect(second, clsv.ErrNotJoined)
	if err := c.m.StartJoin(); err != nil {
		t.Fatal(err)
	}
	l.settle()
	l.n["A"].mute = false
	for _, r := range l.n["A"].later {
		if err := r.Reply(nil, nil); !errors.Is(err, clsv.ErrNotMember) {
			t.Error(err)
		}
	}
	r, _ := l.call("c", request.Call{Data: []byte("again")})
	l.expect(r, nil, "A:did again")
	if s := l.n["A"].d.Stats(); s.Unsent != 2 {
		t.Errorf("%+v", s)
	}
}

// TestForgotten has more clients than the service's table: a client that has
// been forgotten is served all the same, with a new identity.
func TestForgotten(t *testing.T) {
	l := newLab(t, 1)
	l.group("A", "B", "c", "d", "e", "f", "g")
	all := request.Call{To: request.AllServers(), Collect: request.All, Retry: true}
	for i := range 5 {
		for _, n := range []string{"c", "d", "e", "f", "g"} { // the table holds three
			s := fmt.Sprint(n, i)
			all.Data = []byte(s)
			r, _ := l.call(n, all)
			l.expect(r, nil, "A:did "+s, "B:did "+s)
		}
	}
	if k := l.n["A"].table.Len(); k != 3 {
		t.Errorf("%d clients", k)
	}
	// Each time, two others have been forgotten since it spoke last.
	if s := l.n["g"].d.Stats(); s.Retries != 0 || s.Sent != 10 || s.Calls != 5 {
		t.Errorf("%+v", s)
	}
	all.Retry = false
	r, _ := l.call("c", all)
	l.until("call", func() bool { return r.ended > 0 })
	if e := r.replies[0].Err; e == nil || errors.Is(e, request.ErrForgotten) {
		t.Error(e) // it has no identity
	}
}

// TestSafety makes calls while a transfer delays them.
func TestSafety(t *testing.T) {
	l := newLab(t, 1)
	l.group("A", "c")
	l.echo()
	x := l.add("X", clsv.Options{Role: clsv.Server, Xfer: clsv.AtomicXfer}, request.Options{})
	l.n["A"].hoard = true // answers no AskState
	l.until("transfer", func() bool { return x.m.State() == clsv.ServerXfer })
	l.c.Run(20 * ms)
	l.echo()
	all := request.Call{To: request.AllServers(), Collect: request.All}
	waits, _ := l.call("c", all)
	one, _ := l.call("c", request.Call{})
	all.Safety = clsv.XferSafe
	goes, _ := l.call("c", all)
	l.expect(goes, nil, "A:A got ") // X is none yet, and quiet
	if waits.ended+one.ended > 0 {
		t.Error("unsafe")
	}
	l.c.Run(ms) // X may get it a little later
	if s := x.d.Stats(); s.Requests != 1 || s.Answers != 0 {
		t.Errorf("%+v", s)
	}
	_ = x.m.XferDone()
	l.expect(waits, nil, "A:A got ", "X:X got ")
	l.expect(one, nil, "A:A got ")
}

// TestDo waits, in virtual time.
func TestDo(t *testing.T) {
	l := newLab(t, 1)
	l.later = true
	l.group("A", "c")
	var ended []string
	c := l.n["c"]
	l.c.Go("c", func() {
		ctx := context.Background()
		for i := range 3 {
			b, err := c.d.Server(ctx, fmt.Append(nil, i))
			ended = append(ended, fmt.Sprintf("%s %v", b, err))
		}
		b, err := c.d.Member(ctx, l.n["A"].m.Endpoint(), []byte("again"))
		ended = append(ended, fmt.Sprint(len(b) == 0, err != nil)) // no identity
		l.n["A"].mute = true
		ctx, cancel := context.WithCancel(ctx)
		l.c.World.After(50*ms, cancel)
		_, err = c.d.Server(ctx, nil)
		ended = append(ended, err.Error())
	})
	l.until("calls", func() bool { return len(ended) == 5 })
	if got := fmt.Sprintf("%q", ended); got !=
		`["did 0 <nil>" "did 1 <nil>" "did 2 <nil>" "true true" "context canceled"]` {
		t.Error(got)
	}
	sent := c.d.Stats().Sent
	var err error
	c.block = func() { _, err = c.d.Server(context.Background(), nil) }
	l.client("d")
	l.settle()
	if !errors.Is(err, clsv.ErrWouldDeadlock) || c.d.Stats().Sent != sent {
		t.Error(err)
	}
}

// TestChain calls from within completions, and from within a service.
func TestChain(t *testing.T) {
	l := newLab(t, 1)
	l.later = true
	l.group("A", "B", "c")
	l.echo()
	n, last := 0, ""
	var next func([]request.Reply, error)
	next = func(r []request.Reply, err error) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		last = string(r[0].Data)
		if n < 1000 {
			_, _ = l.n["c"].d.Start(request.Call{Data: fmt.Append(nil, n)}, next)
		}
	}
	next([]request.Reply{{}}, nil)
	l.until("chain", func() bool { return n == 1000 })
	if last != "A got 999" {
		t.Error(last)
	}
}

type hasher struct{ node }

func (*hasher) StateHash() uint64 { return 7 }

type exchanger struct{ clsv.NopHandler }

func (exchanger) ChangingView(*clsv.View) []byte          { return []byte("s") }
func (exchanger) ProposeView(*clsv.View, [][]byte) []byte { return []byte("v") }

// TestWrap keeps what a handler is beside a Handler.
func TestWrap(t *testing.T) {
	d, err := request.New(request.Options{})
	if err != nil {
		t.Fatal(err)
	}
	is := func(h clsv.Handler, exchanges, hashes bool) {
		t.Helper()
		w := d.Wrap(h)
		if _, ok := w.(clsv.Exchanger); ok != exchanges {
			t.Errorf("%T: exchanger %v", h, ok)
		}
		if _, ok := w.(clsv.StateHasher); ok != hashes {
			t.Errorf("%T: hasher %v", h, ok)
		}
	}
	is(nil, false, false)
	is(exchanger{}, true, false)
	is(&hasher{}, false, true)
	is(struct {
		clsv.Handler
		clsv.Exchanger
		clsv.StateHasher
	}{clsv.NopHandler{}, exchanger{}, &hasher{}}, true, true)
	for _, bad := range []request.Options{{Calls: -1}, {Serve: (&node{}).answer,
		ServeLater: (&node{}).serveLater}} {
		if _, err := request.New(bad); !errors.Is(err, request.ErrOptions) {
			t.Error(err)
		}
	}
}
