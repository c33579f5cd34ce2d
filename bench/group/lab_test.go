//go:build linux

package group

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"maestro/bench/floor"
	"maestro/internal/netlab"
)

const (
	childEnv = "MAESTRO_BENCH_GROUP" // the member's name; set in its process
	groupEnv = childEnv + "_ADDRESS" // another group address than the usual one
	peersEnv = childEnv + "_PEERS"   // no multicast: the members' addresses
)

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

// childConfig is what a member's process is told by its environment.
func childConfig(name string) Config {
	cfg := Config{Name: name, Group: netip.MustParseAddrPort("239.255.70.71:17071"),
		Interface: "eth0", Total: os.Getenv(childEnv+"_TOTAL") != "", Label: os.Getenv(labelEnv)}
	if dir := os.Getenv(hostileEnv); dir != "" {
		cfg.Trace = filepath.Join(dir, fmt.Sprintf("%s-%d.trace", name, os.Getpid()))
	}
	if g := os.Getenv(groupEnv); g != "" {
		cfg.Group = netip.MustParseAddrPort(g)
	}
	if list := os.Getenv(peersEnv); list != "" {
		for _, p := range strings.Split(list, ",") {
			cfg.Peers = append(cfg.Peers, netip.MustParseAddrPort(p))
		}
		cfg.Bind = netip.AddrPortFrom(netip.IPv4Unspecified(), cfg.Peers[0].Port())
	}
	return cfg
}

// cluster is members in the namespaces of a lab.
type cluster struct {
	testing.TB
	lab   *netlab.Lab
	procs []*netlab.Proc // by member, from 1
	env   []string
}

func newCluster(t testing.TB, n int, o netlab.Options) *cluster {
	return &cluster{TB: t, lab: netlab.New(t, n, o), procs: make([]*netlab.Proc, n+1)}
}

// start starts member i.
func (c *cluster) start(i int) *netlab.Proc {
	c.Helper()
	exe, err := os.Executable()
	if err != nil {
		c.Fatal(err)
	}
	args := append(slices.Clone(c.env), fmt.Sprintf("%s=m%d", childEnv, i), exe)
	c.procs[i] = c.lab.Start(i, "env", args...)
	return c.procs[i]
}

// together starts members 1 to n and waits for their one view.
func (c *cluster) together(n int) {
	c.Helper()
	for i := 1; i <= n; i++ {
		c.start(i)
	}
	for i := 1; i <= n; i++ {
		c.view(i, n, 10*time.Second)
	}
}

// view waits for a view of n members at member i, and tells when it came and
// how long the member was blocked for it.
func (c *cluster) view(i, n int, d time.Duration) (at time.Time, blocked time.Duration) {
	c.Helper()
	_, sub := c.procs[i].Wait(fmt.Sprintf(`^VIEW (\d+) %d \S+ rank \d+ blocked (\d+)`, n), d)
	return time.Unix(0, num(sub[1])), time.Duration(num(sub[2]))
}

func num(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// report is what a member has delivered.
type report struct {
	count, bytes           int64
	took, stall            time.Duration
	repairs, drops, naks   int64
	perSecond, mbPerSecond float64
}

func (c *cluster) report(i int) report {
	c.Helper()
	c.procs[i].Say("report")
	_, s := c.procs[i].Wait(`^REPORT count (\d+) bytes (\d+) nanos (\d+) stall (\d+) `+
		`repairs (\d+) naks (\d+) drops (\d+)`, 10*time.Second)
	r := report{count: num(s[1]), bytes: num(s[2]), took: time.Duration(num(s[3])),
		stall: time.Duration(num(s[4])), repairs: num(s[5]), naks: num(s[6]), drops: num(s[7])}
	if r.took > 0 {
		r.perSecond = float64(r.count) / r.took.Seconds()
		r.mbPerSecond = float64(r.bytes) / r.took.Seconds() / 1e6
	}
	return r
}

// stream has the senders cast and returns what each member delivered, from 1.
func (c *cluster) stream(senders []int, size int, d time.Duration) []report {
	c.Helper()
	n := len(c.procs) - 1
	for i := 1; i <= n; i++ {
		c.procs[i].Say("reset")
		c.procs[i].Wait("^RESET", 5*time.Second)
	}
	for _, i := range senders {
		c.procs[i].Say("stream %d %d", size, d.Milliseconds())
	}
	total := int64(0)
	for _, i := range senders {
		_, s := c.procs[i].Wait(`^SENT (\d+)`, d+20*time.Second)
		total += num(s[1])
	}
	all := make([]report, n+1)
	for i := 1; i <= n; i++ {
		end := time.Now().Add(20 * time.Second)
		for {
			if all[i] = c.report(i); all[i].count >= total {
				break
			}
			if time.Now().After(end) {
				c.Fatalf("member %d has delivered %d of %d messages", i, all[i].count, total)
			}
			time.Sleep(5 * time.Millisecond)
		}
		if all[i].count != total {
			c.Fatalf("member %d has delivered %d of %d messages", i, all[i].count, total)
		}
	}
	return all
}

func median[T int64 | float64 | time.Duration](v []T) T {
	slices.Sort(v)
	return v[len(v)/2]
}
