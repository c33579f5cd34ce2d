package main

import (
	"fmt"
	"os/exec"
	"strings"
)

// lab is a bridge with a namespace for each member. Package internal/netlab can
// do more; this program must run without it.
type lab struct {
	n int
}

const bridge = "mfl-br"

// newLab makes the namespaces. The lab must be closed even after an error.
func newLab(n int) (*lab, error) {
	l := &lab{n: n}
	l.close() // what a killed run has left
	if err := ip("link add %s mtu 1500 type bridge mcast_snooping 0", bridge); err != nil {
		return l, err
	}
	if err := ip("link set %s up", bridge); err != nil {
		return l, err
	}
	for m := range n {
		for _, c := range []string{
			fmt.Sprintf("netns add %s", l.name(m)),
			fmt.Sprintf("link add mfl-v%d type veth peer name eth0 netns %s", m, l.name(m)),
			fmt.Sprintf("link set mfl-v%d master %s", m, bridge),
			fmt.Sprintf("link set mfl-v%d up", m),
			fmt.Sprintf("-n %s addr add 10.211.0.%d/24 dev eth0", l.name(m), m+1),
			fmt.Sprintf("-n %s link set eth0 up", l.name(m)),
			fmt.Sprintf("-n %s link set lo up", l.name(m)),
		} {
			if err := ip("%s", c); err != nil {
				return l, err
			}
		}
	}
	return l, nil
}

func (l *lab) name(m int) string { return fmt.Sprintf("mfl-%d", m) }

// close removes everything; what is not there is no error.
func (l *lab) close() {
	for m := range l.n {
		_ = ip("link del mfl-v%d", m)
		_ = ip("netns del %s", l.name(m))
	}
	_ = ip("link del %s", bridge)
}

func ip(format string, args ...any) error {
	c := fmt.Sprintf(format, args...)
	out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("floor: ip %s: %w: %s", c, err, strings.TrimSpace(string(out)))
	}
	return nil
}
