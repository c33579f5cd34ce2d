package clsv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
)

// keeper retains the casts that it gets.
type keeper struct {
	clsv.NopHandler
	mu   sync.Mutex
	m    *clsv.Member
	kept []*clsv.Retained
}

func (k *keeper) ReceiveCast(_ clsv.Endpoint, msg []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = append(k.kept, k.m.Retain(msg))
}

func (k *keeper) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.kept)
}

// pattern is the content of the i-th message.
func pattern(i int, b []byte) {
	for j := range b {
		b[j] = byte(i*31 + j*7)
	}
}

// held compares what has been kept, and gives it back.
func (k *keeper) held(t *testing.T, sizes []int) {
	t.Helper()
	for i, r := range k.kept {
		want := make([]byte, sizes[i%len(sizes)])
		pattern(i, want)
		if !bytes.Equal(r.Data, want) {
			t.Errorf("message %d of %d bytes has changed", i, len(want))
		}
		r.Release()
		r.Release()
	}
	k.kept = nil
}

var keptSizes = []int{0, 1, 60, 1400, 1472, 16 << 10, 20_000, 60_000, 200_000}

// What is retained stays as it is while the buffers around it, whose bytes become
// garbage when they are given back, are used again and again.
func TestRetain(t *testing.T) {
	c := clsvtest.New(3)
	k := &keeper{}
	a := c.Server("a", &clsv.NopHandler{})
	k.m = c.Server("b", k)
	if !c.Settled(5*time.Second, "a", "b") {
		t.Fatal("no view")
	}
	const n = 90
	for i := range n {
		msg := make([]byte, keptSizes[i%len(keptSizes)])
		pattern(i, msg)
		for {
			if _, err := a.TryCast(msg); err == nil {
				break
			}
			c.Run(time.Millisecond)
		}
		c.Run(time.Millisecond)
	}
	c.Wait(5*time.Second, func() bool { return k.count() == n })
	if k.count() != n {
		t.Fatalf("%d of %d messages", k.count(), n)
	}
	k.held(t, keptSizes)
	if err := c.Close(); err != nil { // it finds buffers that are left
		t.Error(err)
	}
}

// A message that is written in place arrives as it was written, whatever its size,
// and also if it has to wait; one whose writer panics does not go out.
func TestCastFill(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	group := fmt.Sprint("fill-test-", time.Now().UnixNano())
	var ms []*clsv.Member
	var ks []*keeper
	for i := range 2 {
		k := &keeper{}
		m := joinLo(ctx, t, &k.m, clsv.Options{Role: clsv.Server, Handler: k,
			GroupOptions: clsv.GroupOptions{Group: group, Name: fmt.Sprint("m", i)}})
		ms, ks = append(ms, m), append(ks, k)
	}
	wait(t, "two servers", func() bool { return len(ms[0].View().Servers) == 2 })
	const n = 900
	for i := range n {
		if i%100 == 50 {
			_, err := ms[0].CastFill(ctx, 100, func([]byte) { panic("no") })
			if !errors.Is(err, clsv.ErrPanic) {
				t.Fatalf("a panic gives %v", err)
			}
			_ = ms[0].RequestView() // some wait for the next view
		}
		fill := func(b []byte) { pattern(i, b) }
		if _, err := ms[0].CastFill(ctx, keptSizes[i%len(keptSizes)], fill); err != nil {
			t.Fatal(err)
		}
	}
	for i, k := range ks {
		wait(t, "all messages", func() bool { return k.count() == n })
		k.held(t, keptSizes)
		if err := ms[i].Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := ms[0].CastFill(ctx, 1, func([]byte) {}); !errors.Is(err, clsv.ErrClosed) &&
		!errors.Is(err, clsv.ErrNotJoined) {
		t.Errorf("after Close: %v", err)
	}
}

// TestCastFillNil: a message that nobody writes is an error, and nothing is sent.
func TestCastFillNil(t *testing.T) {
	l := newLab(t)
	a := l.join("A", client)
	some := func([]byte) {}
	_, err := a.m.TryCastFill(3, nil)
	l.is(err, clsv.ErrNoFill)
	_, err = a.m.TryCastFill(-1, some)
	l.is(err, clsv.ErrNoFill)
	_, err = a.m.CastFill(t.Context(), 0, nil)
	l.is(err, clsv.ErrNoFill)
	_, err = a.m.TryCastFill(0, some)
	l.ok(err)
	l.run(20 * ms)
	l.got("A", "A:")
}
