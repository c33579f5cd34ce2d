package total_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"maestro/bench/rig"
	"maestro/layers/total"
	"maestro/stack"
)

// BenchmarkUp is casts of one member that is not the sequencer, as a member sees
// them who gets their order in batches.
func BenchmarkUp(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			r, err := rig.New(3, 1, total.Maker())
			if err != nil {
				b.Fatal(err)
			}
			buf := r.Bufs.Get()
			run := binary.LittleEndian.AppendUint32([]byte{2, 0}, uint32(batch))
			m := stack.Msg{From: 2, To: stack.All, Kind: 1, Data: buf.B[:64], Buf: buf}
			o := stack.Msg{From: 0, To: stack.All, Kind: stack.KindOrder, Data: run, Buf: buf}
			b.ReportAllocs()
			for b.Loop() {
				for range batch {
					r.Up(&m)
				}
				r.Up(&o)
			}
			if r.Delivered != uint64(b.N*batch) {
				b.Fatalf("%d of %d delivered", r.Delivered, b.N*batch)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*batch), "ns/msg")
			buf.Drop()
			if err := r.Finish(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkSequencer is the same at the member that orders: its announcements
// come back to it as its own casts do.
func BenchmarkSequencer(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			r, err := rig.New(3, 0, total.Maker())
			if err != nil {
				b.Fatal(err)
			}
			var order []byte
			r.OnDown = func(m *stack.Msg) { order = append(order[:0], m.Data...) }
			buf := r.Bufs.Get()
			m := stack.Msg{From: 2, To: stack.All, Kind: 1, Data: buf.B[:64], Buf: buf}
			o := stack.Msg{From: 0, To: stack.All, Kind: stack.KindOrder, Buf: buf}
			b.ReportAllocs()
			for b.Loop() {
				for range batch {
					r.Up(&m)
				}
				r.EndTurn()
				o.Data = order
				r.Up(&o)
			}
			if r.Delivered != uint64(b.N*batch) || r.Passed != uint64(b.N) {
				b.Fatalf("%d of %d delivered", r.Delivered, b.N*batch)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*batch), "ns/msg")
			buf.Drop()
			if err := r.Finish(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
