package udp

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The marks of the epoll set's members.
const (
	markMember = iota
	markGroup
	markCore
	markWake
	markErrors // of no member: the unicast socket has errors
)

func (n *native) openEpoll() error {
	var err error
	if n.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll_create1: %w", err)
	}
	if n.ev, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	// The eventfd is edge-triggered: each write is an edge, so it is never read.
	for mark, f := range []struct {
		fd     int
		events uint32
	}{{n.uni.fd, unix.EPOLLIN}, {n.mc.fd, unix.EPOLLIN}, {n.co.fd, unix.EPOLLIN},
		{n.ev, unix.EPOLLIN | unix.EPOLLET}} {
		if f.fd < 0 {
			continue
		}
		e := unix.EpollEvent{Events: f.events, Fd: int32(mark)}
		if err := unix.EpollCtl(n.ep, unix.EPOLL_CTL_ADD, f.fd, &e); err != nil {
			return fmt.Errorf("epoll_ctl: %w", err)
		}
	}
	n.parking, err = newParking(n.ep)
	return err
}

// Waits of longWait or more are left to the runtime. It takes longer to wake the
// loop: where one wake follows another within soon, which is a stream, the loop
// waits as long by itself first.
const (
	longWait = 2 * time.Millisecond
	soon     = 200 * time.Microsecond
)

// park leaves a long wait to the runtime.
func (n *native) park(d time.Duration) error {
	k, errno, began := 0, unix.Errno(0), time.Now()
	err := n.parking.wait(d, func() bool {
		k, errno = n.look(0)
		return k > 0 || errno != 0 && errno != unix.EINTR
	})
	if err != nil {
		return err
	}
	// One short wait is no stream: an answer may have come at once.
	short := time.Since(began) < soon
	n.lively, n.short = short && n.short, short
	return n.found(k, errno)
}

// found takes the result of a look.
func (n *native) found(k int, errno unix.Errno) error {
	if errno != 0 && errno != unix.EINTR {
		return fmt.Errorf("udp: epoll: %w", errno)
	}
	n.note(max(k, 0))
	n.empty = k == 0
	return nil
}

// wait and wake agree through two flags. wake sets pending and then looks at
// sleeping; wait sets sleeping and then looks at pending: one of them sees the
// other.
func (n *native) wait(d time.Duration) error {
	n.sleeping.Store(true)
	defer n.awake()
	if n.pending.Load() {
		return nil
	}
	if n.parking != nil && (d < 0 || d >= longWait) {
		if !n.lively {
			return n.park(d)
		}
		d = soon
	}
	k, errno := n.look(d)
	n.lively = n.lively && k > 0
	return n.found(k, errno)
}

// look asks the epoll set, which may take d.
func (n *native) look(d time.Duration) (int, unix.Errno) {
	k, errno := n.wait64(n.ep, n.events[:], int64(d))
	if errno == unix.ENOSYS {
		n.wait64 = epollWaitMilli
		k, errno = n.wait64(n.ep, n.events[:], int64(d))
	}
	return k, errno
}

// nap lets this thread sleep.
func (n *native) nap(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil)
}

// poll takes as true what makes a receive worth its price; an error of a socket
// is left for the receive to find.
func (n *native) poll() bool {
	if n.pending.Swap(false) {
		return true
	}
	k, errno := n.wait64(n.ep, n.events[:], 0)
	if errno != 0 {
		return errno != unix.EINTR
	}
	n.note(k)
	return k > 0
}

// note keeps what epoll has told of k sockets. It touches nothing that sending
// does: a downcall may send while the loop waits.
func (n *native) note(k int) {
	for _, e := range n.events[:k] {
		if e.Fd == markMember && e.Events&unix.EPOLLERR != 0 {
			n.ready |= 1 << markErrors
		}
		if e.Events&unix.EPOLLIN != 0 && e.Fd != markWake {
			n.ready |= 1 << e.Fd
		}
	}
}

// awake ends a wait. A wake that comes before the second store has done its work:
// the loop is about to look at whatever it announced.
func (n *native) awake() {
	n.sleeping.Store(false)
	n.pending.Store(false)
}

func (n *native) wake() {
	if n.pending.Swap(true) || !n.sleeping.Load() {
		return
	}
	one := uint64(1)
	n.evMu.Lock() // a closed descriptor's number may already be somebody else's
	defer n.evMu.Unlock()
	if n.ev >= 0 {
		// It can only fail when 2^64-2 wakes are unread.
		_, _ = unix.Write(n.ev, unsafe.Slice((*byte)(unsafe.Pointer(&one)), 8))
	}
}
