package wire_test

import (
	"bytes"
	"testing"

	"maestro/wire"
)

// panics reports whether f does.
func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

func TestPool(t *testing.T) {
	p := wire.Pool{Poison: true}
	a, b := p.Get(), p.Get()
	if p.Live() != 2 || p.Made() != 2 || len(a.B) != wire.BufSize {
		t.Fatalf("live %d made %d", p.Live(), p.Made())
	}
	a.B[7] = 7
	a.Keep()
	a.Drop()
	if p.Live() != 2 || a.B[7] != 7 {
		t.Fatal("a kept buffer is gone")
	}
	a.Drop()
	if p.Live() != 1 {
		t.Fatal("a dropped buffer is live")
	}
	if bytes.Count(a.B, []byte{a.B[0]}) != len(a.B) {
		t.Error("a freed buffer is not poisoned")
	}
	if c := p.Get(); c != a || p.Made() != 2 {
		t.Error("a free buffer is not used again")
	}
	a.Drop()
	b.Drop()
	if !panics(b.Drop) {
		t.Error("a buffer can be dropped twice")
	}
	if !panics(a.Keep) {
		t.Error("a free buffer can be kept")
	}
}

func TestPoolAllocations(t *testing.T) {
	var p wire.Pool
	p.Get().Drop()
	if n := testing.AllocsPerRun(100, func() { p.Get().Drop() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
