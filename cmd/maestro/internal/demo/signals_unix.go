//go:build unix

package demo

import "syscall"

// What has a process stand still, and go on.
var (
	stopSignal = syscall.SIGSTOP
	contSignal = syscall.SIGCONT
	canSignal  = true
)
