package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Peer is one system, in one of the ways to use it.
type Peer struct {
	Name      string // of the folder
	Variant   string
	Guarantee string // of what is measured
	// Spaces says that members need a network namespace each.
	Spaces bool

	build func(ctx context.Context, p *Peer, src, out string) ([]string, error)
	with  string // what pkg-config is asked for
	needs string // Debian's packages
}

// String names it: "zeromq-pgm".
func (p *Peer) String() string {
	return strings.TrimSuffix(p.Name+"-"+p.Variant, "-")
}

// All is the systems that there are adapters for, and one that cannot be had.
func All() []Peer {
	return []Peer{
		{Name: "nats", build: goModule, Guarantee: "at most once to those who are connected; " +
			"FIFO of each sender; a slow receiver is cut off; no views"},
		{Name: "memberlist", Variant: "gossip", build: goModule, Guarantee: "gossip, probably " +
			"to all; no order; members known eventually, no agreed views"},
		{Name: "memberlist", Variant: "direct", build: goModule, Guarantee: "datagrams: none; " +
			"members known eventually, no agreed views"},
		{Name: "zeromq", Variant: "tcp", build: c, with: "libzmq", needs: "libzmq3-dev",
			Guarantee: "at most once to those who are connected; FIFO of each sender; no members"},
		{Name: "zeromq", Variant: "pgm", Spaces: true, build: c, with: "libzmq",
			needs: "libzmq3-dev", Guarantee: "multicast with repairs while the sender has the " +
				"data, gaps are told to nobody; FIFO of each sender; no members, no flow control"},
		{Name: "norm", Spaces: true, build: c, with: "norm", needs: "libnorm-dev",
			Guarantee: "reliable FIFO multicast of each sender to listed receivers, who " +
				"acknowledge; no membership"},
		{Name: "corosync", Spaces: true, build: c, with: "libcpg", needs: "corosync libcpg-dev",
			Guarantee: "virtual synchrony, total order (a token goes round)"},
		{Name: "jgroups", Variant: "fifo", Spaces: true, build: java, needs: "libjgroups-java",
			Guarantee: "reliable FIFO multicast, views, no flush: not virtually synchronous"},
		{Name: "jgroups", Variant: "total", Spaces: true, build: java, needs: "libjgroups-java",
			Guarantee: "total order by a sequencer, views, no flush"},
		{Name: "spread", build: absent, Guarantee: "extended virtual synchrony, total order"},
	}
}

// ErrMissing says that something to build or run a system with is not there.
var ErrMissing = errors.New("missing")

func missing(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMissing, fmt.Sprintf(format, args...))
}

// header is the file that tells the adapters' folder.
const header = "peer/peer.h"

// Find is the folder of the adapters: the one given, or bench/peers in the
// working directory or above.
func Find(given string) (string, error) {
	dir, err := filepath.Abs(given)
	if err != nil {
		return "", fmt.Errorf("peers: %w", err)
	}
	for given == "" {
		try := filepath.Join(dir, "bench", "peers")
		if _, err := os.Stat(filepath.Join(try, header)); err == nil {
			return try, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("peers: the adapters are built from our sources: run this in a " +
				"checkout, or name its folder bench/peers")
		}
		dir = up
	}
	if _, err := os.Stat(filepath.Join(dir, header)); err != nil {
		return "", fmt.Errorf("peers: %s is not the folder of the adapters: %w", given, err)
	}
	return dir, nil
}

// Build builds the adapter in a folder of its own below out, and returns the
// command that runs it.
func (p *Peer) Build(ctx context.Context, src, out string) ([]string, error) {
	out = filepath.Join(out, p.String())
	if err := os.Mkdir(out, 0o700); err != nil {
		return nil, fmt.Errorf("peers: %w", err)
	}
	command, err := p.build(ctx, p, filepath.Join(src, p.Name), out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	if p.Name == "corosync" {
		err = tool(p, "corosync")
	}
	return command, err
}

func absent(context.Context, *Peer, string, string) ([]string, error) {
	return nil, missing("Debian 12 has no package of it")
}

// tool looks for a command.
func tool(p *Peer, name string) error {
	if _, err := exec.LookPath(name); err != nil {
		return missing("no command %s: apt-get install %s", name, p.needs)
	}
	return nil
}

// run runs a command of the build.
func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "CGO_ENABLED=0")
	text, err := cmd.CombinedOutput()
	if err != nil {
		text = text[max(0, len(text)-500):]
		return missing("%s: %v: %s", name, err, strings.TrimSpace(string(text)))
	}
	return nil
}

func goModule(ctx context.Context, p *Peer, src, out string) ([]string, error) {
	program := filepath.Join(out, p.Name)
	if err := tool(p, "go"); err != nil {
		return nil, missing("no command go")
	}
	err := run(ctx, src, "go", "build", "-tags", "peers", "-o", program, ".")
	return []string{program, "variant=" + p.Variant}, err
}

// c compiles a file of C, or of C++ where the system's header is.
func c(ctx context.Context, p *Peer, src, out string) ([]string, error) {
	compiler, file := "cc", filepath.Join(src, p.Name+".c")
	if _, err := os.Stat(file); err != nil {
		compiler, file = "c++", file+"c"
	}
	p.needs += " pkg-config g++"
	if err := errors.Join(tool(p, compiler), tool(p, "pkg-config")); err != nil {
		return nil, err
	}
	flags, err := exec.CommandContext(ctx, "pkg-config", "--cflags", "--libs", p.with).Output()
	if err != nil {
		return nil, missing("no library %s: apt-get install %s", p.with, p.needs)
	}
	program := filepath.Join(out, p.Name)
	args := slices.Concat([]string{"-O2", "-D_GNU_SOURCE", "-pthread", "-o", program, file},
		strings.Fields(string(flags)))
	return []string{program, "variant=" + p.Variant}, run(ctx, src, compiler, args...)
}

// jar is where Debian puts JGroups.
const jar = "/usr/share/java/jgroups.jar"

func java(ctx context.Context, p *Peer, src, out string) ([]string, error) {
	p.needs += " default-jdk-headless"
	if err := errors.Join(tool(p, "javac"), tool(p, "java")); err != nil {
		return nil, err
	}
	if _, err := os.Stat(jar); err != nil {
		return nil, missing("no %s: apt-get install %s", jar, p.needs)
	}
	err := run(ctx, src, "javac", "-d", out, "-cp", jar, "Peer.java")
	return []string{"java", "-Djava.net.preferIPv4Stack=true", "-Xmx1g", "-cp", jar + ":" + out,
		"Peer", "variant=" + p.Variant}, err
}

// Ready is a peer that is built already: its command is run as it is.
func Ready(p Peer, command ...string) Peer {
	p.build = func(context.Context, *Peer, string, string) ([]string, error) { return command, nil }
	return p
}
