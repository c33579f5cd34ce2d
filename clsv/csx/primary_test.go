package csx

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
)

// watcher is an app that is told of primary views.
type watcher struct{ *app }

func (w watcher) PrimaryView(v *clsv.View, _ []byte) { w.log("primary %d", len(v.Members)) }

func (w watcher) StateHash() uint64 { return 7 }

// watch makes an application that is told of primary views.
func watch(a *app) *app {
	a.watches = true
	return a
}

// TestPrimary: the handler is told of primary views, before what is received in
// them, and of no others.
func TestPrimary(t *testing.T) {
	l := newLab(t)
	l.opts.Quorum, l.opts.PrimaryOnly = 2, true
	a := l.join("A", clsv.FreeXfer, watch(&app{}))
	l.expect(a)
	b := l.join("B", clsv.FreeXfer, watch(&app{}))
	l.c.Run(20 * ms)
	l.expect(a, "primary 2")
	l.expect(b, "transfer 1", "primary 2")
	a.mark()
	if _, err := b.m.TryCast([]byte("x")); err != nil {
		t.Error(err)
	}
	l.c.Run(20 * ms)
	l.expect(a, "cast x")
	if a.m.h.(*primary).Handler.(clsv.StateHasher).StateHash() != (adapter{a.m}).StateHash() {
		t.Error("the state is hidden")
	}
}

// TestPrimaryLate promotes a server in the middle of its transfer: it is told of
// the primary view together with the messages that it could not be given yet.
func TestPrimaryLate(t *testing.T) {
	l := newLab(t)
	l.opts.Quorum, l.opts.PrimaryOnly, l.opts.Hold = 2, true, true
	l.join("A", clsv.FreeXfer, watch(&app{}))
	c := l.join("c", clsv.NoXfer, watch(&app{}))
	x := watch(&app{})
	x.transfer = func(ctx context.Context, _ *Transfer) {
		_ = x.m.Wait(context.Background(), ctx.Done())
		x.sleep(300 * ms) // it takes its time to see that it is over
	}
	l.start("X", clsv.FreeXfer, x)
	l.until("a transfer", func() bool { return len(x.xfers) > 0 })
	x.mark()
	l.c.Crash("A")
	delete(l.apps, "A")
	l.until("promoted", func() bool { return x.m.State() == clsv.ServerNormal })
	for i := range 2 {
		if _, err := c.m.TryCast(fmt.Append(nil, i)); err != nil {
			t.Error(err)
		}
	}
	l.c.Run(100 * ms)
	if got := strings.Join(x.lines, ","); strings.Contains(got, "primary") {
		t.Error("told before its state is settled:", got)
	}
	l.c.Run(time.Second)
	got := slices.DeleteFunc(slices.Clone(x.lines), func(s string) bool {
		return strings.HasPrefix(s, "view ") || strings.HasPrefix(s, "returned") || s == "replay"
	})
	if want := []string{"primary 2", "cast 0", "cast 1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", x.lines, want)
	}
}
