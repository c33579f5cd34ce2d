package clsv_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
)

// crashCase is something that happens to a group, during which members crash.
type crashCase struct {
	name     string
	exchange bool
	setup    func(c *chaos)
	begin    func(c *chaos)
}

// crashCases are those that RND-4 goes through, with up to five members.
func crashCases() []crashCase {
	var l []crashCase
	base := func(c *chaos, n ...string) { // S=[K A] C=[c]
		c.one("K", server(clsv.FreeXfer))
		c.one("A", server(clsv.FreeXfer))
		for _, n := range n {
			c.one(n, client)
		}
	}
	for _, x := range []clsv.Xfer{clsv.FreeXfer, clsv.ProtectedXfer, clsv.AtomicXfer} {
		for _, exchange := range []bool{false, true} {
			if exchange && x == clsv.ProtectedXfer {
				continue // nothing new
			}
			l = append(l, crashCase{fmt.Sprintf("CJ-05 %v exchange=%t", x, exchange), exchange,
				func(c *chaos) { base(c, "c"); c.add("X", server(x)) },
				func(c *chaos) { c.join("X") }})
		}
	}
	for _, who := range []string{"K", "A"} {
		l = append(l, crashCase{"leave of " + who, false,
			func(c *chaos) { base(c, "c", "d"); c.one("X", server(clsv.AtomicXfer)) },
			func(c *chaos) { _ = c.all[who].m.StartLeave(); c.gone(who) }})
	}
	sides := func(c *chaos) { // P=[A B c], Q=[D E], where E transfers
		for n, o := range map[string]clsv.Options{"A": server(clsv.FreeXfer),
			"B": server(clsv.FreeXfer), "D": server(clsv.FreeXfer),
			"E": server(clsv.AtomicXfer), "c": client} {
			c.opts[n] = o
		}
		c.c.Partition([]string{"A", "B", "c"}, []string{"D", "E"})
		for _, n := range []string{"A", "B", "c", "D"} {
			c.one(n, c.opts[n])
		}
		c.lazyOne = "E"
		c.one("E", c.opts["E"])
		c.lazyOne = ""
	}
	for _, exchange := range []bool{false, true} {
		l = append(l, crashCase{fmt.Sprintf("MG-01 exchange=%t", exchange), exchange, sides,
			func(c *chaos) { c.c.Heal() }})
	}
	l = append(l, crashCase{"XF-07", false,
		func(c *chaos) {
			base(c, "c")
			c.mute = "A" // which X asks
			c.one("X", server(clsv.AtomicXfer))
		},
		func(c *chaos) { c.c.Crash("A"); c.gone("A") }})
	return append(l, crashCase{"start together", false,
		func(c *chaos) {
			for i := range 4 {
				c.add(fmt.Sprint("s", i), server(clsv.FreeXfer))
			}
			c.add("c", client)
		},
		func(c *chaos) {
			for _, n := range slices.Clone(c.names) {
				c.join(n)
			}
		}})
}

// one adds a member, which joins, and waits until nothing is left to do but what
// is put off on purpose.
func (c *chaos) one(n string, o clsv.Options) {
	c.add(n, o)
	c.join(n)
	c.c.Wait(time.Second, func() bool {
		v := c.all[n].m.View()
		return v != nil && (v.State == clsv.ClientNormal || v.State == clsv.ServerNormal ||
			v.State == clsv.ServerXfer && (n == c.lazyOne || c.mute != ""))
	})
	c.c.Run(20 * ms)
}

// gone takes a member off the list of those who shall be in the group.
func (c *chaos) gone(n string) {
	c.names = slices.DeleteFunc(c.names, func(m string) bool { return m == n })
}

// point is a crash of a member before or after its k-th transmission, of its
// process or of its host.
type point struct {
	who         string
	k           int
	after, host bool
}

// run runs the case with a crash, or with none, and counts transmissions until
// it is quiet.
func (x *crashCase) run(t *testing.T, sum *steps, at point) map[string]int {
	p := plan{seed: 1, equal: true, exchange: x.exchange}
	c := p.new(t, sum, clsvtest.Config{})
	c.calm = true // but for the crash
	defer c.close()
	x.setup(c)
	count, watched := map[string]int{}, map[string]bool{}
	watch := func(n string) { // once it has started
		m := c.c.World.Member(n)
		if m == nil || watched[n] {
			return
		}
		watched[n] = true
		if n == at.who && !at.host {
			c.c.CrashAt(n, at.k, at.after)
		}
		m.OnTransmit = func(netip.AddrPort, []byte, int) {
			if count[n]++; n == at.who && at.host && count[n] == at.k {
				m.CrashHost()
			}
		}
	}
	members := slices.Clone(c.names)
	for _, n := range members {
		watch(n)
	}
	x.begin(c)
	for _, n := range members {
		watch(n)
		c.talk(n)
	}
	if at.k > 0 {
		c.c.Wait(time.Second, func() bool { return !c.live(at.who) })
		c.gone(at.who)
		if at.host {
			c.c.Run(600 * ms) // until all have noticed
		}
	} else {
		c.c.Run(3 * ms)
	}
	c.c.Wait(settling, c.isQuiet)
	counted := maps.Clone(count)
	c.finish(settling)
	return counted
}

// talk has a member send while things happen.
func (c *chaos) talk(n string) {
	for i := range 3 {
		c.c.World.After(time.Duration(i)*ms, func() {
			_, _ = c.all[n].m.TryScast([]byte{'g', n[0], byte(i)})
		})
	}
}

func (c *chaos) live(n string) bool {
	m := c.c.World.Member(n)
	return m != nil && m.Live()
}

// TestRND4 crashes each member at each of its transmissions, from when something
// happens to the group until it is quiet again: all must come to INV-L.
func TestRND4(t *testing.T) {
	var sum steps
	var runs atomic.Int64
	for _, x := range crashCases() {
		t.Run(x.name, func(t *testing.T) {
			var points []point
			count := x.run(t, &sum, point{})
			for _, who := range slices.Sorted(maps.Keys(count)) {
				for k := 1; k <= count[who]; k++ {
					points = append(points, point{who, k, false, false},
						point{who, k, true, false})
					if k%4 == 1 || *rndSeeds >= 1000 { // takes longer
						points = append(points, point{who, k, false, true})
					}
				}
			}
			if testing.Short() {
				points = points[:len(points)/10]
			}
			each(len(points), func(i int) {
				if t.Failed() {
					return
				}
				at := points[i]
				t.Run(fmt.Sprintf("%s at %d after=%t host=%t", at.who, at.k, at.after,
					at.host),
					func(t *testing.T) { x.run(t, &sum, at) })
				runs.Add(1)
			})
		})
	}
	t.Logf("%d crashes: %v", runs.Load(), &sum)
}
