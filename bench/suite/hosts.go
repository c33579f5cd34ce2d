package suite

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"maestro/bench/floor"
	"maestro/bench/result"
)

// Host is a machine that members run on.
type Host struct {
	Name      string // as ssh takes it
	Interface string // of its network
	Path      string // of this program there; empty: it is copied
}

// ReadHosts reads a hosts file: a line for each member, with the name of its host
// and, if need be, iface= and path=. What follows # is a remark.
func ReadHosts(in io.Reader) (all []Host, err error) {
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		f := strings.Fields(text)
		if len(f) == 0 {
			continue
		}
		h := Host{Name: f[0], Interface: "eth0"}
		for _, kv := range f[1:] {
			key, value, _ := strings.Cut(kv, "=")
			switch {
			case key == "iface" && value != "":
				h.Interface = value
			case key == "path" && value != "":
				h.Path = value
			default:
				return nil, fmt.Errorf("suite: hosts, line %d: what is %q", n, kv)
			}
		}
		if !hostName.MatchString(h.Name) {
			return nil, fmt.Errorf("suite: hosts, line %d: %q is no name of a host", n, h.Name)
		}
		all = append(all, h)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("suite: hosts: %w", err)
	}
	if len(all) < 2 {
		return nil, errors.New("suite: hosts: a group has at least two members")
	}
	return all, nil
}

// hostName is user and host. It cannot be taken for an option.
var hostName = regexp.MustCompile(`^[\w.:@%\[\]][\w.:@%\[\]-]*$`)

// fleet is the hosts, made ready.
type fleet struct {
	ssh   []string
	hosts []Host
	at    map[string]*station
	made  []string // what has been said of them
	mtu   int      // the least
}

// station is one machine; several members may share it.
type station struct {
	path   string
	copied bool          // by us, at least in part
	whole  bool          // and it is all there
	offset time.Duration // of its clock
}

// sshCommand is how hosts are reached, unless something else is wanted: it asks
// for no password, and notices when a host is gone.
func sshCommand() []string {
	return []string{"ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10",
		"-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"}
}

// reachTime is what a host gets for one step of being made ready.
const reachTime = time.Minute

// muster makes the hosts ready: this program is copied where it is not, and
// asked what its machine is. What has been copied is taken away by disband.
func (s *session) muster() (*fleet, error) {
	ctx, o := s.ctx, &s.o
	f := &fleet{ssh: or(o.SSH, sshCommand()), hosts: o.Hosts, at: map[string]*station{}}
	for _, h := range o.Hosts {
		if f.at[h.Name] != nil {
			continue
		}
		s.progress("host " + h.Name)
		at := &station{path: h.Path}
		f.at[h.Name] = at
		if h.Path == "" {
			if err := f.copy(ctx, h, at, o.Executable); err != nil {
				return f, fmt.Errorf("suite: host %s: %w", h.Name, err)
			}
		}
		if err := f.meet(ctx, h, at); err != nil {
			return f, fmt.Errorf("suite: host %s: %w", h.Name, err)
		}
	}
	return f, nil
}

// shell is a command that a host's shell carries out.
func (f *fleet) shell(ctx context.Context, h Host, line string) *exec.Cmd {
	args := append(append([]string{}, f.ssh[1:]...), h.Name, line)
	return exec.CommandContext(ctx, f.ssh[0], args...)
}

// copy puts this program on a host, in a new file that only its user may read.
func (f *fleet) copy(ctx context.Context, h Host, s *station, program string) error {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	in, err := os.Open(program)
	if err != nil {
		return err
	}
	defer in.Close()
	s.path, s.copied = fmt.Sprintf("/tmp/maestro-bench-%d-%s", pid(), rand.Text()), true
	cmd := f.shell(ctx, h, fmt.Sprintf("umask 077; set -C; cat >%[1]s && chmod 700 %[1]s", s.path))
	cmd.Stdin = in
	if _, err := cmd.Output(); err != nil {
		return fmt.Errorf("copying: %w%s", err, stderr(err))
	}
	s.whole = true
	return nil
}

// stderr is what a command that has failed has said.
func stderr(err error) string {
	var e *exec.ExitError
	if errors.As(err, &e) && len(e.Stderr) > 0 {
		return ": " + strings.TrimSpace(string(e.Stderr))
	}
	return ""
}

// member is the command of a member's process on its host.
func (f *fleet) member(i int, kind, arg string) *exec.Cmd {
	h := f.hosts[i-1]
	return f.child(h, f.at[h.Name], kind, arg)
}

func (f *fleet) child(h Host, s *station, kind, arg string) *exec.Cmd {
	return f.shell(context.Background(), h,
		fmt.Sprintf("exec %s bench child %s %s", quote(s.path), quote(kind), quote(arg)))
}

// quote makes one word of a text for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// clocks is how often a host is asked for the time. The quickest answer counts.
const clocks = 20

// meet asks a host what it is, and for the time.
func (f *fleet) meet(ctx context.Context, h Host, s *station) error {
	cmd := f.child(h, s, "host", h.Interface)
	p, err := run(cmd, 0, func(cmd *exec.Cmd) error { return start(cmd, -1) })
	if err != nil {
		return err
	}
	p.host = h.Name
	defer func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	}()
	line, err := p.wait(ctx, "HOST", reachTime, nil)
	if err != nil {
		return err
	}
	var m result.Machine
	if err := json.Unmarshal([]byte(line[0]), &m); err != nil {
		return err
	}
	if mine := result.Look(); m.Version != mine.Version || m.Go != mine.Go {
		return fmt.Errorf("%s there is %s of %s, here it is %s of %s", s.path, m.Version, m.Go,
			mine.Version, mine.Go)
	}
	if f.mtu == 0 || m.MTU < f.mtu {
		f.mtu = m.MTU
	}
	best := time.Hour
	for range clocks {
		began := time.Now()
		if err := p.say("clock"); err != nil {
			return err
		}
		t, err := p.wait(ctx, "CLOCK", replyTime, anyFields)
		if err != nil {
			return err
		}
		if d := time.Since(began); d < best {
			best = d
			s.offset = time.Unix(0, number(t[0])).Sub(began.Add(d / 2))
		}
	}
	f.made = append(f.made, fmt.Sprintf("%s: kernel %s, %d x %s, %d MiB, %s, MTU %d, clock to %v",
		h.Name, m.Kernel, m.CPUs, m.CPU, m.MemoryKiB>>10, h.Interface, m.MTU,
		(best/2).Round(time.Microsecond)))
	return nil
}

// disband takes away what has been copied, also when the run has been stopped.
func (f *fleet) disband() error {
	if f == nil {
		return nil
	}
	var err error
	for name, s := range f.at {
		if !s.copied {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), replyTime)
		_, e := f.shell(ctx, Host{Name: name}, "rm -f "+quote(s.path)).Output()
		cancel()
		if e != nil && s.whole { // otherwise the host has never been reached
			err = errors.Join(err, fmt.Errorf("suite: %s is left on %s: %w", s.path, name, e))
		}
	}
	return err
}

// withInterface is the argument of a floor's process with its host's interface.
func (f *fleet) withInterface(host int, arg string) (string, error) {
	var c floor.Config
	if err := json.Unmarshal([]byte(arg), &c); err != nil {
		return "", fmt.Errorf("suite: %w", err)
	}
	c.Interface = f.hosts[host-1].Interface
	b, err := json.Marshal(&c)
	if err != nil {
		return "", fmt.Errorf("suite: %w", err)
	}
	return string(b), nil
}

// hostChild tells what this machine is, and its time when it is asked.
func hostChild(iface string, in io.Reader, out io.Writer) error {
	m := result.Look()
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return fmt.Errorf("suite: interface %s: %w", iface, err)
	}
	m.MTU = i.MTU
	b, err := json.Marshal(&m)
	if err != nil {
		return fmt.Errorf("suite: %w", err)
	}
	fmt.Fprintf(out, "HOST %s\n", b)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		fmt.Fprintf(out, "CLOCK %d\n", time.Now().UnixNano())
	}
	return nil
}

// mortal passes lines on, but for "die": then this process kills itself, as no
// signal from another machine can.
func mortal(in io.Reader) io.Reader {
	r, w := io.Pipe()
	go func() {
		lines := bufio.NewScanner(in)
		for lines.Scan() {
			if lines.Text() == "die" {
				if p, err := os.FindProcess(os.Getpid()); err == nil {
					_ = p.Kill()
				}
			}
			fmt.Fprintln(w, lines.Text())
		}
		w.CloseWithError(lines.Err())
	}()
	return r
}
