package udp

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// parking is for long waits: there the runtime's poller waits for the loop. A
// thread that waits in a system call by itself is woken a little sooner, but
// keeps the runtime's monitor awake, which costs an idle process several times
// what its member costs. So does a deadline of the runtime: it moves with each wait,
// and is a wake of its own at its old time too. The kernel's timer is neither.
//
// The runtime has a set of its own, in which the loop's is armed only while the
// loop is parked: if the runtime had the loop's set itself, each datagram would wake
// the runtime as well as the loop.
type parking struct {
	set  int
	file *os.File // owns set
	conn syscall.RawConn
	ep   int // the loop's set
	tfd  int // the timer, in set
}

// newParking is nil where the runtime does not wait for epoll sets.
func newParking(ep int) (*parking, error) {
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	tfd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("timerfd_create: %w", err), unix.Close(set))
	}
	p := &parking{set: set, ep: ep, tfd: tfd}
	err = errors.Join(p.arm(unix.EPOLL_CTL_ADD, ep, 0),
		p.arm(unix.EPOLL_CTL_ADD, tfd, unix.EPOLLIN), unix.SetNonblock(set, true))
	if err != nil {
		return nil, errors.Join(err, unix.Close(set), unix.Close(tfd))
	}
	p.file = os.NewFile(uintptr(set), "epoll")
	if p.file.SetReadDeadline(time.Time{}) != nil {
		return nil, p.close()
	}
	if p.conn, err = p.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("epoll: %w", err), p.close())
	}
	return p, nil
}

func (p *parking) arm(op, fd int, events uint32) error {
	e := unix.EpollEvent{Events: events}
	if err := unix.EpollCtl(p.set, op, fd, &e); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// alarm sets the timer; a negative d is none. A call by which the runtime knows of it
// would wake its monitor.
func (p *parking) alarm(d time.Duration) error {
	var t unix.ItimerSpec
	if d >= 0 {
		t.Value = unix.NsecToTimespec(max(int64(d), 1)) // 0 is none
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(p.tfd), 0,
		uintptr(unsafe.Pointer(&t)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("udp: timerfd_settime: %w", errno)
	}
	return nil
}

// wait waits until there is something in the loop's set, of which look tells; a
// negative d is for ever.
func (p *parking) wait(d time.Duration, look func() (found bool)) error {
	began := time.Now()
	if err := p.alarm(d); err != nil {
		return err
	}
	var armed error
	err := p.conn.Read(func(uintptr) bool {
		// Armed before the look: what comes in between is an event.
		armed = p.arm(unix.EPOLL_CTL_MOD, p.ep, unix.EPOLLIN)
		return armed != nil || look() || d >= 0 && time.Since(began) >= d
	})
	if armed == nil {
		// EPOLLONESHOT would not do: the runtime asks only whether there are events,
		// and takes none.
		armed = p.arm(unix.EPOLL_CTL_MOD, p.ep, 0)
	}
	if armed != nil {
		return fmt.Errorf("udp: %w", armed)
	}
	if err != nil {
		return fmt.Errorf("udp: epoll: %w", err)
	}
	return nil
}

func (p *parking) close() error {
	if err := errors.Join(p.file.Close(), unix.Close(p.tfd)); err != nil {
		return fmt.Errorf("udp: epoll: %w", err)
	}
	return nil
}
