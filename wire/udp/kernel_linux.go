package udp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is the system calls that move datagrams. Tests replace one of them.
type kernel struct {
	sendmmsg func(fd int, h []unix.Mmsghdr) (int, unix.Errno)
	recvmmsg func(fd int, h []unix.Mmsghdr) (int, unix.Errno)
}

func realKernel() kernel { return kernel{sendmmsg: sendmmsg, recvmmsg: recvmmsg} }

// The calls that never block are raw: telling the scheduler about them costs as
// much as a small one does, and would let it take the loop's processor away in
// the middle of a long one.

func sendmmsg(fd int, h []unix.Mmsghdr) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(h))), uintptr(len(h)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

func recvmmsg(fd int, h []unix.Mmsghdr) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(h))), uintptr(len(h)),
		unix.MSG_DONTWAIT, 0, 0)
	return int(n), e
}

// timespec64 is what epoll_pwait2 takes on every architecture.
type timespec64 struct{ sec, nsec int64 }

// epollWait waits at most ns nanoseconds; negative is for ever. It blocks the
// thread: through the runtime's poller there would be a second wake-up.
func epollWait(ep int, ev []unix.EpollEvent, ns int64) (int, unix.Errno) {
	ts := timespec64{ns / 1e9, ns % 1e9}
	p := &ts
	if ns < 0 {
		p = nil
	}
	if ns == 0 {
		n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep),
			uintptr(unsafe.Pointer(unsafe.SliceData(ev))), uintptr(len(ev)),
			uintptr(unsafe.Pointer(p)), 0, 0)
		return int(n), e
	}
	n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep),
		uintptr(unsafe.Pointer(unsafe.SliceData(ev))), uintptr(len(ev)),
		uintptr(unsafe.Pointer(p)), 0, 0)
	return int(n), e
}

// epollWaitMilli is for kernels before 5.11; it rounds up to milliseconds.
func epollWaitMilli(ep int, ev []unix.EpollEvent, ns int64) (int, unix.Errno) {
	ms := -1
	if ns >= 0 {
		ms = int(min((ns+999_999)/1_000_000, 1<<30))
	}
	n, err := unix.EpollWait(ep, ev, ms)
	e, _ := err.(unix.Errno)
	return max(n, 0), e
}
