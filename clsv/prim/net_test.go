package prim_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"maestro/clsv"
	"maestro/clsv/csx"
	"maestro/clsv/prim"
)

// account is a server of package csx over real sockets.
type account struct {
	csx.NopHandler
	m   *csx.Member
	v   *prim.Views
	go1 chan struct{} // its transfer waits for that

	mu    sync.Mutex
	views []string
	got   []string
}

func (a *account) note(list *[]string, s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*list = append(*list, s)
}

func (a *account) noted(list *[]string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(*list, " ")
}

func (a *account) AcceptedView(v *clsv.View, _ []byte) { a.note(&a.views, names(v.Servers)) }

func (a *account) ReceiveCast(_ clsv.Endpoint, msg []byte) { a.note(&a.got, string(msg)) }

func (a *account) StateTransfer(ctx context.Context, x *csx.Transfer) {
	select {
	case <-a.go1:
		_ = x.Done()
	case <-ctx.Done():
	}
}

// TestNet is PR-01 and PR-02 over real sockets: views with a transfer, and those
// without a quorum, are not shown, and what is sent in them waits.
func TestNet(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	group := fmt.Sprint("prim-test-", time.Now().UnixNano())
	open := func(name string) *account {
		a := &account{go1: make(chan struct{})}
		o := csx.Options{Handler: a, Hold: true}
		o.Group, o.Name, o.Transport.Interface = group, name, "lo"
		o.Role, o.Xfer, o.Total, o.Quorum = clsv.Server, clsv.FreeXfer, true, 2
		var err error
		if a.v, err = prim.WrapCSX(&o); err != nil {
			t.Fatal(err)
		}
		if a.m, err = csx.Open(ctx, o); err != nil && strings.Contains(err.Error(), "udp") {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		return a
	}
	wait := func(what string, ok func() bool) {
		t.Helper()
		for !ok() {
			if ctx.Err() != nil {
				t.Fatal(what)
			}
			time.Sleep(time.Millisecond)
		}
	}
	cast := func(a *account, msg string, later bool) {
		t.Helper()
		if sv, err := a.m.TryCast([]byte(msg)); err != nil || sv.Next != later {
			t.Errorf("%s: %+v, %v", msg, sv, err)
		}
	}
	a := open("A")
	defer a.m.Close()
	cast(a, "1", true) // nobody is there
	b := open("B")
	defer b.m.Close()
	cast(b, "2", true) // it transfers
	time.Sleep(50 * time.Millisecond)
	if a.noted(&a.views)+b.noted(&b.views)+a.noted(&a.got) != "" {
		t.Error("a view or a message too early")
	}
	close(b.go1)
	wait("the first view", func() bool {
		return len(a.noted(&a.got)) == 3 && len(b.noted(&b.got)) == 3
	})
	for _, x := range []*account{a, b} {
		v, got := x.noted(&x.views), x.noted(&x.got)
		if v != "A,B" || got != "1 2" && got != "2 1" {
			t.Errorf("views %q, messages %q", v, got)
		}
	}
	if err := b.m.Close(); err != nil {
		t.Error(err)
	}
	wait("a minority", func() bool { return len(a.m.View().Members) == 1 })
	cast(a, "3", true)
	if a.v.Inside() || a.noted(&a.views) != "A,B" {
		t.Error("a view of the minority")
	}
	c := open("C")
	defer c.m.Close()
	close(c.go1)
	wait("another view", func() bool { return c.noted(&c.got) == "3" })
	if v := a.noted(&a.views); v != "A,B A,C" {
		t.Error(v)
	}
}
