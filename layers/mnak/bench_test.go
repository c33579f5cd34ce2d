package mnak_test

import (
	"fmt"
	"testing"

	"maestro/bench/rig"
	"maestro/layers/mnak"
	"maestro/stack"
	"maestro/wire"
)

// BenchmarkUp is segments that come in order, or with each second one late.
func BenchmarkUp(b *testing.B) {
	for _, swapped := range []bool{false, true} {
		b.Run(fmt.Sprintf("swapped=%v", swapped), func(b *testing.B) {
			r, err := rig.New(3, 1, mnak.Maker())
			if err != nil {
				b.Fatal(err)
			}
			buf := r.Bufs.Get()
			d := stack.Datagram{Header: wire.Header{Kind: wire.KindCast, Sender: 0, Low: 3},
				From: rig.Addr(0), Buf: buf, Body: buf.B[wire.HeaderLen:1472]}
			b.ReportAllocs()
			k := uint64(0)
			for b.Loop() {
				k++
				d.Seq = k
				if swapped {
					d.Seq = (k - 1) ^ 1 + 1
				}
				r.Receive(&d)
			}
			if n := r.Delivered; n < uint64(b.N)-1 {
				b.Fatalf("%d of %d delivered", n, b.N)
			}
			buf.Drop()
			if err := r.Finish(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkDown is turns that transmit segments and pass them up here.
func BenchmarkDown(b *testing.B) {
	for _, n := range []int{1, 44} {
		b.Run(fmt.Sprintf("burst=%d", n), func(b *testing.B) {
			r, err := rig.New(3, 1, mnak.Maker())
			if err != nil {
				b.Fatal(err)
			}
			data := make([]byte, 1472-wire.HeaderLen-3)
			b.ReportAllocs()
			for b.Loop() {
				for range n {
					r.Write(data)
				}
				r.EndTurn()
				r.Log().Free(r.Log().Sent())
			}
			// They are passed up in runs, of which there are one or two a turn.
			if d := r.Delivered; r.Sent != uint64(b.N*n) || d < uint64(b.N) || d > 2*uint64(b.N) {
				b.Fatalf("%d of %d sent, in %d runs", r.Sent, b.N*n, d)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*n), "ns/segment")
			if err := r.Finish(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
