package install_test

import (
	"fmt"
	"testing"

	"maestro/bench/rig"
	"maestro/layers/install"
	"maestro/stack"
	"maestro/wire"
)

// ballot is a complete one of n members, in which nobody has failed.
func ballot(r *rig.Rig, n int) stack.Flushed {
	f := stack.Flushed{Round: 1, Failed: make(stack.Set, n)}
	for range n {
		f.Replies = append(f.Replies, &wire.FlushOk{Round: 1, Recv: r.Recv})
	}
	return f
}

// BenchmarkDown is a coordinator that decides on a complete ballot, and tells all.
func BenchmarkDown(b *testing.B) {
	for _, n := range []int{3, 64} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			r, err := rig.New(n, 0, install.Maker())
			if err != nil {
				b.Fatal(err)
			}
			f := ballot(r, n)
			b.ReportAllocs()
			for b.Loop() {
				r.Tell(f)
				r.Tell(stack.Reopened{})
			}
			if r.Sent != uint64(b.N) {
				b.Fatalf("%d decisions of %d", r.Sent, b.N)
			}
			b.ReportMetric(float64(r.Bytes)/float64(b.N), "wire-B/msg")
		})
	}
}

// BenchmarkUp is a decision that a member obeys and acknowledges.
func BenchmarkUp(b *testing.B) {
	for _, n := range []int{3, 64} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			r, err := rig.New(n, 1, install.Maker())
			if err != nil {
				b.Fatal(err)
			}
			f, v := ballot(r, n), r.View()
			m := wire.Decision{Parties: []wire.Party{f.Cut(v, 0)}}
			m.Next.ID = wire.ViewID{Ltime: 2, Coord: v.Members[0].ID}
			m.Next.Members = v.Members
			d := stack.Datagram{Header: wire.Header{Kind: wire.KindDecision}, From: rig.Addr(0),
				Body: m.Append(nil)}
			b.ReportAllocs()
			for b.Loop() {
				r.Receive(&d)
				r.Tell(stack.Reopened{})
			}
			if c := r.Counters(); r.Sent != uint64(b.N) || c.Malformed != 0 {
				b.Fatalf("%d of %d acknowledged, %d malformed", r.Sent, b.N, c.Malformed)
			}
			b.ReportMetric(float64(r.Bytes)/float64(b.N), "wire-B/msg")
		})
	}
}
