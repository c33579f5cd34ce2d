package clsv_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/stack"
)

// rejoining is a handler whose Exit has somebody else join again, and goes on to
// use the member.
type rejoining struct {
	clsv.NopHandler
	m    *clsv.Member
	exit func(m *clsv.Member)
}

func (r *rejoining) Exit(error) {
	if r.exit != nil {
		r.exit(r.m)
	}
}

// TestRejoinDuringExit: another life may begin while the last callback of the one
// before runs, and that may go on to call the member.
func TestRejoinDuringExit(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	joined := make(chan error, 1)
	h := &rejoining{}
	h.exit = func(m *clsv.Member) {
		h.exit = nil
		go func() { joined <- m.Join(ctx) }()
		time.Sleep(50 * time.Millisecond)
		_ = m.View()
	}
	o := clsv.Options{Handler: h}
	o.Group = fmt.Sprint("rejoin-", time.Now().UnixNano())
	o.Bootstrap, o.Transport.Interface = true, "lo"
	m, err := clsv.New(o)
	if err != nil {
		t.Fatal(err)
	}
	h.m = m
	if err := m.Join(ctx); err != nil {
		t.Fatal(err)
	}
	left := make(chan error, 1)
	go func() { left <- m.Leave(ctx) }()
	for what, c := range map[string]chan error{"leave": left, "join": joined} {
		select {
		case err := <-c:
			if err != nil {
				t.Error(what, err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("stuck: ", what)
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// late is a driver whose runtimes take their time for the first downcall.
type late struct {
	clsv.Net
	begun, gate chan bool
}

type lateRuntime struct {
	clsv.Runtime
	gate chan bool
}

func (d late) Start(o *clsv.GroupOptions, app stack.Runner) (clsv.Runtime, error) {
	rt, err := d.Net.Start(o, app)
	close(d.begun)
	return &lateRuntime{rt, d.gate}, err
}

func (r *lateRuntime) Do(f func(*stack.Group)) {
	<-r.gate
	r.Runtime.Do(f)
}

// TestCallWhileJoining: downcalls of others that come when a life has begun, and is
// not connected yet, are of no life; Close ends it.
func TestCallWhileJoining(t *testing.T) {
	for _, what := range []string{"look", "close"} {
		t.Run(what, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			o := clsv.Options{}
			o.Group = fmt.Sprint("early-", time.Now().UnixNano())
			o.Bootstrap, o.Transport.Interface = true, "lo"
			d := late{begun: make(chan bool), gate: make(chan bool)}
			m, err := clsv.NewMember(o, d)
			if err != nil {
				t.Fatal(err)
			}
			joined := make(chan error, 1)
			go func() { joined <- m.Join(ctx) }()
			<-d.begun
			if what == "look" {
				if v := m.View(); v != nil {
					t.Error(v)
				}
				if _, err := m.TryCast([]byte("x")); !errors.Is(err, clsv.ErrNotJoined) {
					t.Error(err)
				}
				close(d.gate)
				if err := <-joined; err != nil {
					t.Error(err)
				}
			}
			began := time.Now()
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v to close", took)
			}
			if what == "close" {
				close(d.gate)
				if err := <-joined; !errors.Is(err, clsv.ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
}
