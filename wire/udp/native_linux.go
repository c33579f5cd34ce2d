package udp

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"maestro/wire"
)

// native is the Linux way: raw sockets in batches, with an epoll set of its own.
type native struct {
	*core
	sys   kernel
	uni   socket
	mc    socket // fd -1 without multicast
	co    socket // of the second group; fd -1 without multicast
	scope uint32
	src   sources

	// Waiting. Whoever calls wake writes the eventfd only when the loop sleeps.
	ep, ev   int
	parking  *parking // for long waits; nil if the runtime does not take them
	short    bool     // the last long wait was not
	lively   bool     // nor the one before
	events   [4]unix.EpollEvent
	wait64   func(ep int, ev []unix.EpollEvent, ns int64) (int, unix.Errno)
	evMu     sync.Mutex // guards ev between a wake and the close
	pending  atomic.Bool
	sleeping atomic.Bool

	in    *inSlots
	socks []*socket // those that something may come from
	first int       // which of them is asked first
	ready uint      // what the last wait found, bit by mark; 0: not known
	empty bool      // it has found that there is nothing

	gso       [2]bool // by path
	loop      bool    // IP_MULTICAST_LOOP is on
	out       *outSlots
	split     *outSlots // a run that is sent again without GSO
	stall     time.Duration
	errqBytes [64]byte
	errqOOB   [256]byte
}

// The two paths that a send can take; GSO can be broken on one of them alone.
const (
	pathGroup = iota
	pathMember
)

func openBackend(c *core) (backend, error) {
	if c.cfg.Portable {
		return openPortable(c)
	}
	n := &native{core: c, sys: realKernel(), scope: uint32(c.link.ifi.Index), ep: -1, ev: -1,
		uni: socket{fd: -1, batch: longBatch}, mc: socket{fd: -1, batch: longBatch},
		co: socket{fd: -1, batch: longBatch}, wait64: epollWait, loop: true}
	n.src.zone = c.link.zone
	n.in, n.out, n.split = newInSlots(), newOutSlots(stageLen), newOutSlots(0)
	if err := n.open(); err != nil {
		n.closeFDs()
		return nil, err
	}
	return n, nil
}

func (n *native) open() error {
	var err error
	if n.uni.fd, err = openMember(n.core); err != nil {
		return err
	}
	if n.local, err = boundTo(n.uni.fd, n.link.zone); err != nil {
		return err
	}
	if !n.cfg.fanout() {
		if n.mc.fd, err = openGroup(n.core, n.group); err != nil {
			return err
		}
		err = retryDAD(!n.cfg.v4(), func() error {
			return join(n.mc.fd, n.group.Addr(), n.index())
		})
		if err != nil {
			return err
		}
		if n.co.fd, err = openGroup(n.core, n.second); err != nil {
			return err
		}
		cutOwn(n.mc.fd, n.local)
		cutOwn(n.co.fd, n.local)
	}
	n.listen(false)
	n.offloads()
	main := n.uni.fd
	if n.mc.fd >= 0 {
		main = n.mc.fd
	}
	n.recvBuf = granted(main, unix.SO_RCVBUF)
	n.sendBuf = granted(n.uni.fd, unix.SO_SNDBUF)
	return n.openEpoll()
}

func (n *native) index() int { return n.link.ifi.Index }

// listen notes which sockets are worth a look.
func (n *native) listen(core bool) {
	n.socks = append(n.socks[:0], &n.uni)
	if n.mc.fd >= 0 {
		n.socks = append(n.socks, &n.mc)
	}
	if core {
		n.socks = append(n.socks, &n.co)
	}
	n.first = 0
}

// setCore joins or leaves the second group. What came before it is left is taken
// when a wait finds it, or it would end every wait.
func (n *native) setCore(in bool) error {
	if was := len(n.socks) == 3; in == was {
		return nil
	}
	if !in {
		n.listen(false)
		return leave(n.co.fd, n.second.Addr(), n.index())
	}
	if err := join(n.co.fd, n.second.Addr(), n.index()); err != nil {
		return fmt.Errorf("udp: %w", err)
	}
	n.listen(true)
	return nil
}

// offloads turns on what the probe has seen to work.
func (n *native) offloads() {
	if n.cfg.NoOffload {
		n.modes = "Linux batches, GSO and GRO off by configuration"
		return
	}
	p := probeOffload(n.cfg.v4())
	n.gso[pathGroup], n.gso[pathMember] = p.gso, p.gso
	for _, s := range []*socket{&n.uni, &n.mc, &n.co} {
		s.gro = p.gro && s.fd >= 0 && unix.SetsockoptInt(s.fd, unix.SOL_UDP, unix.UDP_GRO, 1) == nil
	}
	n.modes = fmt.Sprintf("Linux batches, GSO %s, GRO %s (%s)",
		onOff(p.gso), onOff(n.uni.gro), p.why)
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// close gives back everything, also the receive buffers: it runs when the loop
// is in no other method.
func (n *native) close() error {
	n.in.release()
	return n.closeFDs()
}

func (n *native) closeFDs() error {
	n.evMu.Lock()
	defer n.evMu.Unlock()
	var first error
	if n.parking != nil {
		first = n.parking.close()
		n.parking = nil
	}
	for _, fd := range []*int{&n.ep, &n.uni.fd, &n.mc.fd, &n.co.fd, &n.ev} {
		if *fd < 0 {
			continue
		}
		if err := unix.Close(*fd); err != nil && first == nil {
			first = fmt.Errorf("udp: close: %w", err)
		}
		*fd = -1
	}
	return first
}

// inSlots is the buffers of one recvmmsg. All are filled from the pool at the
// first use; those that are given away are replaced.
type inSlots struct {
	hdrs  [inBatch]unix.Mmsghdr
	iovs  [inBatch]unix.Iovec
	names [inBatch]sockaddr
	ctl   [inBatch][ctlIn / 8]uint64 // uint64 for the alignment of cmsghdr
	bufs  [inBatch]*wire.Buf
}

// inBatch is how many buffers one recvmmsg fills, and longBatch while they come
// nearly full.
const (
	inBatch   = 16
	longBatch = 2
)

// ctlIn has room for the control messages of UDP_GRO and SO_RXQ_OVFL.
const ctlIn = 64

func (in *inSlots) release() {
	for i, b := range in.bufs {
		if b != nil {
			b.Drop()
			in.bufs[i] = nil
		}
	}
}
