package floor

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// raw is the leanest port: blocking sockets, one buffer that stays in the cache,
// one system call for each run.
type raw struct {
	uni, mc int
	rfd     int // the one that recv reads
	timeout time.Duration
	group   netip.AddrPort

	buf  [64 << 10]byte
	rctl [64]byte
	sctl [24]byte
	rsa  unix.RawSockaddrInet4
	ssa  unix.RawSockaddrInet4
	rio  unix.Iovec
	sio  unix.Iovec
	rh   unix.Msghdr
	sh   unix.Msghdr
}

func newPort(cfg *Config) (port, error) {
	if cfg.ViaUDP || !cfg.Group.Addr().Is4() {
		return newConn(cfg)
	}
	p := &raw{uni: -1, mc: -1, group: cfg.Group}
	if err := p.open(cfg); err != nil {
		_ = p.close()
		return nil, fmt.Errorf("floor: %w", err)
	}
	p.rio.Base = &p.buf[0]
	p.rio.SetLen(len(p.buf))
	p.rh = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&p.rsa)), Iov: &p.rio, Control: &p.rctl[0]}
	p.rh.SetIovlen(1)
	p.sh = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&p.ssa)), Iov: &p.sio}
	p.sh.Namelen = unix.SizeofSockaddrInet4
	p.sh.SetIovlen(1)
	c := (*unix.Cmsghdr)(unsafe.Pointer(&p.sctl[0]))
	c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	c.SetLen(unix.CmsgLen(2))
	p.ssa.Family = unix.AF_INET
	return p, nil
}

// open makes both sockets. The sender does not hear itself, unless others share
// its host.
func (p *raw) open(cfg *Config) error {
	ifi, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return fmt.Errorf("interface %q: %w", cfg.Interface, err)
	}
	for _, fd := range []*int{&p.uni, &p.mc} {
		if *fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return fmt.Errorf("socket: %w", err)
		}
		if unix.SetsockoptInt(*fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20) != nil {
			_ = unix.SetsockoptInt(*fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 32<<20)
		}
		if unix.SetsockoptInt(*fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20) != nil {
			_ = unix.SetsockoptInt(*fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 8<<20)
		}
		if err := unix.SetsockoptInt(*fd, unix.SOL_UDP, unix.UDP_GRO, 1); err != nil {
			return fmt.Errorf("UDP_GRO: %w", err)
		}
	}
	m := &unix.IPMreqn{Ifindex: int32(ifi.Index)}
	if err := unix.SetsockoptIPMreqn(p.uni, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, m); err != nil {
		return fmt.Errorf("IP_MULTICAST_IF: %w", err)
	}
	loop := 0
	if cfg.Shared || ifi.Flags&net.FlagLoopback != 0 {
		loop = 1
	}
	_ = unix.SetsockoptInt(p.uni, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, loop)
	if err := p.bindUnicast(ifi); err != nil {
		return err
	}
	p.rfd = p.uni
	if cfg.Role != Receiver {
		return nil
	}
	p.rfd = p.mc
	_ = unix.SetsockoptInt(p.mc, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	g := cfg.Group.Addr().As4()
	sa := &unix.SockaddrInet4{Port: int(cfg.Group.Port()), Addr: g}
	if err := unix.Bind(p.mc, sa); err != nil {
		return fmt.Errorf("bind %v: %w", cfg.Group, err)
	}
	m.Multiaddr = g
	if err := unix.SetsockoptIPMreqn(p.mc, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, m); err != nil {
		return fmt.Errorf("join %v: %w", cfg.Group, err)
	}
	return nil
}

func (p *raw) bindUnicast(ifi *net.Interface) error {
	addrs, err := ifi.Addrs()
	if err != nil {
		return fmt.Errorf("addresses of %s: %w", ifi.Name, err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
			return unix.Bind(p.uni, &unix.SockaddrInet4{Addr: [4]byte(n.IP.To4())})
		}
	}
	return fmt.Errorf("%s has no IPv4 address", ifi.Name)
}

func (p *raw) send(to netip.AddrPort, b []byte, seg int) error {
	if !to.IsValid() {
		to = p.group
	}
	p.ssa.Addr = to.Addr().As4()
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&p.ssa.Port))[:], to.Port())
	p.sio.Base = &b[0]
	p.sio.SetLen(len(b))
	p.sh.Control = nil
	p.sh.SetControllen(0)
	if len(b) > seg {
		binary.NativeEndian.PutUint16(p.sctl[unix.SizeofCmsghdr:], uint16(seg))
		p.sh.Control = &p.sctl[0]
		p.sh.SetControllen(unix.CmsgSpace(2))
	}
	for {
		_, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(p.uni),
			uintptr(unsafe.Pointer(&p.sh)), 0)
		if e == 0 {
			return nil
		}
		if e != unix.EINTR {
			return fmt.Errorf("floor: sendmsg: %w", e)
		}
	}
}

func (p *raw) recv(wait time.Duration) ([]byte, int, netip.AddrPort, error) {
	p.rh.Namelen = unix.SizeofSockaddrInet4
	p.rh.SetControllen(len(p.rctl))
	var n uintptr
	var e unix.Errno
	for {
		if wait > 0 {
			if e := p.setTimeout(wait); e != nil {
				return nil, 0, netip.AddrPort{}, e
			}
			n, _, e = unix.Syscall(unix.SYS_RECVMSG, uintptr(p.rfd),
				uintptr(unsafe.Pointer(&p.rh)), 0)
		} else {
			n, _, e = unix.RawSyscall(unix.SYS_RECVMSG, uintptr(p.rfd),
				uintptr(unsafe.Pointer(&p.rh)), unix.MSG_DONTWAIT)
		}
		if e != unix.EINTR { // the runtime's signals interrupt a timed receive
			break
		}
	}
	switch e {
	case 0:
	case unix.EAGAIN, unix.ECONNREFUSED:
		return nil, 0, netip.AddrPort{}, nil
	default:
		return nil, 0, netip.AddrPort{}, fmt.Errorf("floor: recvmsg: %w", e)
	}
	seg := int(n)
	if p.rh.Controllen >= unix.SizeofCmsghdr+4 {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&p.rctl[0]))
		if c.Level == unix.SOL_UDP && c.Type == unix.UDP_GRO {
			seg = int(binary.NativeEndian.Uint32(p.rctl[unix.SizeofCmsghdr:]))
		}
	}
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&p.rsa.Port))[:])
	return p.buf[:n], seg, netip.AddrPortFrom(netip.AddrFrom4(p.rsa.Addr), port), nil
}

// setTimeout bounds a blocking receive.
func (p *raw) setTimeout(d time.Duration) error {
	if d == p.timeout {
		return nil
	}
	tv := unix.NsecToTimeval(int64(d))
	err := unix.SetsockoptTimeval(p.rfd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
	if err != nil {
		return fmt.Errorf("floor: SO_RCVTIMEO: %w", err)
	}
	p.timeout = d
	return nil
}

func (p *raw) unicast() { p.rfd, p.timeout = p.uni, 0 }

func (p *raw) recvBuf() int {
	n, err := unix.GetsockoptInt(p.rfd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return 0
	}
	return n / 2
}

func (p *raw) close() error {
	for _, fd := range []int{p.uni, p.mc} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	return nil
}

// nap lets this thread sleep.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil)
}

// pin keeps this goroutine on one processor.
func pin(member int) error {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(member % runtime.NumCPU())
	return unix.SchedSetaffinity(0, &set)
}

func cpuSeconds() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
