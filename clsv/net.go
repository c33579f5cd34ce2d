package clsv

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	"maestro/layers"
	"maestro/stack"
	"maestro/stack/node"
	"maestro/wire"
)

// Net is the Driver of real sockets. The zero value is what New uses.
type Net struct {
	// Change may change what a member's node is set up with, such as its
	// transport.
	Change func(c *node.Config)
}

// Start opens the sockets and starts the event loop.
func (d Net) Start(o *GroupOptions, app stack.Runner) (Runtime, error) {
	name := o.Name
	if name == "" {
		host, _ := os.Hostname() // empty will do
		name = fmt.Sprintf("%.40s-%d", host, os.Getpid())
	}
	cfg := StackConfig(o)
	cfg.Self = wire.Endpoint{Name: name}
	t := &o.Transport
	group := t.Group
	if !group.IsValid() {
		group = GroupAddr(o.Group)
	}
	nc := node.Config{Stack: cfg, Log: o.Logger}
	nc.UDP.Group, nc.UDP.Interface, nc.UDP.TTL = group, t.Interface, t.TTL
	nc.UDP.Peers, nc.UDP.Bind, nc.UDP.Log = t.Peers, t.Bind, o.Logger
	if d.Change != nil {
		d.Change(&nc)
	}
	n, err := node.Start(nc, app)
	if err != nil {
		return nil, err
	}
	return (*netRuntime)(n), nil
}

// StackConfig is the configuration of the stack that options ask for, without
// the member's name and address. It is for drivers.
func StackConfig(o *GroupOptions) stack.Config {
	var want stack.Props
	if o.Total {
		want |= stack.Total
	}
	if o.NoLocal {
		want |= stack.NoLocal
	}
	name, makers := layers.For(want)
	return stack.Config{Group: o.Group, StackName: name, Layers: makers, NoLocal: o.NoLocal,
		Bootstrap: o.Bootstrap, Batches: true, Heartbeat: o.Heartbeat, Silence: o.Silence,
		Discovery: o.Discovery, BlockTimeout: o.BlockTimeout}
}

// GroupAddr is the multicast address and port that follow from the name of a
// group: in 239.192.0.0/14, the range for use within an organisation (RFC
// 2365).
func GroupAddr(group string) netip.AddrPort {
	h := wire.ConnID(group, 0, wire.ViewID{}, "")
	a := [4]byte{239, 192 | byte(h>>16)&3, byte(h >> 8), byte(h)}
	return netip.AddrPortFrom(netip.AddrFrom4(a), 20000+uint16(h>>24)%20000)
}

// netRuntime is a node as a Runtime.
type netRuntime node.Node

func (r *netRuntime) Do(f func(g *stack.Group)) { (*node.Node)(r).Do(f) }

func (r *netRuntime) Go(f func()) { go f() }

func (r *netRuntime) Wait(ctx context.Context, done <-chan struct{}, limit time.Duration) error {
	var late <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-late:
		return context.DeadlineExceeded
	}
}

func (r *netRuntime) Close() error {
	if inCallback() {
		go (*node.Node)(r).Close() //nolint:errcheck // nobody is left to tell
		return nil
	}
	return (*node.Node)(r).Close()
}

// socketStats adds what the loop and the sockets count.
func (r *netRuntime) socketStats(s *Stats) {
	n := (*node.Node)(r)
	loop, sockets := n.Stats()
	s.Loop, s.Sockets, s.Transport = loop, SocketStats(sockets), n.Describe()
}
