package udp

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// parking is for long waits: there the runtime's poller waits for the loop. A
// thread that waits in a system call by itself is woken a little sooner, but
// keeps the runtime's monitor awake, which costs an idle process several times
// what its member costs.
//
// The runtime has a set of its own, in which the loop's is armed only while the
// loop is parked: if the runtime had the loop's set itself, each datagram would wake
// the runtime as well as the loop.
type parking struct {
	set  int
	file *os.File // owns set
	conn syscall.RawConn
	ep   int // the loop's set
}

// newParking is nil where the runtime does not wait for epoll sets.
func newParking(ep int) (*parking, error) {
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	p := &parking{set: set, ep: ep}
	if err := p.arm(unix.EPOLL_CTL_ADD, 0); err != nil {
		return nil, errors.Join(err, unix.Close(set))
	}
	if err := unix.SetNonblock(set, true); err != nil {
		return nil, errors.Join(fmt.Errorf("epoll: %w", err), unix.Close(set))
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

func (p *parking) arm(op int, events uint32) error {
	e := unix.EpollEvent{Events: events}
	if err := unix.EpollCtl(p.set, op, p.ep, &e); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// wait waits until there is something in the loop's set, of which look tells; a
// negative d is for ever.
func (p *parking) wait(d time.Duration, look func() (found bool)) error {
	var until time.Time
	if d > 0 {
		until = time.Now().Add(d)
	}
	if err := p.file.SetReadDeadline(until); err != nil {
		return fmt.Errorf("udp: epoll: %w", err)
	}
	var armed error
	err := p.conn.Read(func(uintptr) bool {
		// Armed before the look: what comes in between is an event.
		armed = p.arm(unix.EPOLL_CTL_MOD, unix.EPOLLIN)
		return armed != nil || look()
	})
	if armed == nil {
		// EPOLLONESHOT would not do: the runtime asks only whether there are events,
		// and takes none.
		armed = p.arm(unix.EPOLL_CTL_MOD, 0)
	}
	if armed != nil {
		return fmt.Errorf("udp: %w", armed)
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("udp: epoll: %w", err)
	}
	return nil
}

func (p *parking) close() error {
	if err := p.file.Close(); err != nil {
		return fmt.Errorf("udp: epoll: %w", err)
	}
	return nil
}
