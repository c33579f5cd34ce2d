package bottom_test

import (
	"testing"

	"maestro/bench/rig"
	"maestro/layers/bottom"
	"maestro/stack"
	"maestro/wire"
)

// BenchmarkUp is a datagram that is checked and handed to its layer.
func BenchmarkUp(b *testing.B) {
	r, err := rig.New(3, 1, bottom.Maker())
	if err != nil {
		b.Fatal(err)
	}
	d := stack.Datagram{Header: wire.Header{Kind: wire.KindCast, Sender: 0}, From: rig.Addr(0)}
	b.ReportAllocs()
	for b.Loop() {
		r.Receive(&d)
	}
	if r.Delivered != uint64(b.N) {
		b.Fatalf("%d of %d delivered", r.Delivered, b.N)
	}
}

// BenchmarkDown is a control message that gets its header, and a burst.
func BenchmarkDown(b *testing.B) {
	r, err := rig.New(3, 1, bottom.Maker())
	if err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		r.Control(body)
	}
	if r.Sent != uint64(b.N) {
		b.Fatalf("%d of %d sent", r.Sent, b.N)
	}
	b.ReportMetric(float64(r.Bytes)/float64(b.N), "wire-B/msg")
}
