package elect_test

import (
	"fmt"
	"testing"
	"time"

	"maestro/bench/rig"
	"maestro/layers/elect"
	"maestro/stack"
	"maestro/wire"
)

// BenchmarkUp is suspicions that are repeated, of a member that has failed.
func BenchmarkUp(b *testing.B) {
	for _, n := range []int{3, 64} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			r, err := rig.New(n, 1, elect.Maker())
			if err != nil {
				b.Fatal(err)
			}
			d := stack.Datagram{Header: wire.Header{Kind: wire.KindSuspect}, From: rig.Addr(0)}
			m := wire.Ranks{Ranks: []int{n - 1}}
			d.Body = m.Append(nil)
			b.ReportAllocs()
			for b.Loop() {
				r.Receive(&d)
			}
			if c := r.Counters(); c.Suspicions != 1 || c.Malformed != 0 {
				b.Fatalf("%d suspicions, %d malformed", c.Suspicions, c.Malformed)
			}
		})
	}
}

// BenchmarkDown is a suspicion that this member repeats to all.
func BenchmarkDown(b *testing.B) {
	for _, n := range []int{3, 64} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			r, err := rig.New(n, 1, elect.Maker())
			if err != nil {
				b.Fatal(err)
			}
			r.Tell(stack.Suspect{Rank: n - 1, Why: "benchmark"})
			b.ReportAllocs()
			for b.Loop() {
				r.Time = r.Time.Add(time.Second)
				r.Expire()
			}
			if r.Sent != uint64(b.N)+1 {
				b.Fatalf("%d sent in %d rounds", r.Sent, b.N)
			}
			b.ReportMetric(float64(r.Bytes)/float64(r.Sent), "wire-B/msg")
		})
	}
}
