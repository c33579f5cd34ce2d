package pack_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"maestro/bench/rig"
	"maestro/layers/pack"
	"maestro/stack"
	"maestro/wire"
)

// segment is one with as many messages of a size as it holds.
func segment(size int) (body []byte, n int) {
	for len(body)+size+3 <= 1472-wire.HeaderLen {
		body = binary.AppendUvarint(append(body, 1), uint64(size))
		body = append(body, make([]byte, size)...)
		n++
	}
	return body, n
}

// BenchmarkUp takes segments apart.
func BenchmarkUp(b *testing.B) {
	for _, size := range []int{64, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r, err := rig.New(3, 1, pack.Maker())
			if err != nil {
				b.Fatal(err)
			}
			body, n := segment(size)
			m := stack.Msg{From: 0, To: stack.All, Data: body}
			b.ReportAllocs()
			for b.Loop() {
				m.Seq++
				r.Up(&m)
			}
			if r.Delivered != uint64(b.N*n) {
				b.Fatalf("%d of %d delivered", r.Delivered, b.N*n)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*n), "ns/msg")
		})
	}
}

// BenchmarkUpLarge puts messages together that come in runs of a burst's length.
func BenchmarkUpLarge(b *testing.B) {
	for _, size := range []int{1 << 16, 1 << 20, 1 << 24} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r, err := rig.New(3, 1, pack.Maker())
			if err != nil {
				b.Fatal(err)
			}
			stream := append(binary.AppendUvarint([]byte{1}, uint64(size)), make([]byte, size)...)
			m := stack.Msg{From: 0, To: stack.All}
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				for rest := stream; len(rest) > 0; rest = rest[len(m.Data):] {
					m.Seq++
					m.Data = rest[:min(len(rest), 44*1448)]
					r.Up(&m)
				}
			}
			if r.Delivered != uint64(b.N) {
				b.Fatalf("%d of %d delivered", r.Delivered, b.N)
			}
		})
	}
}

// BenchmarkDown writes messages into the send log, which is transmitted and
// freed from time to time.
func BenchmarkDown(b *testing.B) {
	for _, size := range []int{64, 1000, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r, err := rig.New(3, 1, pack.Maker())
			if err != nil {
				b.Fatal(err)
			}
			m := stack.Msg{From: 1, To: stack.All, Kind: 1, Data: make([]byte, size)}
			b.ReportAllocs()
			b.SetBytes(int64(size))
			room := 0
			for b.Loop() {
				if room -= size; room < 0 {
					r.Drain()
					room = 256 << 10
				}
				r.Down(&m)
			}
			r.Drain()
			if r.Bytes < uint64(b.N*size) {
				b.Fatalf("%d bytes sent", r.Bytes)
			}
			b.ReportMetric(float64(r.Bytes)/float64(b.N), "wire-B/msg")
			if err := r.Finish(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
