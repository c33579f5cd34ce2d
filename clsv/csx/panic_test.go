package csx

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"maestro/clsv"
)

// TestPanicRejoin: after an AcceptedView or a StateTransfer that has panicked the
// member may join again, and its next transfer does not wait for the one before.
func TestPanicRejoin(t *testing.T) {
	for _, where := range []string{"AcceptedView", "StateTransfer"} {
		l, _, _ := pair(t)
		x := &app{}
		boom := true
		at := func(here string) {
			if boom && here == where {
				panic("oh")
			}
		}
		x.accepted = func(*clsv.View) { at("AcceptedView") }
		x.transfer = func(_ context.Context, tr *Transfer) {
			at("StateTransfer")
			_ = tr.Done()
		}
		l.start("X", clsv.FreeXfer, x)
		l.until("exit in "+where, func() bool { return x.has("exit") })
		boom = false
		if err := x.m.StartJoin(); err != nil {
			t.Fatal(err)
		}
		l.until("server after "+where, func() bool { return x.m.State() == clsv.ServerNormal })
	}
}

// TestPanicAnswers: when one that waits for a reply panics as a transfer is
// terminated, the others hear of it all the same, and the context is done.
func TestPanicAnswers(t *testing.T) {
	l, k, a := pair(t)
	k.ask = func(ctx context.Context, _ clsv.Endpoint, _ []byte) (io.WriterTo, error) {
		return slow(func(io.Writer) error { // never
			done := make(chan struct{})
			return l.apps["K"].m.Wait(ctx, done)
		}), nil
	}
	a.ask = k.ask
	x := &app{}
	var why error
	over := false
	x.transfer = func(ctx context.Context, tr *Transfer) {
		tr.Ask([]byte("1"), func([]byte, error) { panic("oh") })
		tr.Ask([]byte("2"), func(_ []byte, err error) { why = err })
		_ = x.m.Wait(ctx, make(chan struct{}))
		over = true
	}
	l.start("X", clsv.FreeXfer, x)
	l.until("transfer", func() bool { return len(x.xfers) == 1 })
	l.c.Run(50 * ms)
	_ = x.m.StartLeave()
	l.until("exit", func() bool { return x.has("exit") })
	l.c.Run(50 * ms)
	if !errors.Is(why, ErrTerminated) || !over {
		t.Error(why, over)
	}
}

// bursting is a copy of a state whose Close panics.
type bursting struct{ io.WriterTo }

func (bursting) Close() error { panic("oh in Close") }

// TestPanicClose: a copy that panics when it is closed, on a goroutine of the
// library's, ends its member and not the process.
func TestPanicClose(t *testing.T) {
	l, k, a := pair(t)
	endless := slow(func(w io.Writer) (err error) {
		for err == nil {
			_, err = w.Write(make([]byte, 1<<16))
		}
		return err
	})
	snap := func(*clsv.View) io.WriterTo { return bursting{endless} }
	k.snap, a.snap = snap, snap
	x := &app{}
	x.transfer = func(ctx context.Context, tr *Transfer) {
		_, _ = tr.Stream(ctx).Read(make([]byte, 1))
		_ = x.m.Wait(ctx, make(chan struct{})) // the copy is being read until X is gone
	}
	l.start("X", clsv.FreeXfer, x)
	l.until("transfer", func() bool { return len(x.xfers) == 1 })
	l.c.Run(50 * ms)
	l.c.Crash("X")
	delete(l.apps, "X")
	l.until("exit", func() bool { return k.has("exit") || a.has("exit") })
	l.c.Run(time.Second)
}
