package udp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
)

// The defaults of Config, in bytes and hops.
const (
	DefaultRecvBuf = 32 << 20
	DefaultSendBuf = 8 << 20
	DefaultTTL     = 1
)

// Config says which sockets to open. The zero value of every field but Group
// (or Peers) is a sensible default.
type Config struct {
	// Group is the multicast group's address and port, v4 or v6. It is required
	// unless Peers are given, and then it is not used.
	Group netip.AddrPort

	// Core is the address and port of a second multicast group, which the member
	// joins and leaves with SetCore. The default is Group with its last bit
	// flipped. The portable path and unicast to peers have none.
	Core netip.AddrPort

	// Interface is the name or a local address of the interface to use. Empty
	// chooses one: up, able to multicast, with an address, rather a real one
	// than a virtual one; the loopback interface when there is no other.
	Interface string

	// TTL is how many routers a multicast may pass, plus one; 0 means 1.
	TTL int

	// Peers, when not empty, turns multicast off: what is sent to the group is
	// sent to each peer and to each address of SetMembers, but not to ourselves.
	Peers []netip.AddrPort

	// Bind is the address of the unicast socket. The default is an address of
	// the interface and a port of the kernel's choice; an unspecified address
	// with a port fixes the port alone. Without multicast the port is what the
	// other members' lists of peers name.
	Bind netip.AddrPort

	// RecvBuf and SendBuf are the wanted sizes of the kernel's socket buffers
	// in bytes; 0 means 32 MiB and 8 MiB. Without CAP_NET_ADMIN the kernel
	// grants at most net.core.rmem_max and wmem_max; see Conn.RecvBuf.
	RecvBuf, SendBuf int

	// Portable forces the portable path where a faster one exists.
	Portable bool

	// NoOffload turns GSO and GRO off.
	NoOffload bool

	// NoLifeline turns lifelines off, both those that are watched and those of others:
	// there is no TCP listener then, and Watch never holds. See Conn.Watch.
	NoLifeline bool

	// Log is told of rare events, such as an offload that had to be turned off.
	// Nil is silent.
	Log *slog.Logger
}

// withDefaults fills in the zero fields and checks the rest.
func (c Config) withDefaults() (Config, error) {
	c.TTL = orDefault(c.TTL, DefaultTTL)
	c.RecvBuf = orDefault(c.RecvBuf, DefaultRecvBuf)
	c.SendBuf = orDefault(c.SendBuf, DefaultSendBuf)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Group = unmap(c.Group)
	c.Bind = unmap(c.Bind)
	c.Core = unmap(c.Core)
	if c.Group.IsValid() && !c.Core.IsValid() {
		a := c.Group.Addr().AsSlice()
		a[len(a)-1] ^= 1
		ip, _ := netip.AddrFromSlice(a)
		c.Core = netip.AddrPortFrom(ip, c.Group.Port())
	}
	peers := make([]netip.AddrPort, 0, len(c.Peers))
	for _, p := range c.Peers {
		peers = append(peers, unmap(p))
	}
	c.Peers = peers
	return c, c.validate()
}

func orDefault(v, def int) int {
	if v == 0 {
		return def
	}
	return v
}

func (c *Config) validate() error {
	switch {
	case c.TTL < 0 || c.TTL > 255:
		return fmt.Errorf("udp: Config.TTL %d is not in 1..255", c.TTL)
	case c.RecvBuf < 0 || c.SendBuf < 0:
		return errors.New("udp: Config.RecvBuf and SendBuf must not be negative")
	case len(c.Peers) == 0 && !c.Group.IsValid():
		return errors.New("udp: Config.Group or Config.Peers is required")
	case len(c.Peers) == 0 && (!c.Group.Addr().IsMulticast() || c.Group.Port() == 0):
		return fmt.Errorf("udp: Config.Group %v is not a multicast address and port", c.Group)
	case len(c.Peers) == 0 && (!c.Core.Addr().IsMulticast() || c.Core == c.Group ||
		c.Core.Addr().Is4() != c.v4() || c.Core.Port() == 0):
		return fmt.Errorf("udp: Config.Core %v is not a second multicast address and port", c.Core)
	}
	v4 := c.v4()
	for _, p := range c.Peers {
		if !p.IsValid() || p.Port() == 0 || p.Addr().Is4() != v4 {
			return fmt.Errorf("udp: Config.Peers: %v: no port, or not of one family", p)
		}
	}
	if c.Bind.Addr().IsValid() && c.Bind.Addr().Is4() != v4 {
		return fmt.Errorf("udp: Config.Bind %v is not of the others' address family", c.Bind)
	}
	return nil
}

// fanout reports whether copies to each peer replace multicast.
func (c *Config) fanout() bool { return len(c.Peers) > 0 }

// v4 reports the address family of everything.
func (c *Config) v4() bool {
	if c.fanout() {
		return c.Peers[0].Addr().Is4()
	}
	return c.Group.Addr().Is4()
}

// unmap turns the v4-in-v6 form of an address into plain v4.
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
