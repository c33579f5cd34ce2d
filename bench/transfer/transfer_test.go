//go:build linux

package transfer

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"maestro/bench/floor"
	"maestro/internal/netlab"
)

var (
	size   = flag.Int("size", 64<<20, "bytes of the state")
	chunk  = flag.Int("chunk", 0, "bytes of a chunk; 0 is the default")
	window = flag.Int("window", 0, "chunks under way; 0 is the default")
	fresh  = flag.Bool("fresh", false, "a newcomer has no memory for the state yet")
)

const (
	childEnv = "MAESTRO_BENCH_TRANSFER"
	floorEnv = "MAESTRO_BENCH_TRANSFER_FLOOR"
)

// TestMain makes the test binary the members' program too.
func TestMain(m *testing.M) {
	netlab.Main(m, map[string]func(string) error{
		floorEnv: func(arg string) error {
			return floor.RunChild(context.Background(), arg, os.Stdout)
		},
		childEnv: func(name string) error {
			return Run(context.Background(), childConfig(name), os.Stdin, os.Stdout)
		},
	})
}

func childConfig(name string) Config {
	num := func(key string) int {
		n, _ := strconv.Atoi(os.Getenv(childEnv + key))
		return n
	}
	return Config{Name: name, Interface: "eth0", Client: num("_CLIENT") > 0, Size: num("_SIZE"),
		Text: num("_TEXT") > 0, NoCompress: num("_RAW") > 0, Chunk: num("_CHUNK"),
		Window: num("_WINDOW"), Room: num("_ROOM"),
		Group: netip.MustParseAddrPort("239.255.70.72:17072")}
}

// cluster is members in the namespaces of a lab.
type cluster struct {
	testing.TB
	lab   *netlab.Lab
	procs []*netlab.Proc // by member, from 1
}

func newCluster(t testing.TB, n int) *cluster {
	return &cluster{TB: t, lab: netlab.New(t, n, netlab.Options{GSO: true}),
		procs: make([]*netlab.Proc, n+1)}
}

// join starts member i, which has room for the state, and has it join.
func (c *cluster) join(i int) {
	c.Helper()
	room := *size
	if *fresh {
		room = 0
	}
	c.start(i, fmt.Sprintf("_ROOM=%d", room))
}

// start starts member i and has it join.
func (c *cluster) start(i int, env ...string) {
	c.Helper()
	exe, err := os.Executable()
	if err != nil {
		c.Fatal(err)
	}
	args := []string{fmt.Sprintf("%s=m%d", childEnv, i),
		fmt.Sprintf("%s_CHUNK=%d", childEnv, *chunk),
		fmt.Sprintf("%s_WINDOW=%d", childEnv, *window)}
	for _, e := range env {
		args = append(args, childEnv+e)
	}
	c.procs[i] = c.lab.Start(i, "env", append(args, exe)...)
	c.procs[i].Wait("^READY", time.Minute)
	c.procs[i].Say("join")
}

func num(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// view waits until member i has a view of so many servers.
func (c *cluster) view(i, servers int) {
	c.Helper()
	c.procs[i].Wait(fmt.Sprintf(`^VIEW \d+ members \d+ servers %d`, servers), 2*time.Minute)
}

// restored waits until member i has the state, and returns bytes a second.
func (c *cluster) restored(i, bytes int) float64 {
	c.Helper()
	_, s := c.procs[i].Wait(`^RESTORED nanos (\d+) bytes (\d+)`, 2*time.Minute)
	if num(s[2]) != int64(bytes) {
		c.Fatalf("member %d has %s bytes of %d", i, s[2], bytes)
	}
	return float64(bytes) / time.Duration(num(s[1])).Seconds()
}

type stats struct {
	peak, cpu, in, wire, out, wireOut, skipped, reasked, restarted int64
}

func (c *cluster) stats(i int) stats {
	c.Helper()
	c.procs[i].Say("stats")
	_, s := c.procs[i].Wait(`^STATS peak (\d+) cpu (\d+) in (\d+) wire (\d+) out (\d+) `+
		`wireout (\d+) skipped (\d+) reasked (\d+) restarted (\d+)`, 10*time.Second)
	return stats{num(s[1]), num(s[2]), num(s[3]), num(s[4]), num(s[5]), num(s[6]), num(s[7]),
		num(s[8]), num(s[9])}
}

// floor is what the floor moves from member 1 to member 2, in bytes a second.
func (c *cluster) floor() float64 {
	c.Helper()
	exe, err := os.Executable()
	if err != nil {
		c.Fatal(err)
	}
	r, err := floor.Run(context.Background(), floor.Config{Receivers: 1, Message: 8000,
		Duration: time.Second, Interface: "eth0",
		Start: func(ctx context.Context, member int, arg string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, "ip", "netns", "exec", c.lab.Namespace(member+1), exe)
			cmd.Env = append(os.Environ(), floorEnv+"="+arg)
			return cmd
		}})
	if err != nil {
		c.Fatal(err)
	}
	return r.MsgsPerSec * 8000
}

// TestTransfer moves a state of random bytes and one of text.
func TestTransfer(t *testing.T) {
	for _, text := range []int{0, 1} {
		t.Run([]string{"random", "text"}[text], func(t *testing.T) {
			c := newCluster(t, 2)
			base := c.floor()
			c.start(1, fmt.Sprintf("_SIZE=%d", *size), fmt.Sprintf("_TEXT=%d", text))
			c.view(1, 1)
			c.join(2)
			rate := c.restored(2, *size)
			c.view(2, 2)
			from, to := c.stats(1), c.stats(2)
			if to.restarted+to.reasked > 0 || to.in != int64(*size) {
				t.Errorf("%+v", to)
			}
			t.Logf("%d MiB: %.0f MB/s, floor %.0f MB/s, ratio %.2f; %.0f MB on the wire; "+
				"peak memory above the state: source %d MiB, newcomer %d MiB; processor time: "+
				"source %v, newcomer %v", *size>>20, rate/1e6, base/1e6, rate/base,
				float64(to.wire)/1e6, (from.peak-int64(*size))>>20, (to.peak-int64(*size))>>20,
				time.Duration(from.cpu), time.Duration(to.cpu))
		})
	}
}

// TestKilled kills the source when half of the state has come: another goes on
// where it was.
func TestKilled(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, fmt.Sprintf("_SIZE=%d", *size))
	c.view(1, 1)
	c.join(2)
	c.restored(2, *size)
	c.view(2, 2)
	c.join(3)
	// The newcomer is the only one that transfers, so it asks the first server.
	first := 1
	c.procs[3].Wait(fmt.Sprintf(`^HAVE %d`, *size/2/piece*piece), time.Minute)
	c.lab.Kill(first)
	rate := c.restored(3, *size)
	s := c.stats(3)
	t.Logf("%d MiB, the source killed half way: %.0f MB/s; %d bytes came twice; restarted %d, "+
		"reasked %d, skipped %d MiB", *size>>20, rate/1e6, s.in-int64(*size), s.restarted,
		s.reasked, c.stats(2).skipped>>20)
	if s.in < int64(*size) || s.in > int64(*size)+16<<20 || s.restarted > 0 || s.reasked != 1 {
		t.Errorf("%+v", s)
	}
}

// TestCasts measures what a transfer does to a stream of 10,000 Safe casts a
// second.
func TestCasts(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, fmt.Sprintf("_SIZE=%d", *size))
	c.view(1, 1)
	c.start(3, "_CLIENT=1")
	c.procs[3].Wait(`^VIEW \d+ members 2`, time.Minute)
	latency := func(what string) {
		c.procs[1].Say("latency")
		_, s := c.procs[1].Wait(`^LATENCY count (\d+) p50 (\d+) p99 (\d+) max (\d+)`, time.Minute)
		t.Logf("%s: %s casts, p50 %v, p99 %v, longest %v", what, s[1], time.Duration(num(s[2])),
			time.Duration(num(s[3])), time.Duration(num(s[4])))
		if num(s[1]) == 0 {
			t.Error("no casts")
		}
	}
	c.procs[3].Say("cast 10000 1000")
	c.procs[3].Wait("^CAST", time.Minute)
	latency("idle")
	c.procs[3].Say("cast 10000 60000")
	c.join(2)
	c.procs[2].Wait(`^VIEW`, time.Minute)
	latency("until the newcomer's view")
	rate := c.restored(2, *size)
	latency(fmt.Sprintf("during a transfer at %.0f MB/s", rate/1e6))
}
