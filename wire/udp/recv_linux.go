package udp

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unsafe"

	"golang.org/x/sys/unix"

	"maestro/wire"
)

func newInSlots() *inSlots {
	in := &inSlots{}
	for i := range in.hdrs {
		h := &in.hdrs[i].Hdr
		h.Name = (*byte)(unsafe.Pointer(&in.names[i]))
		h.Iov = &in.iovs[i]
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(&in.ctl[i]))
	}
	return in
}

// receive asks the socket that the last wait has found readable, if there was
// only one, none if it has found nothing, and else all in turn, where each gets
// at most half of the room while another may have something too.
func (n *native) receive(pkts []wire.Packet) (int, error) {
	ready, empty := n.ready, n.empty
	n.ready, n.empty = 0, false
	if empty {
		return 0, nil // the next wait sees what has come since
	}
	if ready&(1<<markErrors) != 0 {
		ready &^= 1 << markErrors
		n.drainErrors()
	}
	if len(pkts) == 0 {
		return 0, nil
	}
	if ready != 0 && ready&(ready-1) == 0 && len(n.socks) > 1 {
		s := []*socket{markMember: &n.uni, markGroup: &n.mc, markCore: &n.co}[bits.Len(ready)-1]
		if got, _, err := n.receiveFrom(s, pkts); got > 0 || err != nil {
			return got, err
		}
	}
	if n.first++; n.first >= len(n.socks) {
		n.first = 0
	}
	got := 0
	var again *socket // had more than its share
	for i := range n.socks {
		s := n.socks[(n.first+i)%len(n.socks)]
		room := pkts[got:]
		if i < len(n.socks)-1 {
			room = room[:(len(room)+1)/2]
		}
		k, more, err := n.receiveFrom(s, room)
		got += k
		if err != nil {
			return got, err
		}
		if more && again == nil {
			again = s
		}
	}
	if again == nil || got == len(pkts) {
		return got, nil
	}
	k, _, err := n.receiveFrom(again, pkts[got:])
	return got + k, err
}

// maxTaken is how many bytes one receive takes from a socket before it returns, so
// that they are still in the processor's cache when they are read.
const maxTaken = 256 << 10

// receiveFrom fills pkts from one socket; more says that it may have more. Few
// long runs are taken with one call, again for the cache, but many short ones,
// for which the call itself is what costs.
func (n *native) receiveFrom(s *socket, pkts []wire.Packet) (got int, more bool, err error) {
	for taken := 0; got < len(pkts) && taken < maxTaken; {
		want := min(len(pkts)-got, s.batch)
		n.prepare(want)
		k, err := n.recvBatch(s, want)
		if err != nil {
			return got, false, err
		}
		long := false
		for i := range k {
			length := int(n.in.hdrs[i].Len)
			taken += length
			long = long || length >= smallRecv
			if n.take(s, i, &pkts[got]) {
				got++
			}
		}
		if k < want {
			return got, false, nil
		}
		s.batch = inBatch
		if long {
			s.batch = longBatch
		}
	}
	return got, true, nil
}

// prepare makes the first want slots ready for the kernel, which overwrites the
// lengths.
func (n *native) prepare(want int) {
	in := n.in
	for i := range want {
		if in.bufs[i] == nil {
			in.bufs[i] = n.pool.Get()
			in.iovs[i].Base = &in.bufs[i].B[0]
			in.iovs[i].SetLen(len(in.bufs[i].B))
		}
		h := &in.hdrs[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(ctlIn)
		h.Flags = 0
	}
}

// recvBatch calls the kernel. Errors that were left on the socket by an earlier
// send are noted and passed over.
func (n *native) recvBatch(s *socket, want int) (int, error) {
	for range 8 {
		k, errno := n.sys.recvmmsg(s.fd, n.in.hdrs[:want])
		n.stats.SyscallsIn++
		switch errno {
		case 0:
			return k, nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EBADF, unix.ENOTSOCK, unix.EFAULT, unix.EINVAL:
			return 0, fmt.Errorf("udp: recvmmsg: %w", errno)
		case unix.EINTR:
		default:
			n.drainErrors()
		}
	}
	return 0, nil
}

// take makes a packet of slot i; false if there is nothing in it for us.
func (n *native) take(s *socket, i int, p *wire.Packet) bool {
	in := n.in
	h := &in.hdrs[i]
	length := int(h.Len)
	from := n.src.read(&in.names[i])
	seg := n.control(s, i, length)
	switch {
	case from == n.local:
		n.stats.Own++
		return false
	case h.Hdr.Flags&unix.MSG_TRUNC != 0:
		n.stats.Truncated++
		return false
	case length == 0:
		n.stats.Empty++
		return false
	}
	n.stats.DatagramsIn++
	if seg < length {
		n.stats.DatagramsIn += uint64((length - 1) / seg)
	}
	n.stats.BytesIn += uint64(length)
	p.From, p.Seg = from, seg
	if length < smallRecv {
		p.Buf, p.Data = n.arena.put(n.pool, in.bufs[i].B[:length])
		return true
	}
	p.Buf, p.Data = in.bufs[i], in.bufs[i].B[:length:length]
	in.bufs[i] = nil
	return true
}

// control reads the control messages of slot i: the segment length that GRO
// tells, and the drop counter.
func (n *native) control(s *socket, i, length int) int {
	seg := length
	ctl := unsafe.Slice((*byte)(unsafe.Pointer(&n.in.ctl[i])), ctlIn)
	ctl = ctl[:min(int(n.in.hdrs[i].Hdr.Controllen), ctlIn)]
	const hdr = unix.SizeofCmsghdr
	for len(ctl) >= hdr+4 {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&ctl[0]))
		v := binary.NativeEndian.Uint32(ctl[hdr:])
		switch {
		case c.Level == unix.SOL_UDP && c.Type == unix.UDP_GRO:
			if v > 0 && int(v) < length {
				seg = int(v)
			}
		case c.Level == unix.SOL_SOCKET && c.Type == unix.SO_RXQ_OVFL:
			n.stats.SocketDrops += uint64(v - s.drops) // wraps as the kernel's does
			s.drops = v
		}
		const word = int(unsafe.Sizeof(uintptr(0)))
		step := (int(c.Len) + word - 1) &^ (word - 1)
		if step < hdr || step > len(ctl) {
			break
		}
		ctl = ctl[step:]
	}
	return seg
}
