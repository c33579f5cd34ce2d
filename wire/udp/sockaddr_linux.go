package udp

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr is an address as the kernel writes it; a v4 address lies in the first
// bytes of the v6 form.
type sockaddr = unix.RawSockaddrInet6

// putSockaddr writes a into s and returns the length. The scope is that of v6
// addresses that need one.
func putSockaddr(s *sockaddr, a netip.AddrPort, scope uint32) uint32 {
	port := (*[2]byte)(unsafe.Pointer(&s.Port)) // at the same place in both forms
	port[0], port[1] = byte(a.Port()>>8), byte(a.Port())
	if a.Addr().Is4() {
		s4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(s))
		s4.Family = unix.AF_INET
		s4.Addr = a.Addr().As4()
		s4.Zero = [8]uint8{}
		return unix.SizeofSockaddrInet4
	}
	s.Family = unix.AF_INET6
	s.Flowinfo = 0
	s.Addr = a.Addr().As16()
	s.Scope_id = 0
	if ip := a.Addr(); ip.IsLinkLocalUnicast() || ip.IsMulticast() {
		s.Scope_id = scope
	}
	return unix.SizeofSockaddrInet6
}

// addrPort reads an address that the kernel has written. Link-local addresses
// get the given zone: the sockets hear one interface.
func addrPort(s *sockaddr, zone string) netip.AddrPort {
	p := (*[2]byte)(unsafe.Pointer(&s.Port))
	port := uint16(p[0])<<8 | uint16(p[1])
	switch s.Family {
	case unix.AF_INET:
		s4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(s))
		return netip.AddrPortFrom(netip.AddrFrom4(s4.Addr), port)
	case unix.AF_INET6:
		ip := netip.AddrFrom16(s.Addr).Unmap()
		if ip.Is6() && ip.IsLinkLocalUnicast() {
			ip = ip.WithZone(zone)
		}
		return netip.AddrPortFrom(ip, port)
	}
	return netip.AddrPort{}
}

// sources remembers the last address that was read, because the datagrams of one
// batch mostly come from one sender and a zone costs a table look-up.
type sources struct {
	raw  sockaddr
	addr netip.AddrPort
	zone string
}

func (s *sources) read(raw *sockaddr) netip.AddrPort {
	if raw.Family == unix.AF_INET {
		return addrPort(raw, "")
	}
	if *raw != s.raw {
		s.raw, s.addr = *raw, addrPort(raw, s.zone)
	}
	return s.addr
}
