package udp

import (
	"bytes"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// offload is what the probe has found.
type offload struct {
	gso, gro bool
	why      string
}

// probeOffload sends a run through the loopback interface and looks at what
// arrives: kernels have had offloads that are there and do not work. Where the
// loopback interface itself does not work (a namespace in which it is down) the
// options' presence must do, and a later error turns GSO off.
func probeOffload(v4 bool) offload {
	lo := netip.AddrPortFrom(netip.IPv6Loopback(), 0)
	if v4 {
		lo = netip.MustParseAddrPort("127.0.0.1:0")
	}
	tx, err := newSocket(v4)
	if err != nil {
		return offload{why: "no socket for the probe"}
	}
	defer unix.Close(tx)
	rx, err := newSocket(v4)
	if err != nil {
		return offload{why: "no socket for the probe"}
	}
	defer unix.Close(rx)
	gro := unix.SetsockoptInt(rx, unix.SOL_UDP, unix.UDP_GRO, 1) == nil
	gso := unix.SetsockoptInt(tx, unix.SOL_UDP, unix.UDP_SEGMENT, 0) == nil
	unproven := offload{gso, gro, "not probed: loopback is not usable"}
	sa := unix.Sockaddr(&unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16()})
	if v4 {
		sa = &unix.SockaddrInet4{Addr: lo.Addr().As4()}
	}
	if unix.Bind(rx, sa) != nil {
		return unproven
	}
	to, err := unix.Getsockname(rx)
	if err != nil || unix.Connect(tx, to) != nil {
		return unproven
	}
	run := make([]byte, 250)
	for i := range run {
		run[i] = byte(i)
	}
	if unix.Send(tx, run, 0) != nil || !probeRead(rx, run, 250) {
		return unproven
	}
	if !gso || !probeSend(tx, run, 100) {
		return offload{gro: gro, why: "probe: GSO is refused"}
	}
	if gro && probeRead(rx, run, 100) {
		return offload{true, true, "probed"}
	}
	return probePlain(tx, rx, run)
}

// probePlain finds out whether GSO works when GRO does not.
func probePlain(tx, rx int, run []byte) offload {
	_ = unix.SetsockoptInt(rx, unix.SOL_UDP, unix.UDP_GRO, 0)
	for range 8 { // what the first attempt has left
		if _, _, err := unix.Recvfrom(rx, make([]byte, 512), unix.MSG_DONTWAIT); err != nil {
			break
		}
	}
	if !probeSend(tx, run, 100) {
		return offload{why: "probe: GSO is refused"}
	}
	for at := 0; at < len(run); at += 100 {
		want := run[at:min(at+100, len(run))]
		if !probeRead(rx, want, len(want)) {
			return offload{why: "probe: neither GSO nor GRO works"}
		}
	}
	return offload{gso: true, why: "probe: GRO does not work"}
}

func probeSend(fd int, run []byte, seg uint16) bool {
	oob := make([]byte, unix.CmsgSpace(2))
	c := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	c.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&oob[unix.SizeofCmsghdr])) = seg
	return unix.Sendmsg(fd, run, oob, nil, 0) == nil
}

// probeRead reads one run and compares it; seg is what GRO has to tell.
func probeRead(fd int, want []byte, seg int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for end := time.Now().Add(100 * time.Millisecond); ; {
		n, err := unix.Poll(fds, max(int(time.Until(end).Milliseconds()), 0))
		if n > 0 {
			break
		}
		if err != unix.EINTR || time.Now().After(end) {
			return false
		}
	}
	buf, oob := make([]byte, 2048), make([]byte, 64)
	n, oobn, _, _, err := unix.Recvmsg(fd, buf, oob, unix.MSG_DONTWAIT)
	if err != nil || !bytes.Equal(buf[:n], want) {
		return false
	}
	told := n
	msgs, _ := unix.ParseSocketControlMessage(oob[:oobn])
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_UDP && m.Header.Type == unix.UDP_GRO && len(m.Data) >= 4 {
			told = int(*(*int32)(unsafe.Pointer(&m.Data[0])))
		}
	}
	return told == seg
}
