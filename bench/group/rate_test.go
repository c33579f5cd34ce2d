//go:build linux

package group

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"maestro/bench/floor"
	"maestro/internal/netlab"
)

const floorEnv = "MAESTRO_BENCH_FLOOR"

// floorRate is what the floor moves between the same hosts, in messages a
// second at the slowest receiver.
func (c *cluster) floorRate(size, receivers int, d time.Duration) float64 {
	c.Helper()
	exe, err := os.Executable()
	if err != nil {
		c.Fatal(err)
	}
	r, err := floor.Run(context.Background(), floor.Config{Receivers: receivers, Message: size,
		Duration: d, Interface: "eth0",
		Start: func(ctx context.Context, member int, arg string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, "ip", "netns", "exec", c.lab.Namespace(member+1), exe)
			cmd.Env = append(os.Environ(), floorEnv+"="+arg)
			return cmd
		}})
	if err != nil {
		c.Fatal(err)
	}
	return r.MsgsPerSec
}

// BenchmarkStream measures what one member casts to two others beside the floor
// of the same minute.
func BenchmarkStream(b *testing.B) {
	for _, size := range []int{64, 1000, 8000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c := newCluster(b, 3, netlab.Options{GSO: true})
			c.together(3)
			c.stream([]int{1}, size, 300*time.Millisecond)
			var rate, base, ratio []float64
			for range b.N {
				f := c.floorRate(size, 2, time.Second)
				r := c.stream([]int{1}, size, time.Second)
				ours := min(r[2].perSecond, r[3].perSecond)
				base, rate, ratio = append(base, f), append(rate, ours), append(ratio, ours/f)
			}
			b.ReportMetric(median(rate), "msgs/s")
			b.ReportMetric(median(base), "floor-msgs/s")
			b.ReportMetric(median(ratio), "ratio")
		})
	}
}

// BenchmarkLoss measures what one sender keeps of its rate, and the longest
// pause of a receiver, when receivers lose datagrams at random. Bursts are cut
// into datagrams, so that each is lost or not by itself.
func BenchmarkLoss(b *testing.B) {
	c := newCluster(b, 3, netlab.Options{})
	c.together(3)
	c.stream([]int{1}, 1000, 300*time.Millisecond)
	var clean, lossy, ratio []float64
	var stall []time.Duration
	b.ResetTimer()
	for range b.N {
		r := c.stream([]int{1}, 1000, time.Second)
		c.lab.Loss(50)
		l := c.stream([]int{1}, 1000, time.Second)
		c.lab.Calm()
		a, z := min(r[2].perSecond, r[3].perSecond), min(l[2].perSecond, l[3].perSecond)
		clean, lossy, ratio = append(clean, a), append(lossy, z), append(ratio, z/a)
		stall = append(stall, max(l[2].stall, l[3].stall))
	}
	b.ReportMetric(median(clean), "msgs/s")
	b.ReportMetric(median(lossy), "lossy-msgs/s")
	b.ReportMetric(median(ratio), "ratio")
	ms(b, "stall", stall)
}

// BenchmarkRpc measures rounds of a cast that two others answer, without loss
// and with 1 %.
func BenchmarkRpc(b *testing.B) {
	for _, permille := range []int{0, 10} {
		b.Run(fmt.Sprintf("loss=%d", permille), func(b *testing.B) {
			c := newCluster(b, 3, netlab.Options{})
			c.together(3)
			c.lab.Loss(permille)
			var p50, p99, worst []time.Duration
			for range b.N {
				c.procs[1].Say("rpc 64 2000")
				_, s := c.procs[1].Wait(`^RPC \d+ p50 (\d+) p99 (\d+) max (\d+)`, time.Minute)
				p50 = append(p50, time.Duration(num(s[1])))
				p99 = append(p99, time.Duration(num(s[2])))
				worst = append(worst, time.Duration(num(s[3])))
			}
			ms(b, "p50", p50)
			ms(b, "p99", p99)
			ms(b, "max", worst)
		})
	}
}
