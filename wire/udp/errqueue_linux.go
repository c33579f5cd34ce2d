package udp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// drainErrors empties the unicast socket's error queue, noting which addresses
// have answered that nobody listens, and clears the socket's pending error.
func (n *native) drainErrors() {
	for range 2 * maxRefused { // bounded: answers can come as fast as we read
		var name sockaddr
		iov := unix.Iovec{Base: &n.errqBytes[0]}
		iov.SetLen(len(n.errqBytes))
		h := unix.Msghdr{Name: (*byte)(unsafe.Pointer(&name)), Namelen: unix.SizeofSockaddrInet6,
			Iov: &iov, Control: &n.errqOOB[0]}
		h.SetIovlen(1)
		h.SetControllen(len(n.errqOOB))
		_, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(n.uni.fd),
			uintptr(unsafe.Pointer(&h)), unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		n.stats.SyscallsIn++
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			break
		}
		if portUnreachable(n.errqOOB[:min(int(h.Controllen), len(n.errqOOB))]) {
			n.stats.PortUnreachable++
			n.refused.push(addrPort(&name, n.link.zone))
		}
	}
	// An error without an entry in the queue would make epoll spin.
	_, _ = unix.GetsockoptInt(n.uni.fd, unix.SOL_SOCKET, unix.SO_ERROR)
}

// portUnreachable looks for ICMP's port unreachable: type 3 code 3, in v6 1 and 4.
func portUnreachable(oob []byte) bool {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return false
	}
	for _, m := range msgs {
		v4 := m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if !v4 && !v6 || len(m.Data) < int(unsafe.Sizeof(unix.SockExtendedErr{})) {
			continue
		}
		e := (*unix.SockExtendedErr)(unsafe.Pointer(&m.Data[0]))
		if v4 && e.Origin == unix.SO_EE_ORIGIN_ICMP && e.Type == 3 && e.Code == 3 ||
			v6 && e.Origin == unix.SO_EE_ORIGIN_ICMP6 && e.Type == 1 && e.Code == 4 {
			return true
		}
	}
	return false
}
