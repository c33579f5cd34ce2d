package csx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"maestro/clsv"
)

// real is a group over real sockets with one server, which answers by ask.
type real struct {
	*testing.T
	ctx   context.Context
	group string
	made  int
	mu    sync.Mutex
	reply replier
}

type replier func(ctx context.Context, req string) (io.WriterTo, error)

func (r *real) answers(f replier) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reply = f
}

// party is a member of it.
type party struct {
	NopHandler
	r        *real
	transfer func(ctx context.Context, x *Transfer)
	m        *Member
	ids      []uint64
	ended    chan struct{}
	accepted atomic.Int32 // AcceptedViews that have returned
	casts    atomic.Int32
}

func (p *party) AcceptedView(*clsv.View, []byte) {
	time.Sleep(5 * time.Millisecond) // a transfer that began meanwhile would show
	p.accepted.Add(1)
}

func (p *party) ReceiveCast(clsv.Endpoint, []byte) { p.casts.Add(1) }

func (p *party) StateTransfer(ctx context.Context, x *Transfer) {
	p.ids = append(p.ids, x.ID())
	if p.transfer == nil {
		p.NopHandler.StateTransfer(ctx, x)
	} else {
		p.transfer(ctx, x)
	}
	p.ended <- struct{}{}
}

func (p *party) AskState(ctx context.Context, _ clsv.Endpoint, req []byte) (io.WriterTo, error) {
	p.r.mu.Lock()
	f := p.r.reply
	p.r.mu.Unlock()
	return f(ctx, string(req))
}

// open makes a member and joins.
func (r *real) open(xfer clsv.Xfer, transfer func(context.Context, *Transfer)) *party {
	r.Helper()
	r.made++
	p := &party{r: r, transfer: transfer, ended: make(chan struct{}, 100)}
	o := Options{Handler: p}
	o.Group, o.Name, o.Transport.Interface = r.group, fmt.Sprint("m", r.made), "lo"
	o.Silence = 3 * time.Second // busy machines must not change what happens
	if xfer != clsv.NoXfer {
		o.Role, o.Xfer = clsv.Server, xfer
	}
	m, err := Open(r.ctx, o)
	if err != nil && strings.Contains(err.Error(), "udp") {
		r.Skip(err)
	} else if err != nil {
		r.Fatal(err)
	}
	p.m = m
	r.Cleanup(func() { _ = m.Close() })
	return p
}

// finish waits until a newcomer is a server, and closes it.
func (r *real) finish(p *party) {
	r.Helper()
	r.server(p)
	if err := p.m.Close(); err != nil {
		r.Error(err)
	}
}

// returned waits until a StateTransfer has.
func (r *real) returned(p *party) {
	r.Helper()
	select {
	case <-p.ended:
	case <-r.ctx.Done():
		r.Fatal("StateTransfer has not returned")
	}
}

func (r *real) server(p *party) {
	r.Helper()
	for p.m.State() != clsv.ServerNormal {
		if r.ctx.Err() != nil {
			r.Fatal("no server: ", p.m.State())
		}
		time.Sleep(time.Millisecond)
	}
}

// The scenarios without faults, over real sockets.
func TestReal(t *testing.T) {
	scenarios := []struct {
		id string
		f  func(r *real)
	}{{"CX01", realCX01}, {"CX02", realCX02}, {"CX04", realCX04}, {"CX05", realCX05},
		{"CX16", realCX16}, {"CX17", realCX17}, {"CX19", realCX19}, {"CX20", realCX20},
		{"CX22", realCX22}, {"CX23", realCX23}}
	for _, s := range scenarios {
		t.Run(s.id, func(t *testing.T) {
			t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreCurrent()) })
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			defer cancel()
			r := &real{T: t, ctx: ctx, group: fmt.Sprint("csx-", s.id, time.Now().UnixNano())}
			r.answers(func(_ context.Context, req string) (io.WriterTo, error) {
				return strings.NewReader("reply to " + req), nil
			})
			r.open(clsv.FreeXfer, nil)
			s.f(r)
		})
	}
}

func (r *real) get(ctx context.Context, x *Transfer, req string) {
	if b, err := x.GetState(ctx, []byte(req)); err != nil || string(b) != "reply to "+req {
		r.Errorf("%s: %q, %v", req, b, err)
	}
}

func realCX01(r *real) {
	var p *party
	made := make(chan struct{})
	p = r.open(clsv.FreeXfer, func(ctx context.Context, x *Transfer) {
		<-made // the test knows p
		if p.accepted.Load() == 0 {
			r.Error("a transfer before its view")
		}
		for p.casts.Load() < 10 { // callbacks go on meanwhile
			if _, err := p.m.Cast(ctx, nil); err != nil {
				r.Error(err)
				return
			}
			time.Sleep(time.Millisecond)
		}
		_ = x.Done()
	})
	close(made)
	r.finish(p)
	if len(p.ids) != 1 {
		r.Error(p.ids)
	}
}

func realCX19(r *real) {
	r.group += "-alone"
	p := r.open(clsv.AtomicXfer, func(context.Context, *Transfer) { r.Error("a transfer") })
	r.finish(p)
}

func realCX02(r *real) {
	r.finish(r.open(clsv.AtomicXfer, func(ctx context.Context, x *Transfer) {
		for i := range 100 {
			r.get(ctx, x, fmt.Sprint(i))
		}
		_ = x.Done()
	}))
}

func realCX04(r *real) {
	r.finish(r.open(clsv.FreeXfer, func(_ context.Context, x *Transfer) {
		n := 0
		var got func([]byte, error)
		got = func(b []byte, err error) {
			if string(b) != fmt.Sprint("reply to ", n) || err != nil {
				r.Errorf("%d: %q, %v", n, b, err)
			}
			if n++; n < 1000 {
				x.Ask(fmt.Append(nil, n), got)
			} else {
				_ = x.Done()
			}
		}
		x.Ask(fmt.Append(nil, n), got)
	}))
}

func realCX05(r *real) { r.finish(r.open(clsv.ProtectedXfer, nil)) }

func realCX16(r *real) {
	const n = 8
	gates := [n + 1]chan struct{}{}
	for i := range gates {
		gates[i] = make(chan struct{})
	}
	close(gates[n])
	r.answers(func(ctx context.Context, req string) (io.WriterTo, error) {
		return slow(func(w io.Writer) error { // the last asked is answered first
			i := int(req[0] - '0')
			select {
			case <-gates[i+1]:
			case <-ctx.Done():
				return ctx.Err()
			}
			_, err := io.WriteString(w, "reply to "+req)
			close(gates[i])
			return err
		}), nil
	})
	r.finish(r.open(clsv.FreeXfer, func(ctx context.Context, x *Transfer) {
		done := make(chan struct{})
		for i := range n {
			go func() {
				r.get(ctx, x, fmt.Sprint(i))
				done <- struct{}{}
			}()
		}
		for range n {
			<-done
		}
		_ = x.Done()
	}))
}

// hang has requests answered when their context is done.
func (r *real) hang() {
	r.answers(func(ctx context.Context, req string) (io.WriterTo, error) {
		return slow(func(io.Writer) error {
			if req == "hang" {
				<-ctx.Done()
			}
			return ctx.Err()
		}), nil
	})
}

func realCX17(r *real) {
	r.hang()
	errs := make(chan error, 1)
	r.finish(r.open(clsv.FreeXfer, func(_ context.Context, x *Transfer) {
		x.Ask([]byte("hang"), func(_ []byte, err error) { errs <- err })
		_ = x.Done()
	}))
	if err := <-errs; !errors.Is(err, ErrDone) {
		r.Error(err)
	}
}

func realCX20(r *real) {
	r.hang()
	p := r.open(clsv.FreeXfer, func(ctx context.Context, x *Transfer) {
		_, _ = x.GetState(ctx, []byte("hang"))
	})
	_ = r.open(clsv.NoXfer, nil)
	time.Sleep(50 * time.Millisecond)
	p.m.mu.Lock()
	x := p.m.xfer
	p.m.mu.Unlock()
	if s := p.m.Stats(); s.Asked != 1 || s.Reasked != 0 || x.ID() != 1 {
		r.Errorf("%+v", s)
	}
	_ = x.Done()
	r.returned(p)
	r.finish(p)
}

func realCX22(r *real) {
	p := r.open(clsv.FreeXfer, nil)
	for range 5 {
		r.server(p)
		if err := p.m.Leave(r.ctx); err != nil {
			r.Error(err)
		}
		if err := p.m.Join(r.ctx); err != nil {
			r.Fatal(err)
		}
	}
	r.finish(p)
	for range 6 {
		r.returned(p)
	}
	for i, id := range p.ids {
		if id != uint64(i+1) {
			r.Error(p.ids)
		}
	}
}

func realCX23(r *real) {
	r.hang()
	r.finish(r.open(clsv.FreeXfer, func(ctx context.Context, x *Transfer) {
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		if _, err := x.GetState(short, []byte("hang")); !errors.Is(err, context.DeadlineExceeded) {
			r.Error(err)
		}
		if b, err := x.GetState(ctx, []byte("q")); err != nil || len(b) > 0 {
			r.Error(b, err)
		}
		_ = x.Done()
	}))
}
