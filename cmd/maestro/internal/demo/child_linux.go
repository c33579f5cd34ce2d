package demo

import "syscall"

// attributes has a process end with the thread that starts it, and keeps the
// terminal's signals away from it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
