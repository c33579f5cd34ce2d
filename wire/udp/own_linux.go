package udp

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// cutOwn makes the kernel cut our own multicasts, which come back to us, down to
// nothing: they would cost a copy of everything that we send. They are cut and
// not dropped because the kernel would count them as drops of a full buffer.
// Without the filter all works too, only slower, so that errors do not matter.
func cutOwn(fd int, own netip.AddrPort) {
	prog := ownFilter(own)
	_ = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
}

// ownFilter keeps the UDP header of datagrams from own, and others whole. The
// packet begins with the UDP header; the IP header is reached by skfNetOff.
func ownFilter(own netip.AddrPort) []unix.SockFilter {
	const (
		skfNetOff = 0xfff00000 // SKF_NET_OFF
		v4Source  = 12
		v6Source  = 8
		udpHeader = 8
		all       = 0xffffffff
	)
	at, ip := uint32(v4Source), own.Addr().AsSlice()
	if own.Addr().Is6() {
		at = v6Source
	}
	words := len(ip) / 4
	// Each comparison that fails jumps over the rest to the last instruction.
	over := func(left int) uint8 { return uint8(2*left + 1) }
	prog := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(own.Port()), Jf: over(words)},
	}
	for i := range words {
		prog = append(prog,
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS,
				K: skfNetOff + at + uint32(4*i)},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
				K: binary.BigEndian.Uint32(ip[4*i:]), Jf: over(words - 1 - i)})
	}
	return append(prog, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: udpHeader},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: all})
}
