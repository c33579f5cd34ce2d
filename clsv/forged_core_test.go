package clsv

import (
	"testing"
	"time"

	"maestro/stack"
)

// listener counts the messages of state transfers.
type listener struct {
	NopHandler
	asks, states int
}

func (h *listener) AskState(Endpoint, []byte) { h.asks++ }
func (h *listener) RcvState(Endpoint, []byte) { h.states++ }

// TestXF04forged sends requests for the state, and the state, by those who may
// not: they are dropped and counted, no callback comes, and everything goes on.
func TestXF04forged(t *testing.T) {
	w, cs, ms := cores(t, Options{Role: Server, Xfer: FreeXfer}, Options{Role: Server,
		Xfer: FreeXfer}, Options{})
	server, newcomer, client := cs[0], cs[1], cs[2]
	heard := func(c *core) *listener { return c.h.(*listener) }
	xfer := newcomer.cur.me.since
	if newcomer.view.State != ServerXfer || xfer == 0 {
		t.Fatal(newcomer.view)
	}
	send := func(from, to int, kind uint8, id uint64, late uint64) {
		t.Helper()
		was := cs[to].stats.LateState
		ms[from].Do(func(g *stack.Group) {
			if err := g.Send(to, kind, stateHead(nil, id), []byte("p")); err != nil {
				t.Error(err)
			}
		})
		w.RunFor(10 * time.Millisecond)
		if got := cs[to].stats.LateState - was; got != late {
			t.Errorf("%d to %d, kind %d, transfer %d: %d counted, want %d", from, to, kind, id, got,
				late)
		}
	}
	const a, x, c = 0, 1, 2 // ranks
	send(c, a, kindAsk, xfer, 1)
	send(c, a, kindAsk, 0, 1)
	send(a, a, kindAsk, xfer, 1)
	send(x, a, kindAsk, xfer+1, 1) // of another transfer
	send(x, c, kindAsk, xfer, 1)   // at no server
	send(a, x, kindAsk, xfer, 1)
	send(c, x, kindState, xfer, 1)
	send(a, x, kindState, xfer-1, 1)
	send(a, c, kindState, xfer, 1)
	send(x, a, kindState, xfer, 1)
	for i, o := range cs {
		if h := heard(o); h.asks+h.states > 0 || o.failure != nil || o.over {
			t.Errorf("%d: %d asked, %d portions, %v", i, h.asks, h.states, o.failure)
		}
	}
	send(x, a, kindAsk, xfer, 0) // this one may
	if heard(server).asks != 1 || heard(client).asks != 0 {
		t.Error("the request of the newcomer is lost")
	}
	ms[x].Do(func(*stack.Group) {
		if err := newcomer.xferDone(); err != nil {
			t.Error(err)
		}
		newcomer.act()
	})
	w.RunFor(100 * time.Millisecond)
	send(x, a, kindAsk, xfer, 1) // a server now
	send(a, x, kindState, xfer, 1)
	if v := client.view; len(v.Servers) != 2 || len(v.Members) != 3 || heard(server).asks != 1 {
		t.Error(v)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// TestForgedMalformed: what no member sends is counted too.
func TestForgedMalformed(t *testing.T) {
	w, cs, ms := cores(t, Options{Role: Server}, Options{})
	for i, f := range []func(g *stack.Group) error{
		func(g *stack.Group) error { return g.Send(0, kindAsk, nil, nil) },
		func(g *stack.Group) error { return g.Cast(kindAsk, stateHead(nil, 1), nil) },
		func(g *stack.Group) error { return g.Cast(kindState, stateHead(nil, 1), nil) },
		func(g *stack.Group) error { return g.Send(0, kindViewMsg, nil, nil) },
		func(g *stack.Group) error { return g.Send(0, kindStateMsg, nil, nil) },
		func(g *stack.Group) error { return g.Cast(kindViewMsg, nil, nil) },
		func(g *stack.Group) error { return g.Cast(kindInstalled, nil, nil) },
	} {
		was := cs[0].stats.Malformed
		ms[1].Do(func(g *stack.Group) {
			if err := f(g); err != nil {
				t.Error(i, err)
			}
		})
		w.RunFor(10 * time.Millisecond)
		if cs[0].stats.Malformed != was+1 {
			t.Errorf("%d: not counted", i)
		}
	}
	if len(cs[0].view.Members) != 2 || cs[0].over {
		t.Error(cs[0].view)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
