package udp

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// socket is one UDP socket of the native path.
type socket struct {
	fd    int
	drops uint32 // last value of SO_RXQ_OVFL
	gro   bool
	batch int // buffers for the next recvmmsg
}

func newSocket(v4 bool) (int, error) {
	fam := unix.AF_INET6
	if v4 {
		fam = unix.AF_INET
	}
	fd, err := unix.Socket(fam, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	return fd, nil
}

// bindSocket binds, and for IPv6 waits for an address that is still tentative.
func bindSocket(fd int, a netip.AddrPort, scope uint32) error {
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: int(a.Port()), Addr: as4(a.Addr())}
	if a.Addr().Is6() {
		s6 := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
		if a.Addr().IsLinkLocalUnicast() || a.Addr().IsMulticast() {
			s6.ZoneId = scope
		}
		sa = s6
	}
	err := retryDAD(a.Addr().Is6(), func() error { return unix.Bind(fd, sa) })
	if err != nil {
		return fmt.Errorf("bind %v: %w", a, err)
	}
	return nil
}

func as4(a netip.Addr) [4]byte {
	if a.Is4() {
		return a.As4()
	}
	return [4]byte{}
}

// opt is one socket option; it is an error if a must option fails.
type opt struct {
	level, name, value int
	must               bool
	text               string
}

func setOpts(fd int, opts []opt) error {
	for _, o := range opts {
		err := unix.SetsockoptInt(fd, o.level, o.name, o.value)
		if err != nil && o.must {
			return fmt.Errorf("%s: %w", o.text, err)
		}
	}
	return nil
}

// setBuffers asks for the buffers, with privilege if we have it.
func setBuffers(fd, rcv, snd int) {
	set := func(force, plain, size int) {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
			// The kernel grants what it allows; Conn.RecvBuf tells how much.
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size)
		}
	}
	set(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, rcv)
	set(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, snd)
}

// granted is what the kernel gives; it reports the double of what it counts.
func granted(fd, name int) int {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, name)
	if err != nil {
		return 0
	}
	return n / 2
}

// openGroup opens a multicast socket: bound to the group's own address and deaf
// to groups that others on this host have joined, and as yet to its own.
func openGroup(c *core, group netip.AddrPort) (int, error) {
	v4, idx := c.cfg.v4(), c.link.ifi.Index
	fd, err := newSocket(v4)
	if err != nil {
		return -1, err
	}
	all := opt{unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0, false, ""}
	if !v4 {
		all = opt{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0, false, ""}
	}
	err = setOpts(fd, []opt{all,
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1, true, "SO_REUSEADDR"},
		{unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1, false, ""}})
	if err == nil {
		setBuffers(fd, c.cfg.RecvBuf, c.cfg.SendBuf)
		err = bindSocket(fd, group, uint32(idx))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func join(fd int, g netip.Addr, index int) error {
	var err error
	if g.Is4() {
		err = unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
			&unix.IPMreqn{Multiaddr: g.As4(), Ifindex: int32(index)})
	} else {
		err = unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
			&unix.IPv6Mreq{Multiaddr: g.As16(), Interface: uint32(index)})
	}
	if err != nil {
		return fmt.Errorf("join %v: %w", g, err)
	}
	return nil
}

func leave(fd int, g netip.Addr, index int) error {
	var err error
	if g.Is4() {
		err = unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_DROP_MEMBERSHIP,
			&unix.IPMreqn{Multiaddr: g.As4(), Ifindex: int32(index)})
	} else {
		err = unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_LEAVE_GROUP,
			&unix.IPv6Mreq{Multiaddr: g.As16(), Interface: uint32(index)})
	}
	if err != nil {
		return fmt.Errorf("udp: leave %v: %w", g, err)
	}
	return nil
}

// openMember opens the unicast socket, from which everything is sent.
func openMember(c *core) (int, error) {
	v4, idx := c.cfg.v4(), c.link.ifi.Index
	fd, err := newSocket(v4)
	if err != nil {
		return -1, err
	}
	opts := []opt{{unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1, false, ""}}
	if v4 {
		opts = append(opts, opt{unix.IPPROTO_IP, unix.IP_RECVERR, 1, false, ""},
			opt{unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, c.cfg.TTL, true, "IP_MULTICAST_TTL"},
			opt{unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 1, true, "IP_MULTICAST_LOOP"})
	} else {
		opts = append(opts, opt{unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1, false, ""},
			opt{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, c.cfg.TTL, true, "multicast hops"},
			opt{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 1, true, "multicast loop"},
			opt{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, idx, true, "IPV6_MULTICAST_IF"})
	}
	err = setOpts(fd, opts)
	if err == nil && v4 {
		err = unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF,
			&unix.IPMreqn{Ifindex: int32(idx)})
	}
	if err == nil {
		setBuffers(fd, c.cfg.RecvBuf, c.cfg.SendBuf)
		err = bindSocket(fd, netip.AddrPortFrom(c.link.addr, c.cfg.Bind.Port()), uint32(idx))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// boundTo is the address that the kernel has given a socket.
func boundTo(fd int, zone string) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("getsockname: %w", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		a := netip.AddrFrom16(sa.Addr)
		if a.IsLinkLocalUnicast() {
			a = a.WithZone(zone)
		}
		return netip.AddrPortFrom(a, uint16(sa.Port)), nil
	}
	return netip.AddrPort{}, errors.New("getsockname: strange address family")
}
