//go:build !linux

package demo

import "syscall"

// attributes: here the members end with their input, which ends with us.
func attributes() *syscall.SysProcAttr { return nil }
