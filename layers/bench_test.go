package layers_test

import (
	"fmt"
	"testing"

	"maestro/bench/pair"
	"maestro/stack"
)

// BenchmarkStack is one message's way down at one member and up at another,
// without sockets: the acknowledgements, the sender's own delivery and the copy
// from one to the other included.
func BenchmarkStack(b *testing.B) {
	for name, want := range map[string]stack.Props{"fifo": 0, "total": stack.Total,
		"nolocal": stack.NoLocal} {
		for _, batch := range []int{1, 64, 1000} {
			b.Run(fmt.Sprintf("%s/batch=%d", name, batch), func(b *testing.B) {
				p, err := pair.New(2, want)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := p.Measure(64, batch, 20000); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.ResetTimer()
				c, err := p.Measure(64, batch, b.N)
				b.StopTimer()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(c.Down, "down-ns/msg")
				b.ReportMetric(c.Up, "up-ns/msg")
				b.ReportMetric(c.Wire, "wire-B/msg")
				if err := p.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
