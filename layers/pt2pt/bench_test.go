package pt2pt_test

import (
	"testing"

	"maestro/bench/rig"
	"maestro/layers/pt2pt"
	"maestro/stack"
	"maestro/wire"
)

// BenchmarkUp is segments to this member alone, a turn each.
func BenchmarkUp(b *testing.B) {
	r, err := rig.New(3, 1, pt2pt.Maker())
	if err != nil {
		b.Fatal(err)
	}
	buf := r.Bufs.Get()
	d := stack.Datagram{Header: wire.Header{Kind: wire.KindSend, Sender: 0}, From: rig.Addr(0),
		Buf: buf, Body: buf.B[wire.HeaderLen:100]}
	b.ReportAllocs()
	for b.Loop() {
		d.Seq++
		r.Receive(&d)
		r.Consumed(stack.StreamOf(len(r.View().Members), 0, 0), d.Seq)
		r.EndTurn()
	}
	if r.Delivered != uint64(b.N) {
		b.Fatalf("%d of %d delivered", r.Delivered, b.N)
	}
	b.ReportMetric(float64(r.Bytes)/float64(b.N), "wire-B/msg")
	buf.Drop()
	if err := r.Finish(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkDown is messages to one member, each in a turn of its own, and its
// acknowledgements.
func BenchmarkDown(b *testing.B) {
	r, err := rig.New(3, 1, pt2pt.Maker())
	if err != nil {
		b.Fatal(err)
	}
	m := stack.Msg{From: 1, To: 0, Kind: 1, Data: make([]byte, 64)}
	d := stack.Datagram{Header: wire.Header{Kind: wire.KindSendAck, Sender: 0}, From: rig.Addr(0)}
	ack := wire.Ack{Stream: 1}
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		r.Down(&m)
		r.EndTurn()
		if n++; n%64 == 0 {
			ack.Received, ack.Consumed = n, n
			d.Body = ack.Append(d.Body[:0])
			r.Receive(&d)
		}
	}
	if r.Sent != uint64(b.N) {
		b.Fatalf("%d of %d sent", r.Sent, b.N)
	}
	b.ReportMetric(float64(r.Bytes)/float64(b.N), "wire-B/msg")
	if err := r.Finish(); err != nil {
		b.Fatal(err)
	}
}
