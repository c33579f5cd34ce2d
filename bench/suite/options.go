package suite

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"maestro/bench/peers"
	"maestro/bench/result"
	"maestro/layers"
	"maestro/stack"
)

// The networks.
const (
	Namespaces = "ns"    // network namespaces on one bridge, for root on Linux
	Loopback   = "lo"    // the loopback interface
	Machines   = "hosts" // machines that are reached by ssh
)

// The places of members on processors.
const (
	Anywhere = "any"    // where the kernel puts them
	OneCore  = "one"    // all on one
	Spread   = "spread" // member i on processor i, modulo their number
)

// Options is what may be chosen. Lists and numbers that are zero are each
// benchmark's own defaults.
type Options struct {
	Net      string // Namespaces, Loopback or Machines
	Members  []int
	Senders  []string // "one", "all"
	Sizes    []int    // bytes
	Stacks   []string // as Stack reads them
	Loss     []int    // of 1000 datagrams
	Waits    []string // of floor.Wait
	Pin      string
	Thread   bool // streams are cast by a goroutine of the application, not by the member's loop
	MTU      int  // of namespaces; default 1500
	Duration time.Duration
	Reps     int
	Smoke    bool // as little as shows that it works

	// Hosts are the members' machines, one for each, where Net is Machines. They are
	// reached by the command SSH, with a host and a line for its shell as more
	// arguments, and get a copy of the file Executable, which is this program.
	Hosts      []Host
	SSH        []string
	Executable string
	fleet      *fleet // the hosts, made ready
	plan       *plan

	// Peers are the systems of benchmark peers, nil for all; PeerFolder is where
	// their adapters are, if not in the checkout around the working directory.
	Peers      []peers.Peer
	PeerFolder string

	// Command makes the command of a process that ends up in Child with the same
	// kind and argument.
	Command func(kind, arg string) *exec.Cmd
	// Full leaves nothing out: longer loads, the largest groups.
	Full bool
	// Planned is told what is to be done before it begins; nil is allowed.
	Planned func(parts []Part)
	// Progress is told what is being done; nil is silent.
	Progress func(p Progress)
	// Point gets every point as soon as it is complete; nil is allowed.
	Point func(p *result.Point)
}

// The bounds of Options.
const (
	MaxMembers   = 64
	MaxSimulated = 1000 // members of a simulated group
	MaxSize      = 16 << 20
	MaxState     = 4 << 30 // of a transfer
	MaxReps      = 1000
	MaxDuration  = 24 * time.Hour
)

// Validate says what cannot be.
func (o *Options) Validate() error {
	bad := func(ok func() bool, format string, args ...any) error {
		if ok() {
			return nil
		}
		return fmt.Errorf("suite: "+format, args...)
	}
	err := errors.Join(
		bad(func() bool {
			return slices.Contains([]string{Namespaces, Loopback, Machines}, o.Net)
		}, "network %q", o.Net),
		bad(func() bool { return (o.Net == Machines) == (len(o.Hosts) > 0) },
			"%d hosts for the network %q", len(o.Hosts), o.Net),
		bad(func() bool { return o.Net != Machines || o.Pin == "" || o.Pin == Anywhere },
			"members on other machines cannot be pinned"),
		bad(func() bool { return o.Command != nil }, "Options.Command is required"),
		bad(func() bool { return o.Reps >= 0 && o.Reps <= MaxReps }, "%d repetitions", o.Reps),
		bad(func() bool { return o.Duration >= 0 && o.Duration <= MaxDuration },
			"duration %v", o.Duration),
		bad(func() bool { return o.MTU == 0 || o.MTU >= 576 && o.MTU <= 65000 }, "MTU %d", o.MTU),
		bad(func() bool {
			return slices.Contains([]string{"", Anywhere, OneCore, Spread}, o.Pin)
		}, "place on processors %q", o.Pin))
	for _, n := range o.Members {
		err = errors.Join(err, bad(func() bool { return n >= 2 && n <= MaxSimulated },
			"%d members are not in 2..%d", n, MaxSimulated))
	}
	for _, n := range o.Sizes {
		err = errors.Join(err, bad(func() bool { return n >= 1 && int64(n) <= MaxState },
			"%d bytes are not in 1..%d", n, int64(MaxState)))
	}
	for _, n := range o.Loss {
		err = errors.Join(err, bad(func() bool { return n >= 0 && n <= 500 },
			"loss of %d of 1000", n))
	}
	for _, s := range o.Senders {
		err = errors.Join(err, bad(func() bool { return s == "one" || s == "all" },
			"senders %q", s))
	}
	for _, w := range o.Waits {
		err = errors.Join(err, bad(func() bool { return spins(w) != unknown }, "wait %q", w))
	}
	for _, s := range o.Stacks {
		_, e := Stack(s)
		err = errors.Join(err, e)
	}
	return err
}

// choices are the properties that stacks differ by: those that change what is
// composed.
func choices() (all []stack.Props) {
	plain := len(compose(0))
	for p := stack.Props(1); p.String() != ""; p <<= 1 {
		if len(compose(p)) != plain {
			all = append(all, p)
		}
	}
	return all
}

func compose(want stack.Props) []stack.Maker {
	_, makers := layers.For(want)
	return makers
}

// Stack reads the name of a stack: properties that are wanted beyond virtual
// synchrony, as "total" or "total+nolocal"; "vsync" is none.
func Stack(name string) (want stack.Props, err error) {
	for part := range strings.SplitSeq(strings.ToLower(name), "+") {
		found := part == "vsync"
		for _, p := range choices() {
			if strings.ToLower(p.String()) == part {
				want |= p
				found = true
			}
		}
		if !found {
			return 0, fmt.Errorf("suite: no stack %q; there are %s", name,
				strings.Join(Stacks(), ", "))
		}
	}
	return want, stack.Check(compose(want))
}

// Stacks names the stacks that there are, each with one property.
func Stacks() []string {
	names := []string{"vsync"}
	for _, p := range choices() {
		names = append(names, strings.ToLower(p.String()))
	}
	return names
}

func or[T any](given, otherwise []T) []T {
	if len(given) > 0 {
		return given
	}
	return otherwise
}
