package flush_test

import (
	"fmt"
	"strings"
	"testing"

	"maestro/bench/rig"
	"maestro/layers/flush"
	"maestro/stack"
	"maestro/wire"
)

// BenchmarkUp is a ballot at its coordinator: the block is sent, the application
// stops, and the reports of all others come in.
func BenchmarkUp(b *testing.B) {
	for _, n := range []int{3, 64} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			r, err := rig.New(n, 0, flush.Maker())
			if err != nil {
				b.Fatal(err)
			}
			report := wire.FlushOk{Recv: r.Recv}
			d := stack.Datagram{Header: wire.Header{Kind: wire.KindFlushOk}}
			b.ReportAllocs()
			for b.Loop() {
				r.Tell(stack.Lead{})
				r.Tell(stack.Stopped{})
				r.EndTurn()
				report.Round++
				d.Body = report.Append(d.Body[:0])
				for k := 1; k < n; k++ {
					d.Sender, d.From = uint16(k), rig.Addr(k)
					r.Receive(&d)
				}
			}
			if !strings.Contains(r.Dump(), "flushed true") {
				b.Fatal(r.Dump())
			}
			b.ReportMetric(float64(r.Bytes)/float64(b.N), "wire-B/op")
		})
	}
}

// BenchmarkDown is a member's report, as the answer to a block.
func BenchmarkDown(b *testing.B) {
	for _, n := range []int{3, 64} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			r, err := rig.New(n, 1, flush.Maker())
			if err != nil {
				b.Fatal(err)
			}
			var block wire.Block
			d := stack.Datagram{Header: wire.Header{Kind: wire.KindBlock}, From: rig.Addr(0)}
			b.ReportAllocs()
			for b.Loop() {
				block.Round++
				d.Body = block.Append(d.Body[:0])
				r.Receive(&d)
				r.Tell(stack.Stopped{})
				r.EndTurn()
			}
			if r.Sent != uint64(b.N) {
				b.Fatalf("%d reports on %d blocks\n%s", r.Sent, b.N, r.Dump())
			}
			b.ReportMetric(float64(r.Bytes)/float64(b.N), "wire-B/msg")
		})
	}
}
