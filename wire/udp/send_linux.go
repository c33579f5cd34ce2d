package udp

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"maestro/wire"
)

const (
	outBatch   = 64       // messages of one sendmmsg
	maxRun     = 64       // segments of one GSO message: the kernel's limit before 6.9
	maxRunLen  = 65000    // bytes of one GSO message
	stageLen   = 64 << 10 // bytes of small datagrams kept until the flush
	smallSend  = 9000     // longest single datagram that is copied and kept
	stallLimit = 10 * time.Millisecond
	stuckFor   = 100 * time.Millisecond
)

// outSlots is the messages of one sendmmsg.
type outSlots struct {
	n     int
	hdrs  [outBatch]unix.Mmsghdr
	iovs  [outBatch]unix.Iovec
	names [outBatch]sockaddr
	ctl   [outBatch][3]uint64 // one cmsghdr with a uint16
	meta  [outBatch]outMeta
	stage []byte    // copies of small datagrams; its capacity is fixed
	stuck time.Time // when nothing had left the full send buffer for stallLimit
}

// outMeta is what we must know of a message when the kernel refuses it.
type outMeta struct {
	to    netip.AddrPort
	seg   int
	len   int
	path  int
	open  bool // staged, and a further datagram may join its run
	again bool // has been tried twice
}

func newOutSlots(stage int) *outSlots {
	o := &outSlots{stage: make([]byte, 0, stage)}
	for i := range o.hdrs {
		h := &o.hdrs[i].Hdr
		h.Name = (*byte)(unsafe.Pointer(&o.names[i]))
		h.Iov = &o.iovs[i]
		h.SetIovlen(1)
		c := (*unix.Cmsghdr)(unsafe.Pointer(&o.ctl[i]))
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
	}
	return o
}

// add appends a message; the caller has made sure that there is room.
func (o *outSlots) add(to netip.AddrPort, scope uint32, b []byte, seg, path int) *outMeta {
	i := o.n
	o.n++
	o.hdrs[i].Hdr.Namelen = putSockaddr(&o.names[i], to, scope)
	o.iovs[i].Base = &b[0]
	o.meta[i] = outMeta{to: to, seg: seg, path: path}
	o.resize(i, len(b))
	return &o.meta[i]
}

// resize sets the length of message i, and whether it is a run.
func (o *outSlots) resize(i, length int) {
	m, h := &o.meta[i], &o.hdrs[i].Hdr
	m.len = length
	o.iovs[i].SetLen(length)
	if length <= m.seg {
		h.Control = nil
		h.SetControllen(0)
		return
	}
	ctl := unsafe.Slice((*byte)(unsafe.Pointer(&o.ctl[i])), int(unsafe.Sizeof(o.ctl[i])))
	binary.NativeEndian.PutUint16(ctl[unix.SizeofCmsghdr:], uint16(m.seg))
	h.Control = &ctl[0]
	h.SetControllen(unix.CmsgSpace(2))
}

func (o *outSlots) reset() {
	o.n = 0
	o.stage = o.stage[:0]
}

func (n *native) send(to netip.AddrPort, b []byte, seg int) error {
	path := pathMember
	if to == n.group || to == n.second {
		path = pathGroup
	}
	gso := n.gso[path] && seg <= n.link.payload(n.cfg.v4())
	if len(b) <= seg && len(b) <= smallSend {
		n.keep(to, b, path, gso)
		return nil
	}
	if path == pathGroup {
		n.loopBack(!n.alone || !within(b))
	}
	step := seg
	if gso {
		step = seg * max(1, min(maxRun, maxRunLen/seg))
	}
	for len(b) > 0 {
		if n.out.n == outBatch {
			n.push()
		}
		k := min(step, len(b))
		n.out.add(to, n.scope, b[:k], seg, path)
		b = b[k:]
	}
	n.push() // the bytes are the caller's again when we return
	return nil
}

// keep copies a single datagram. One that continues the last to the same address
// joins it in one GSO run.
func (n *native) keep(to netip.AddrPort, b []byte, path int, gso bool) {
	o := n.out
	if path == pathGroup {
		n.loopBack(!n.alone || !within(b))
	}
	if len(o.stage)+len(b) > cap(o.stage) {
		n.push()
	}
	if o.n > 0 && gso {
		m := &o.meta[o.n-1]
		if m.open && m.to == to && len(b) <= m.seg && m.len < maxRun*m.seg &&
			m.len+len(b) <= maxRunLen {
			o.stage = append(o.stage, b...)
			o.resize(o.n-1, m.len+len(b))
			m.open = len(b) == m.seg
			return
		}
	}
	if o.n == outBatch {
		n.push()
	}
	at := len(o.stage)
	o.stage = append(o.stage, b...)
	o.add(to, n.scope, o.stage[at:], len(b), path).open = gso
}

// within tells what is for members of the view alone.
func within(b []byte) bool {
	return len(b) >= wire.HeaderLen && b[0] == wire.Magic && wire.Kind(b[2]).Within()
}

// loopBack sets whether multicasts are heard on this host. What has been kept leaves
// as it was meant to, before that changes.
func (n *native) loopBack(on bool) {
	if on == n.loop {
		return
	}
	if n.out.n > 0 {
		n.push()
	}
	n.loop = on
	level, name, v := unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0
	if n.cfg.v4() {
		level, name = unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP
	}
	if on {
		v = 1
	}
	// It succeeded when the socket was opened.
	_ = unix.SetsockoptInt(n.uni.fd, level, name, v)
}

func (n *native) flush() error {
	if n.out.n > 0 {
		n.push()
	}
	n.stall = 0
	return nil
}

// push sends everything that has been gathered.
func (n *native) push() {
	n.transmit(n.out)
	n.out.reset()
}

// transmit hands messages to the kernel until each is sent or given up.
func (n *native) transmit(o *outSlots) {
	for i := 0; i < o.n; {
		k, errno := n.sys.sendmmsg(n.uni.fd, o.hdrs[i:o.n])
		n.stats.SyscallsOut++
		if errno == 0 && k > 0 {
			for _, m := range o.meta[i : i+k] {
				n.stats.DatagramsOut += uint64((m.len + m.seg - 1) / m.seg)
				n.stats.BytesOut += uint64(m.len)
			}
			i += k
			continue
		}
		if !n.refusedSend(o, i, errno) {
			i++
		}
	}
}

// refusedSend deals with the error of message i; true is to try it again.
func (n *native) refusedSend(o *outSlots, i int, errno unix.Errno) bool {
	m := &o.meta[i]
	switch errno {
	case unix.EINTR:
		return true
	case unix.EAGAIN, unix.ENOBUFS:
		if n.awaitRoom(errno) {
			return true
		}
	default:
		// It may be the answer to an earlier datagram, left on the socket.
		n.drainErrors()
		if !m.again {
			m.again = true
			return true
		}
		if m.len > m.seg && (errno == unix.EIO || errno == unix.EINVAL || errno == unix.EMSGSIZE) {
			n.withoutGSO(o, i, errno)
			return false
		}
	}
	n.stats.LostOut += uint64((m.len + m.seg - 1) / m.seg)
	n.stats.countError(errno)
	return false
}

// withoutGSO sends a run that the kernel does not take as single datagrams, and
// never makes another run for this path.
func (n *native) withoutGSO(o *outSlots, i int, errno unix.Errno) {
	m := &o.meta[i]
	n.stats.GSOFallbacks++
	if n.gso[m.path] {
		n.gso[m.path] = false
		n.cfg.Log.Warn("udp: the kernel refuses GSO sends, turned off",
			"to", m.to, "segment", m.seg, "error", errno.Error())
	}
	b := unsafe.Slice(o.iovs[i].Base, m.len)
	n.split.reset()
	for len(b) > 0 { // maxRun <= outBatch, so there is room for all
		k := min(m.seg, len(b))
		n.split.add(m.to, n.scope, b[:k], k, m.path)
		b = b[k:]
	}
	n.transmit(n.split)
}

// awaitRoom waits for room in the send buffer or the device's queue, in all at
// most stallLimit from one flush to the next, so that a dead link cannot hold the
// loop up for long. What counts is the time that was asked for: when the processor
// is taken away meanwhile, that is not the link's fault.
//
// What is for hosts that nobody has found yet stays in the send buffer for seconds.
// Where that is all that is in it, there is nothing to wait for.
func (n *native) awaitRoom(errno unix.Errno) bool {
	if n.stall >= stallLimit || time.Since(n.out.stuck) < stuckFor {
		return false
	}
	fds := []unix.PollFd{{Fd: int32(n.uni.fd), Events: unix.POLLOUT}}
	wait, queued := stallLimit-n.stall, 0
	if errno == unix.ENOBUFS { // the queue is full and the socket is not: no event comes
		fds, wait = nil, 200*time.Microsecond
	} else {
		queued = n.queued()
	}
	ts := unix.NsecToTimespec(int64(wait))
	k, err := unix.Ppoll(fds, &ts, nil)
	if errno != unix.ENOBUFS && k == 0 && err == nil && n.queued() >= queued {
		n.out.stuck = time.Now()
	}
	if k > 0 || errors.Is(err, unix.EINTR) {
		wait = 50 * time.Microsecond // there is room, or nobody knows
	}
	n.stall += wait
	return errno == unix.ENOBUFS || k > 0 || err != nil
}

// queued is how much is in the send buffer.
func (n *native) queued() int {
	k, err := unix.IoctlGetInt(n.uni.fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return k
}
