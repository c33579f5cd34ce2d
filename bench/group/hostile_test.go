//go:build linux

package group

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"maestro/internal/netlab"
	"maestro/stack/check"
)

// These tests do to a group what networks, hosts and strangers do at their worst.
// Members write traces, which are judged at the end.

const (
	hostileEnv = "MAESTRO_BENCH_HOSTILE" // the folder of traces
	labelEnv   = "MAESTRO_BENCH_LABEL"
)

// maxRSS is what a member may ever occupy, in KiB.
const maxRSS = 150 << 10

// traced has the members started from now on write traces.
func (c *cluster) traced() *cluster {
	c.env = []string{hostileEnv + "=" + c.TempDir()}
	return c
}

// judge ends all members and checks their traces.
func (c *cluster) judge() check.Report {
	c.Helper()
	for _, p := range c.procs[1:] {
		if p == nil {
			continue
		}
		p.Say("quit")
		if code := p.Exit(5 * time.Second); code != 0 {
			c.Errorf("member %d ended with %d", p.Member, code)
		}
		for _, l := range p.Output() {
			if strings.HasPrefix(l.Text, "EXIT") || strings.Contains(l.Text, "internal error") {
				c.Errorf("member %d: %s", p.Member, l.Text)
			}
		}
	}
	dir := strings.TrimPrefix(c.env[0], hostileEnv+"=")
	files, _ := filepath.Glob(filepath.Join(dir, "*.trace"))
	r, err := check.Files(check.VSync(), files...)
	if err != nil {
		c.Fatal(err)
	}
	return r
}

// sound fails unless the traces have no violation.
func (c *cluster) sound() {
	c.Helper()
	r := c.judge()
	if !r.OK() {
		c.Errorf("%s", r.Detail())
	}
	c.Logf("%d events, %d views, %d casts, %d deliveries", r.Stats.Events, r.Stats.Views,
		r.Stats.Sent, r.Stats.Deliveries)
}

// memory fails if a member has occupied too much.
func (c *cluster) memory(members ...int) {
	c.Helper()
	for _, i := range members {
		kib := c.occupied(i)
		c.Logf("member %d has occupied %d MiB at most", i, kib>>10)
		if kib > maxRSS {
			c.Errorf("member %d has occupied %d KiB", i, kib)
		}
	}
}

// occupied is the most memory that a member has had, in KiB.
func (c *cluster) occupied(i int) int64 {
	c.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.procs[i].Pid()))
	if err != nil {
		c.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		c.Fatalf("member %d: no VmHWM", i)
	}
	return num(string(m[1]))
}

// counters reads a member's counters by name.
func (c *cluster) counters(i int) map[string]int64 {
	c.Helper()
	c.procs[i].Say("report")
	_, loop := c.procs[i].Wait("^LOOP (.*)", 10*time.Second)
	line, _ := c.procs[i].Wait("^COUNTERS ", 10*time.Second)
	all := map[string]int64{}
	re := regexp.MustCompile(`(\w+):(\d+)`)
	for _, m := range re.FindAllStringSubmatch(loop[1]+" "+line.Text, -1) {
		all[m[1]] = num(m[2])
	}
	return all
}

var viewLine = regexp.MustCompile(`^VIEW \d+ (\d+) (\S+) rank`)

// last is the last view that a member has told, and how many it has told.
func (c *cluster) last(i int) (members int, id string, views int) {
	for _, l := range c.procs[i].Output() {
		if m := viewLine.FindStringSubmatch(l.Text); m != nil {
			members, id, views = int(num(m[1])), m[2], views+1
		}
	}
	return members, id, views
}

// one waits until the members are in one view of n, and stay in it for a while.
func (c *cluster) one(n int, d time.Duration, members ...int) {
	c.Helper()
	began := time.Now()
	var since time.Time
	for ; time.Since(began) < d+time.Second; time.Sleep(10 * time.Millisecond) {
		_, want, _ := c.last(members[0])
		same := true
		for _, i := range members {
			k, id, _ := c.last(i)
			same = same && k == n && id == want
		}
		switch {
		case !same:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > time.Second:
			c.Logf("one view of %d after %v", n, since.Sub(began).Round(time.Millisecond))
			return
		}
	}
	for _, i := range members {
		k, id, views := c.last(i)
		c.procs[i].Say("report")
		c.procs[i].Say("dump")
		_, dump := c.procs[i].Wait(`^DUMP (.*)`, 5*time.Second)
		c.Logf("member %d: view %d, %s, of %d\n%s", i, views, id, k, dump[1])
	}
	c.Fatalf("not one view of %d within %v", n, d)
}

// steady fails if a member has told more views than when it was called first.
func (c *cluster) steady(members ...int) (verify func()) {
	before := map[int]int{}
	for _, i := range members {
		_, _, before[i] = c.last(i)
	}
	return func() {
		c.Helper()
		for _, i := range members {
			if _, id, n := c.last(i); n != before[i] {
				c.Errorf("member %d has changed its view %d times, to %s", i, n-before[i], id)
			}
		}
	}
}

// cast has members cast and does something meanwhile. It returns what they have
// sent in all.
func (c *cluster) cast(members []int, line string, meanwhile func()) (total int64) {
	c.Helper()
	for _, i := range members {
		c.procs[i].Say("%s", line)
	}
	meanwhile()
	for _, i := range members {
		_, s := c.procs[i].Wait(`^SENT (\d+)`, 30*time.Second)
		total += num(s[1])
	}
	return total
}

// delivered waits until each member has delivered exactly so many messages.
func (c *cluster) delivered(total int64, d time.Duration, members ...int) {
	c.Helper()
	for _, i := range members {
		n := int64(0)
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if n = c.report(i).count; n >= total {
				break
			}
		}
		if n != total {
			c.Errorf("member %d has delivered %d of %d messages", i, n, total)
		}
	}
}

func TestFlood(t *testing.T) {
	c := newCluster(t, 4, netlab.Options{GSO: true}).traced()
	c.together(3)
	e := newEnemy(c, 4)
	total := c.cast([]int{1, 2, 3}, "stream 200 4500 500", func() {
		e.listen(500 * time.Millisecond)
		verify := c.steady(1, 2, 3)
		e.flood(3*time.Second, e.garbage)
		time.Sleep(600 * time.Millisecond) // more than Silence
		verify()
	})
	c.delivered(total, 5*time.Second, 1, 2, 3)
	for i := 1; i <= 3; i++ {
		n := c.counters(i)
		t.Logf("member %d: malformed %d, other view %d, other group %d, socket drops %d, "+
			"repairs %d", i, n["Malformed"], n["OtherView"], n["OtherGroup"], n["SocketDrops"],
			n["Repairs"])
		if n["Malformed"] == 0 || n["OtherView"]+n["OtherGroup"] == 0 {
			t.Errorf("member %d has not counted what it dropped", i)
		}
	}
	c.memory(1, 2, 3)
	// A failed member that speaks on in the old view is counted too.
	c.lab.Pause(3)
	c.view(1, 2, 5*time.Second)
	time.Sleep(100 * time.Millisecond)
	c.lab.Resume(3)
	c.one(3, 5*time.Second, 1, 2, 3)
	if a, b := c.counters(1)["FromFailed"], c.counters(2)["FromFailed"]; a+b == 0 {
		t.Error("nothing of the failed member has been counted")
	}
	c.sound()
}

// Well-formed presences, merges and the like of members that do not exist can
// make a group without authentication change its view. They must not do more.
func TestForged(t *testing.T) {
	t.Run("closed ports", func(t *testing.T) { forged(t, false, 12*time.Second) })
	// What is sent to hosts that do not answer ARP fills the send buffer for
	// seconds, so that the live members hear nothing of each other either.
	t.Run("dark hosts", func(t *testing.T) { forged(t, true, 12*time.Second) })
}

func forged(t *testing.T, dark bool, within time.Duration) {
	c := newCluster(t, 4, netlab.Options{GSO: true}).traced()
	c.together(3)
	e := newEnemy(c, 4)
	e.dark = dark
	c.cast([]int{1, 2, 3}, "stream 200 4500 500", func() {
		e.listen(500 * time.Millisecond)
		e.flood(3*time.Second, e.forged)
		c.one(3, within, 1, 2, 3)
	})
	_, _, views := c.last(1)
	t.Logf("member 1 has seen %d views", views)
	c.memory(1, 2, 3)
	before := c.report(1).count
	total := c.cast([]int{1, 2, 3}, "stream 200 300", func() {})
	c.delivered(before+total, 5*time.Second, 1)
	c.sound()
}

// Two groups and two stacks share one multicast address and port.
func TestNeighbours(t *testing.T) {
	c := newCluster(t, 6, netlab.Options{GSO: true}).traced()
	dir := c.env[0]
	for i, env := range []string{"", labelEnv + "=others", childEnv + "_TOTAL=1"} {
		c.env = []string{dir}
		if env != "" {
			c.env = append(c.env, env)
		}
		c.start(2*i + 1)
		c.start(2*i + 2)
		c.view(2*i+1, 2, 5*time.Second)
		c.view(2*i+2, 2, 5*time.Second)
	}
	verify := c.steady(1, 2, 3, 4, 5, 6)
	var sent [7]int64
	for i := 1; i <= 6; i++ {
		c.procs[i].Say("stream 1000 1500 2000")
	}
	for i := 1; i <= 6; i++ {
		_, s := c.procs[i].Wait(`^SENT (\d+)`, 20*time.Second)
		sent[i] = num(s[1])
	}
	for i := 1; i <= 6; i += 2 {
		c.delivered(sent[i]+sent[i+1], 5*time.Second, i, i+1)
	}
	verify()
	for i := 1; i <= 6; i++ {
		n := c.counters(i)
		t.Logf("member %d: other view %d, other group %d, malformed %d", i, n["OtherView"],
			n["OtherGroup"], n["Malformed"])
		if n["OtherView"]+n["OtherGroup"] == 0 || n["Malformed"] != 0 {
			t.Errorf("member %d has not counted what it dropped", i)
		}
	}
	c.memory(1, 2, 3, 4, 5, 6)
	c.sound()
}

func TestDuplicates(t *testing.T) {
	c := newCluster(t, 3, netlab.Options{}).traced()
	c.together(3)
	verify := c.steady(1, 2, 3)
	for i := 1; i <= 3; i++ {
		c.lab.Dup(i, i) // each, each second, each third
	}
	total := c.cast([]int{1, 2, 3}, "stream 1000 1500", func() {})
	c.delivered(total, 10*time.Second, 1, 2, 3)
	c.procs[2].Say("rpc 64 200")
	c.procs[2].Wait("^RPC", 20*time.Second)
	verify()
	for i := 1; i <= 3; i++ {
		n := c.counters(i)
		t.Logf("member %d: %d duplicates", i, n["Duplicates"])
		if n["Duplicates"] == 0 {
			t.Errorf("member %d has seen no duplicates", i)
		}
	}
	c.memory(1, 2, 3)
	c.sound()
}

// A group that is not authenticated trusts the checksum of UDP. What that does
// not notice can do anything but end a process: this tells what it does.
func TestCorrupt(t *testing.T) {
	for _, at := range []struct {
		name   string
		offset int
		rate   string
	}{{"kind", 2, "5000"}, {"sender", 4, "5000"}, {"low", 6, "5000"}, {"conn", 8, "5000"},
		{"seq", 16, ""}, {"highseq", 20, "5000"}, {"frame", 24, "5000"}, {"body", 200, "5000"}} {
		t.Run(at.name, func(t *testing.T) {
			c := newCluster(t, 3, netlab.Options{}).traced()
			c.together(3)
			c.lab.Corrupt(3, 20, at.offset)
			total := c.cast([]int{1, 2}, "stream 1000 1000 "+at.rate, func() {})
			c.lab.Calm()
			c.one(3, 5*time.Second, 1, 2, 3)
			_, _, views := c.last(3)
			n := c.counters(3)
			got, kib := c.report(3).count, c.occupied(3)
			r := c.judge() // fails if a member has not ended in order
			t.Logf("%s: %d sent, %d delivered, %d views, %d MiB, malformed %d, other view %d, "+
				"naks %d: violations %v", at.name, total, got, views, kib>>10, n["Malformed"],
				n["OtherView"], n["NaksOut"], r.Counts)
		})
	}
}

// A slow application throttles the senders and nothing else.
func TestSlow(t *testing.T) {
	c := newCluster(t, 3, netlab.Options{GSO: true}).traced()
	c.together(3)
	verify := c.steady(1, 2, 3)
	c.procs[3].Say("slow 1")
	total := c.cast([]int{1, 2}, "stream 8000 4000", func() {})
	t.Logf("a handler of 1 ms: %d messages in 4 s", total)
	if total < 2000 {
		t.Errorf("only %d messages were sent", total)
	}
	c.procs[3].Say("slow 0")
	c.delivered(total, 10*time.Second, 1, 2, 3)

	// One call of a handler that takes half of StallLimit.
	c.procs[3].Say("slow 5000")
	more := c.cast([]int{1, 2}, "stream 8000 6500", func() {
		time.Sleep(500 * time.Millisecond)
		c.procs[3].Say("slow 0")
		time.Sleep(2 * time.Second)
		verify()
	})
	t.Logf("a handler of 5 s: %d messages in 6.5 s", more)
	total += more
	c.delivered(total, 10*time.Second, 1, 2, 3)
	verify()
	slow, n := c.counters(3), c.counters(1)
	t.Logf("stand-ins %d, longest turn %d, senders limited %d times", slow["StandIns"],
		slow["MaxTurn"], n["FlowLimited"])
	if slow["StandIns"] == 0 || n["FlowLimited"] == 0 {
		t.Error("no stand-in, or no sender was throttled")
	}
	c.memory(1, 2, 3)
	c.sound()
}

// A pause shorter than Silence costs nobody its place, and no message.
func TestShortPauses(t *testing.T) {
	c := newCluster(t, 3, netlab.Options{GSO: true}).traced()
	c.together(3)
	verify := c.steady(1, 2, 3)
	total := c.cast([]int{1, 2, 3}, "stream 1000 4000", func() {
		for _, i := range []int{1, 2, 3, 1, 2, 3} {
			time.Sleep(300 * time.Millisecond)
			c.lab.Pause(i)
			time.Sleep(300 * time.Millisecond)
			c.lab.Resume(i)
		}
	})
	c.delivered(total, 10*time.Second, 1, 2, 3)
	verify()
	for i := 1; i <= 3; i++ {
		n := c.counters(i)
		t.Logf("member %d: socket drops %d, naks %d, repairs %d, own stalls %d", i,
			n["SocketDrops"], n["NaksOut"], n["Repairs"], n["SelfStalls"])
	}
	c.memory(1, 2, 3)
	c.sound()
}
