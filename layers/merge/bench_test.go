package merge_test

import (
	"testing"
	"time"

	"maestro/bench/rig"
	"maestro/layers/merge"
	"maestro/stack"
	"maestro/wire"
)

// BenchmarkUp is presences: of the own view, as all members hear them all the
// time, and of another view that follows this one, which gets an answer.
func BenchmarkUp(b *testing.B) {
	for _, own := range []bool{true, false} {
		name, rank := "own", 1
		if !own {
			name, rank = "other", 0
		}
		b.Run(name, func(b *testing.B) {
			r, err := rig.New(3, rank, merge.Maker())
			if err != nil {
				b.Fatal(err)
			}
			v := r.View()
			p := wire.Presence{View: v.ID, From: v.Members[0], Members: 3}
			if !own {
				p.From.ID, p.From.Addr = wire.Endpoint{Name: "z", Incarnation: 1}, rig.Addr(9)
				p.View = wire.ViewID{Coord: p.From.ID} // less than ours
			}
			d := stack.Datagram{Header: wire.Header{Kind: wire.KindPresence}, From: p.From.Addr,
				Body: p.Append(nil)}
			b.ReportAllocs()
			for b.Loop() {
				r.Receive(&d)
			}
			want := uint64(b.N)
			if own {
				want = 0
			}
			if c := r.Counters(); r.Sent != want || c.Malformed != 0 {
				b.Fatalf("%d answers to %d, %d malformed", r.Sent, b.N, c.Malformed)
			}
		})
	}
}

// BenchmarkDown is a coordinator that makes its view known.
func BenchmarkDown(b *testing.B) {
	r, err := rig.New(3, 0, merge.Maker())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Time = r.Time.Add(time.Hour)
		r.Expire()
	}
	if r.Sent != uint64(b.N) {
		b.Fatalf("%d presences in %d times", r.Sent, b.N)
	}
	b.ReportMetric(float64(r.Bytes)/float64(b.N), "wire-B/msg")
}
