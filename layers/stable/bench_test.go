package stable_test

import (
	"fmt"
	"testing"

	"maestro/bench/rig"
	"maestro/layers/stable"
	"maestro/stack"
	"maestro/wire"
)

// BenchmarkDown is segments sent, and the acknowledgements of all others for each
// of them.
func BenchmarkDown(b *testing.B) {
	for _, n := range []int{3, 32} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			r, err := rig.New(n, 1, stable.Maker())
			if err != nil {
				b.Fatal(err)
			}
			d := stack.Datagram{Header: wire.Header{Kind: wire.KindAck}}
			ack, data := wire.Ack{Stream: 1}, make([]byte, 64)
			b.ReportAllocs()
			for b.Loop() {
				r.Write(data)
				r.Transmitted()
				r.Recv[1]++
				r.Consumed(1, r.Recv[1])
				r.EndTurn()
				ack.Received++
				ack.Consumed++
				d.Body = ack.Append(d.Body[:0])
				for k := range n {
					if k != 1 {
						d.Sender, d.From = uint16(k), rig.Addr(k)
						r.Receive(&d)
					}
				}
			}
			if first := r.Log().First(); first < uint64(b.N) {
				b.Fatalf("freed up to %d of %d", first, b.N)
			}
			if err := r.Finish(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkUp is turns in which a segment of each other member has come and been
// consumed; the acknowledgements are what goes over the wire.
func BenchmarkUp(b *testing.B) {
	for _, n := range []int{3, 32} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			r, err := rig.New(n, 1, stable.Maker())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				for k := range n {
					r.Recv[k]++
				}
				r.EndTurn()
			}
			if b.N > 10000 && r.Sent == 0 {
				b.Fatal("nothing was acknowledged")
			}
			b.ReportMetric(float64(r.Bytes)/float64(b.N*(n-1)), "wire-B/msg")
		})
	}
}
