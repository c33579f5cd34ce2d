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
	p.Large(1 << 20).Drop()
	if n := testing.AllocsPerRun(100, func() { p.Large(1 << 20).Drop() }); n != 0 {
		t.Errorf("%v allocations of a large one", n)
	}
}

// Large buffers come back for messages of about their length, and an idle pool keeps
// no more than so many bytes of them.
func TestPoolLarge(t *testing.T) {
	p := wire.Pool{Poison: true}
	for n := 1; n <= 64<<20; n = n*3/2 + 1 {
		b := p.Large(n)
		if len(b.B) < n || len(b.B) > max(n*5/4, wire.BufSize) {
			t.Errorf("%d bytes for %d", len(b.B), n)
		}
		b.Drop()
	}
	a := p.Large(1 << 20)
	a.B[7] = 7
	a.Drop()
	if bytes.Count(a.B, []byte{a.B[0]}) != len(a.B) {
		t.Error("a freed buffer is not poisoned")
	}
	made := p.Made()
	if b := p.Large(1<<20 - 1000); b != a || p.Made() != made {
		t.Error("a free buffer is not used again")
	}
	a.Drop()
	if p.Live() != 0 || !panics(a.Drop) {
		t.Errorf("%d buffers live", p.Live())
	}
	var all []*wire.Buf
	for range 64 {
		all = append(all, p.Large(1<<20))
	}
	for _, b := range all {
		b.Drop()
	}
	made = p.Made()
	for range 64 {
		p.Large(1 << 20)
	}
	if n := 64 - (p.Made() - made); n == 0 || n > 32 {
		t.Errorf("%d MiB kept", n)
	}
}
