package netlab

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	runDir = "/run/netns"
	prefix = "mlab-" // then the process id, the lab's number, the member's

	// marker is the environment variable that tells whose child a process is.
	marker = "MAESTRO_NETLAB"
)

// Sweep removes what runs that are dead by now have left behind: names in
// /run/netns, and processes that a member had started. New does it first.
func Sweep() {
	names, _ := filepath.Glob(filepath.Join(runDir, prefix+"*"))
	for _, name := range names {
		target, err := os.Readlink(name)
		if err != nil {
			continue
		}
		if ns, _ := os.Readlink(target); !strings.HasPrefix(ns, "net:[") {
			_ = os.Remove(name)
		}
	}
	killMarked(dead)
}

// killMarked kills the processes that were started in a lab which is to go.
func killMarked(gone func(lab string) bool) {
	envs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, env := range envs {
		b, err := os.ReadFile(env)
		if err != nil {
			continue // gone, or not ours to read
		}
		if lab, ok := markOf(b); ok && gone(lab) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(env)))
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// markOf finds the marker in an environment.
func markOf(environ []byte) (lab string, ok bool) {
	for v := range bytes.SplitSeq(environ, []byte{0}) {
		if s, found := strings.CutPrefix(string(v), marker+"="); found {
			return s, true
		}
	}
	return "", false
}

// dead says whether the process that had a lab is no more. A name that is not
// one of ours counts as alive.
func dead(lab string) bool {
	rest, ok := strings.CutPrefix(lab, prefix)
	if !ok {
		return false
	}
	digits, _, _ := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(digits)
	if err != nil || pid <= 1 {
		return false
	}
	return syscall.Kill(pid, 0) == syscall.ESRCH
}

func ipNet(p netip.Prefix) *net.IPNet {
	a := p.Addr()
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(p.Bits(), a.BitLen())}
}
