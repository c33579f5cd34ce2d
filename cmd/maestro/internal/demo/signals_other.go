//go:build !unix

package demo

import "syscall"

// There is nothing of the kind here, nor a way to ask a process to leave.
const (
	stopSignal = syscall.SIGTERM
	contSignal = syscall.SIGTERM
	canSignal  = false
)
