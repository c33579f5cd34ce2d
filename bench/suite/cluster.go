package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"maestro/bench/floor"
	"maestro/bench/group"
	"maestro/stack"
)

// The ports of a run's groups; each cluster has the next one.
const (
	floorPort = 17080
	firstPort = 17081
)

// The times that a cluster is given.
const (
	formTime  = 20 * time.Second // to form a view
	replyTime = 10 * time.Second
	drainTime = 20 * time.Second // for what has been sent to arrive
)

const unknown = time.Duration(1<<63 - 1)

// spins is how long a member's loop polls in one of the ways to wait, unknown if
// the stack has no such way.
func spins(wait string) time.Duration {
	switch floor.Wait(wait) {
	case "", floor.Block:
		return 0
	case floor.Hybrid:
		return floor.HybridSpin
	case floor.Spin:
		return -1
	}
	return unknown
}

// address is the group's own on this network: runs that share the loopback
// interface do not hear each other.
func (w *network) address(port uint16) netip.AddrPort {
	a := [4]byte{239, 255, 70, 70}
	if w.lab == nil {
		p := pid()
		a = [4]byte{239, 255, byte(p >> 8), byte(p)}
	}
	return netip.AddrPortFrom(netip.AddrFrom4(a), port)
}

// cluster is the members of one group on a network, from 1.
type cluster struct {
	*network
	cfg   group.Config
	procs []*proc
}

// newCluster readies a group; its members are started by start. Clusters of one
// network have different numbers.
func (w *network) newCluster(number int, stackName, wait string) (*cluster, error) {
	want, err := Stack(stackName)
	if err != nil {
		return nil, err
	}
	return &cluster{network: w, procs: make([]*proc, w.n+1), cfg: group.Config{
		Group: w.address(firstPort + uint16(number)), Interface: w.iface, Props: want,
		Spin: spins(wait), Thread: w.o.Thread,
		Label: fmt.Sprintf("bench-%d-%d", pid(), number)}}, nil
}

// cluster makes a group of all of the network's members, in one view.
func (w *network) cluster(number int, stackName, wait string) (*cluster, error) {
	c, err := w.newCluster(number, stackName, wait)
	if err != nil {
		return nil, err
	}
	return c, c.together(w.n)
}

// launch starts member i.
func (c *cluster) launch(i int) error {
	cfg := c.cfg
	cfg.Name, cfg.Interface = fmt.Sprintf("m%d", i), c.interfaceOf(i)
	arg, err := json.Marshal(&cfg)
	if err != nil {
		return fmt.Errorf("suite: %w", err)
	}
	p, err := c.network.start(i, "member", string(arg))
	if err == nil {
		c.procs[i] = p
		go c.guard(p)
	}
	return err
}

// together starts members 1 to n and waits for their one view.
func (c *cluster) together(n int) error {
	for i := 1; i <= n; i++ {
		if err := c.launch(i); err != nil {
			return err
		}
	}
	_, err := c.views(n, 1, n)
	return err
}

// view is what a member tells of a view.
type view struct {
	at      time.Time
	blocked time.Duration
}

// view waits for a view of n members at member i.
func (c *cluster) view(i, n int) (v view, err error) {
	f, err := c.procs[i].wait(c.ctx, "VIEW", formTime, func(f []string) bool {
		return len(f) == 7 && f[1] == strconv.Itoa(n)
	})
	if err != nil {
		return v, fmt.Errorf("%w (a view of %d)", err, n)
	}
	return view{c.local(i, time.Unix(0, number(f[0]))), time.Duration(number(f[6]))}, nil
}

// views waits for a view of n members at members first to last, and returns when
// the last of them had it and the longest time that one was blocked.
func (c *cluster) views(n, first, last int) (all view, err error) {
	for i := first; i <= last; i++ {
		v, err := c.view(i, n)
		if err != nil {
			return all, err
		}
		if v.at.After(all.at) {
			all.at = v.at
		}
		all.blocked = max(all.blocked, v.blocked)
	}
	return all, nil
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// when waits for a line that tells a time.
func (c *cluster) when(i int, word string) (time.Time, error) {
	f, err := c.procs[i].wait(c.ctx, word, replyTime, nil)
	if err != nil {
		return time.Time{}, err
	}
	return c.local(i, time.Unix(0, number(f[0]))), nil
}

// each calls f with the number of each member that runs, until an error.
func (c *cluster) each(f func(i int) error) error {
	for i := 1; i < len(c.procs); i++ {
		if p := c.procs[i]; p != nil && p.live() {
			if err := f(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// reset has all members forget what they have counted.
func (c *cluster) reset() error {
	say := func(i int) error { return c.procs[i].say("reset") }
	hear := func(i int) error {
		_, err := c.procs[i].wait(c.ctx, "RESET", replyTime, nil)
		return err
	}
	return errors.Join(c.each(say), c.each(hear))
}

// stats asks member i what it has counted since the reset.
func (c *cluster) stats(i int) (*group.Stats, error) {
	if err := c.procs[i].say("stats"); err != nil {
		return nil, err
	}
	f, err := c.procs[i].wait(c.ctx, "STATS", replyTime, nil)
	if err != nil {
		return nil, err
	}
	s := &group.Stats{}
	if err := json.Unmarshal([]byte(f[0]), s); err != nil {
		return nil, fmt.Errorf("suite: member %d: %w", i, err)
	}
	return s, nil
}

// allStats is what all members have counted, by number; 0 is not used.
func (c *cluster) allStats() ([]*group.Stats, error) {
	all := make([]*group.Stats, len(c.procs))
	err := c.each(func(i int) (err error) {
		all[i], err = c.stats(i)
		return err
	})
	return all, err
}

// count is how many messages member i has delivered.
func (c *cluster) count(i int) (int64, error) {
	if err := c.procs[i].say("count"); err != nil {
		return 0, err
	}
	f, err := c.procs[i].wait(c.ctx, "COUNT", replyTime, nil)
	if err != nil {
		return 0, err
	}
	return number(f[0]), nil
}

// drained waits until all members have delivered what each has sent.
func (c *cluster) drained(sent map[int]int64) error {
	end := time.Now().Add(drainTime)
	total := int64(0)
	for _, n := range sent {
		total += n
	}
	return c.each(func(i int) error {
		want := total
		if c.cfg.Props&stack.NoLocal != 0 {
			want -= sent[i]
		}
		for {
			n, err := c.count(i)
			if err != nil || n == want {
				return err
			}
			if n > want || time.Now().After(end) {
				what := fmt.Sprintf("has delivered %d of %d messages", n, want)
				return c.procs[i].trouble(what, nil)
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}

// work gives the senders a command that ends with SENT and the number of casts,
// and waits until all members have delivered all of them. It returns what they
// have counted.
func (c *cluster) work(senders []int, d time.Duration, command string) ([]*group.Stats, error) {
	if err := c.reset(); err != nil {
		return nil, err
	}
	for _, i := range senders {
		if err := c.procs[i].say("%s", command); err != nil {
			return nil, err
		}
	}
	sent := map[int]int64{}
	for _, i := range senders {
		f, err := c.procs[i].wait(c.ctx, "SENT", d+drainTime, anyFields)
		if err != nil {
			return nil, err
		}
		sent[i] = number(f[0])
	}
	if err := c.drained(sent); err != nil {
		return nil, err
	}
	return c.allStats()
}

// anyFields takes any line, in words.
func anyFields([]string) bool { return true }

// end ends all members of the cluster, which leave nobody behind.
func (c *cluster) end() {
	for _, p := range c.procs {
		if p != nil {
			p.kill()
			c.forget(p)
		}
	}
	c.settle()
}
