package local_test

import (
	"testing"

	"maestro/bench/rig"
	"maestro/layers/local"
	"maestro/stack"
)

// BenchmarkUp is casts of others, which pass, and own ones, which do not.
func BenchmarkUp(b *testing.B) {
	r, err := rig.New(3, 1, local.Maker())
	if err != nil {
		b.Fatal(err)
	}
	m := stack.Msg{To: stack.All, Data: make([]byte, 64)}
	b.ReportAllocs()
	for b.Loop() {
		m.From = 0
		r.Up(&m)
		m.From = 1
		r.Up(&m)
	}
	if r.Delivered != uint64(b.N) {
		b.Fatalf("%d of %d delivered", r.Delivered, b.N)
	}
}
