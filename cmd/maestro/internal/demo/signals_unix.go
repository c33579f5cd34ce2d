//go:build unix

package demo

import "syscall"

// What has a process stand still, and go on.
const (
	stopSignal = syscall.SIGSTOP
	contSignal = syscall.SIGCONT
	canSignal  = true
)
