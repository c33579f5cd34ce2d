//go:build unix

package udp

import (
	"net"
	"runtime"
	"syscall"
)

// grantedBuffer is the size of a socket buffer as the kernel reports it.
func grantedBuffer(c *net.UDPConn, recv bool, asked int) int {
	name := syscall.SO_SNDBUF
	if recv {
		name = syscall.SO_RCVBUF
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return asked
	}
	got := asked
	err = raw.Control(func(fd uintptr) {
		if n, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, name); err == nil {
			got = n
		}
	})
	if err != nil {
		return asked
	}
	if runtime.GOOS == "linux" {
		got /= 2 // Linux reports the double
	}
	return got
}
