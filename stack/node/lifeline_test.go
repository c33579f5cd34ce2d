package node

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"maestro/layers"
	"maestro/stack"
	"maestro/wire"
	"maestro/wire/udp"
)

// TestLifeline ends a member without a word. Its silence would be noticed a minute later, by
// probes nobody would: only the lifeline tells.
func TestLifeline(t *testing.T) {
	for i, portable := range []bool{false, true} {
		t.Run(fmt.Sprintf("portable %t", portable), func(t *testing.T) {
			group := netip.AddrPortFrom(netip.MustParseAddr("239.255.77.3"),
				uint16(20000+(os.Getpid()+i)%20000))
			sn, makers := layers.For(0)
			var cs []*counter
			for i := range 3 {
				c := &counter{}
				n, err := Start(Config{
					Stack: stack.Config{Group: "test", StackName: sn, Layers: makers,
						Self:  wire.Endpoint{Name: fmt.Sprint("m", i)},
						Probe: time.Hour, Silence: time.Minute},
					UDP: udp.Config{Group: group, Interface: "lo", Portable: portable},
				}, c)
				if err != nil {
					t.Fatal(err)
				}
				c.n = n
				n.Do(func(g *stack.Group) { _ = g.Join() })
				cs = append(cs, c)
			}
			for _, c := range cs {
				until(t, "one view of 3", 5*time.Second, func() bool { return members(c) == 3 })
			}
			for _, c := range cs {
				until(t, "a lifeline", 5*time.Second, func() (held bool) {
					c.n.Do(func(g *stack.Group) {
						v := g.View()
						held = c.n.conn.Watch(v.Members[(v.Rank+1)%len(v.Members)].Addr)
					})
					return held
				})
			}
			began := time.Now()
			if err := cs[1].n.Close(); err != nil {
				t.Error(err)
			}
			for _, c := range []*counter{cs[0], cs[2]} {
				until(t, "a view of 2", 10*time.Second, func() bool { return members(c) == 2 })
			}
			t.Logf("noticed after %v", time.Since(began))
			for _, c := range []*counter{cs[0], cs[2]} {
				if err := c.n.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
