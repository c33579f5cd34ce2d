package node

import (
	"fmt"
	"os"
	"testing"
	"time"

	"maestro/stack"
)

// BenchmarkCast casts from one member to two others over loopback.
func BenchmarkCast(b *testing.B) {
	for _, size := range []int{64, 1000, 8000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchmarkCast(b, size) })
	}
}

func benchmarkCast(b *testing.B, size int) {
	port := uint16(20000 + os.Getpid()%20000)
	var cs []*counter
	for i := range 3 {
		cs = append(cs, open(b, fmt.Sprint("m", i), port, &counter{}))
	}
	for _, c := range cs {
		until(b, "one view of 3", 3*time.Second, func() bool { return members(c) == 3 })
	}
	data := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; {
		err := error(nil)
		cs[0].n.Do(func(g *stack.Group) {
			for ; i < b.N && err == nil; i++ {
				if err = g.Cast(1, nil, data); err != nil || g.Busy() {
					break
				}
			}
		})
		if err != nil {
			time.Sleep(50 * time.Microsecond)
		}
	}
	for _, c := range cs {
		for c.delivered.Load() < uint64(b.N) {
			time.Sleep(100 * time.Microsecond)
		}
	}
	b.StopTimer()
	for _, c := range cs {
		if testing.Verbose() {
			b.Log(c.n.group.Dump(), fmt.Sprintf("%+v", c.n.group.Counters()))
			s, u := c.n.Stats()
			b.Logf("%+v %+v", s, u)
		}
		c.n.Do(func(g *stack.Group) { g.Leave() })
		c.n.Close()
	}
}
