package csx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/stack/check"
)

// store is a state over real sockets: all casts.
type store struct {
	NopHandler
	mu   sync.Mutex
	log  []byte
	errs []error
}

func (s *store) ReceiveScast(_ clsv.Endpoint, msg []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, msg...)
}

func (s *store) Snapshot(*clsv.View) io.WriterTo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.NewReader(bytes.Clone(s.log))
}

func (s *store) AskState(_ context.Context, _ clsv.Endpoint, req []byte) (io.WriterTo, error) {
	return strings.NewReader("reply to " + string(req)), nil
}

func (s *store) StateTransfer(ctx context.Context, x *Transfer) {
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			b, err := x.GetState(ctx, fmt.Append(nil, i))
			if err == nil && string(b) != fmt.Sprint("reply to ", i) {
				err = fmt.Errorf("%d gets %q", i, b)
			}
			s.note(err)
		})
	}
	var log []byte
	err := x.Load(ctx, func(r io.Reader) (err error) {
		log, err = io.ReadAll(r)
		return err
	})
	wg.Wait()
	s.note(err)
	s.mu.Lock()
	s.log = log
	s.mu.Unlock()
	s.note(x.Done())
}

func (s *store) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.errs = append(s.errs, err)
	}
}

func (s *store) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.log)
}

// TestNet transfers a state over real sockets while it changes.
func TestNet(t *testing.T) {
	defer goleak.VerifyNone(t)
	o := check.VSync()
	o.ClSv, o.Total = true, true
	rec := clsvtest.NewWitness(o)
	group := fmt.Sprint("csx-test-", time.Now().UnixNano())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var ms []*Member
	var hs []*store
	open := func() {
		h := &store{}
		o := Options{Handler: h, Hold: true}
		o.Group, o.Name, o.Trace, o.Total = group, fmt.Sprint("m", len(ms)), rec, true
		o.Role, o.Xfer, o.Transport.Interface = clsv.Server, clsv.FreeXfer, "lo"
		m, err := Open(ctx, o)
		if err != nil {
			if strings.Contains(err.Error(), "udp") {
				t.Skip(err)
			}
			t.Fatal(err)
		}
		ms, hs = append(ms, m), append(hs, h)
	}
	open()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	sent, first := 0, ms[0]
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := first.Scast(ctx, bytes.Repeat([]byte{byte(i)}, 5000)); err != nil {
				t.Error(err)
				return
			}
			sent += 5000
			time.Sleep(200 * time.Microsecond)
		}
	})
	time.Sleep(100 * time.Millisecond)
	open()
	open()
	for end := time.Now().Add(15 * time.Second); len(ms[0].View().Servers) < 3; {
		if time.Now().After(end) {
			t.Fatal("no three servers: ", ms[0].View())
		}
		time.Sleep(time.Millisecond)
	}
	close(stop)
	wg.Wait()
	same := func() bool {
		b := hs[0].bytes()
		return len(b) == sent && bytes.Equal(b, hs[1].bytes()) && bytes.Equal(b, hs[2].bytes())
	}
	for end := time.Now().Add(10 * time.Second); !same() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if !same() || sent < 50_000 {
		t.Error(sent, "sent, states differ", len(hs[0].bytes()), len(hs[1].bytes()),
			len(hs[2].bytes()))
	}
	for i, m := range ms {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if len(hs[i].errs) > 0 {
			t.Error(i, hs[i].errs)
		}
	}
	if err := rec.Close(); err != nil {
		t.Error(err)
	}
}

// TestNetClose closes a member in the middle of a transfer.
func TestNetClose(t *testing.T) {
	defer goleak.VerifyNone(t)
	group := fmt.Sprint("csx-test-", time.Now().UnixNano())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	h := &store{log: make([]byte, 8<<20)}
	o := Options{Handler: h}
	o.Group, o.Role, o.Xfer, o.Transport.Interface = group, clsv.Server, clsv.FreeXfer, "lo"
	o.Name = "a"
	a, err := Open(ctx, o)
	if err != nil {
		t.Skip(err)
	}
	defer a.Close()
	w := &waiter{reading: make(chan struct{}), ended: make(chan error, 1)}
	o.Handler, o.Name = w, "b"
	b, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	<-w.reading
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := <-w.ended; !errors.Is(err, ErrTerminated) || !errors.Is(err, clsv.ErrNotJoined) {
		t.Error(err)
	}
}

// waiter reads a little of the state.
type waiter struct {
	NopHandler
	reading chan struct{}
	ended   chan error
}

func (w *waiter) StateTransfer(ctx context.Context, x *Transfer) {
	_, _ = io.ReadFull(x.Stream(ctx), make([]byte, 100))
	close(w.reading)
	<-ctx.Done()
	w.ended <- context.Cause(ctx)
}
