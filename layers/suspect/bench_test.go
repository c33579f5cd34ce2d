package suspect_test

import (
	"fmt"
	"testing"
	"time"

	"maestro/bench/rig"
	"maestro/layers/suspect"
)

// BenchmarkBeat is what a member does each time that it beats or probes; data does
// not pass this layer.
func BenchmarkBeat(b *testing.B) {
	for _, n := range []int{3, 64} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			r, err := rig.New(n, 1, suspect.Maker())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r.Time = r.Time.Add(10 * time.Millisecond)
				r.Expire()
			}
			if r.Sent < uint64(b.N)-1 {
				b.Fatalf("%d probes in %d intervals", r.Sent, b.N)
			}
		})
	}
}
