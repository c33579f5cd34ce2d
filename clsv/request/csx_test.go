package request_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/clsv/csx"
	"maestro/clsv/request"
)

// books is a service above package csx, which sees to its state.
type books struct {
	csx.NopHandler
	ledger
	d *request.Dispatcher
	m *csx.Member
}

func (b *books) serve(r *request.Request) ([]byte, error) {
	return request.Once(b.table, b.apply)(r)
}

func (b *books) Snapshot(*clsv.View) io.WriterTo { return bytes.NewReader(b.snapshot()) }

func (b *books) StateTransfer(ctx context.Context, x *csx.Transfer) {
	err := x.Load(ctx, func(r io.Reader) error {
		state, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return b.restore(state)
	})
	if err == nil {
		_ = x.Done()
	}
}

func openBooks(t *testing.T, c *clsvtest.Cluster, name string, role clsv.Role) *books {
	b := &books{ledger: newLedger()}
	var err error
	if b.d, err = request.New(request.Options{Serve: b.serve}); err != nil {
		t.Fatal(err)
	}
	o := csx.Options{Hold: true}
	o.Group, o.Name, o.Trace, o.Role, o.Xfer = "test", name, c, role, clsv.FreeXfer
	o.Total = true
	o.Handler = struct {
		clsv.Receiver
		clsv.Observer
		csx.Transferrer
	}{b.d.Receiver(b), b.d.Observer(b), b}
	if b.m, err = csx.NewMember(o, c); err != nil {
		t.Fatal(err)
	}
	b.d.Bind(b.m.Member)
	if err := b.m.StartJoin(); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCSX has servers join by package csx while a client's requests stream, and
// others die.
func TestCSX(t *testing.T) {
	c := clsvtest.New(1)
	a := openBooks(t, c, "A", clsv.Server)
	c.Run(500 * ms)
	client := openBooks(t, c, "c", clsv.Client)
	c.Run(500 * ms)
	calls, acked := 0, 0
	call := func() {
		calls++
		want := fmt.Sprint("did ", calls)
		_, err := client.d.Start(request.Call{To: request.AllServers(), Retry: true,
			Data: fmt.Append(nil, calls)}, func(r []request.Reply, err error) {
			if err != nil || string(r[0].Data) != want {
				t.Errorf("%v %v, want %s", r, err, want)
			}
			acked++
		})
		if err != nil {
			t.Error(err)
		}
	}
	stream := func() {
		for range 100 {
			call()
			c.Run(2 * ms)
		}
	}
	stream()
	b := openBooks(t, c, "B", clsv.Server)
	stream()
	if s := b.m.State(); s != clsv.ServerNormal {
		t.Fatal(s)
	}
	d := openBooks(t, c, "D", clsv.Server)
	c.Crash("A")
	stream()
	c.Run(2 * time.Second)
	if acked != calls || len(b.done) != calls || !slices.Equal(b.done, d.done) {
		t.Errorf("%d calls, %d answered, %d and %d executed", calls, acked, len(b.done),
			len(d.done))
	}
	if len(a.done) < 100 || b.table.Clock() != d.table.Clock() {
		t.Error("tables differ")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// observer is told of primary views.
type observer struct {
	clsv.NopHandler
	primary int
}

func (o *observer) PrimaryView(*clsv.View, []byte) { o.primary++ }

// TestPrimaryView: Wrap does not hide that the application is told of them.
func TestPrimaryView(t *testing.T) {
	d, err := request.New(request.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{}
	d.Wrap(o).(clsv.PrimaryObserver).PrimaryView(&clsv.View{}, nil)
	d.Wrap(nil).(clsv.PrimaryObserver).PrimaryView(&clsv.View{}, nil)
	if o.primary != 1 {
		t.Errorf("told %d times", o.primary)
	}
}
