package netlab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Line is one line that a process has written.
type Line struct {
	At   time.Time
	Err  bool // on stderr
	Text string
}

// Proc is a process in a member's namespace. Its methods may be called from
// any goroutine, except those that fail the test.
type Proc struct {
	Member int

	t    T
	cmd  *exec.Cmd
	in   io.WriteCloser
	done chan struct{} // closed when it has ended and all output is read

	mu    sync.Mutex
	lines []Line
	seen  int           // lines that Wait has gone past
	more  chan struct{} // closed and replaced at each line
	err   error         // how it ended, after done
}

// Start runs a command in the namespace of member i. It dies with this process.
// All its output is logged if the test fails.
func (l *Lab) Start(i int, command string, args ...string) *Proc {
	l.t.Helper()
	cmd := exec.Command(command, args...)
	cmd.Env = append(os.Environ(), marker+"="+l.name)
	// A group of its own, so that its children can be killed and paused with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Proc{
		Member: i,
		t:      l.t,
		cmd:    cmd,
		done:   make(chan struct{}),
		more:   make(chan struct{}),
	}
	out, err1 := cmd.StdoutPipe()
	errs, err2 := cmd.StderrPipe()
	in, err3 := cmd.StdinPipe()
	p.in = in
	err := errors.Join(err1, err2, err3)
	if err == nil {
		l.InNS(i, func() { err = cmd.Start() })
	}
	if err != nil {
		l.t.Fatalf("netlab: member %d: %v", i, err)
	}
	l.procs = append(l.procs, p)
	go p.watch(out, errs)
	return p
}

// Kill kills all processes of member i at once (SIGKILL) and waits for their end.
func (l *Lab) Kill(i int) {
	l.t.Helper()
	l.each(i, (*Proc).kill)
	l.each(i, (*Proc).reap)
}

// Pause stops all processes of member i, Resume lets them go on.
func (l *Lab) Pause(i int) { l.each(i, func(p *Proc) { p.Signal(syscall.SIGSTOP) }) }

// Resume lets the processes of member i go on.
func (l *Lab) Resume(i int) { l.each(i, func(p *Proc) { p.Signal(syscall.SIGCONT) }) }

func (l *Lab) each(i int, f func(*Proc)) {
	for _, p := range l.procs {
		if p.Member == i {
			f(p)
		}
	}
}

// Pid is the process id.
func (p *Proc) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process and its children, if it still runs.
func (p *Proc) Signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(-p.Pid(), s)
	}
}

// Say writes a line to the standard input of the process.
func (p *Proc) Say(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		p.t.Fatalf("netlab: member %d: %v", p.Member, err)
	}
}

// Done is closed when the process has ended.
func (p *Proc) Done() <-chan struct{} { return p.done }

// Exit waits for the end of the process and returns its exit code, or -1 if a
// signal has ended it. The test fails if it takes longer.
func (p *Proc) Exit(timeout time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(timeout):
		p.t.Fatalf("netlab: %s still runs after %v", p, timeout)
		return -1
	}
}

// Wait waits for a line that matches a regular expression, of either stream,
// and returns it and its submatches. It looks at each line once: the next Wait
// begins behind the line found. The test fails if none comes in time.
func (p *Proc) Wait(pattern string, timeout time.Duration) (Line, []string) {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.After(timeout)
	for done := p.done; ; {
		line, match, more := p.search(re)
		if match != nil {
			return line, match
		}
		if done == nil {
			p.t.Fatalf("netlab: %s has ended (%v), no line matches %q", p, p.err, pattern)
		}
		select {
		case <-more:
		case <-done:
			done = nil // one last look
		case <-late:
			p.t.Fatalf("netlab: %s: no line matches %q within %v", p, pattern, timeout)
		}
	}
}

func (p *Proc) search(re *regexp.Regexp) (Line, []string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.seen < len(p.lines) {
		line := p.lines[p.seen]
		p.seen++
		if m := re.FindStringSubmatch(line.Text); m != nil {
			return line, m, nil
		}
	}
	return Line{}, nil, p.more
}

// Output is all that the process has written up to now.
func (p *Proc) Output() []Line {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines)
}

// String names the process in messages.
func (p *Proc) String() string { return strings.Join(p.cmd.Args, " ") }

// watch reads the output and then waits for the process.
func (p *Proc) watch(out, errs io.Reader) {
	var both sync.WaitGroup
	both.Go(func() { p.read(out, false) })
	both.Go(func() { p.read(errs, true) })
	both.Wait()
	p.err = p.cmd.Wait()
	close(p.done)
}

func (p *Proc) read(r io.Reader, isErr bool) {
	for b := bufio.NewReader(r); ; {
		text, err := b.ReadString('\n')
		if text != "" {
			p.add(Line{At: time.Now(), Err: isErr, Text: strings.TrimRight(text, "\r\n")})
		}
		if err != nil {
			return
		}
	}
}

func (p *Proc) add(line Line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
	close(p.more)
	p.more = make(chan struct{})
}

func (p *Proc) kill() { p.Signal(syscall.SIGKILL) }

// reap waits for the end of a killed process.
func (p *Proc) reap() {
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		p.t.Logf("netlab: %s does not die", p)
	}
}

// dump logs the output, for a test that has failed.
func (p *Proc) dump() {
	for _, line := range p.Output() {
		mark := ' '
		if line.Err {
			mark = '!'
		}
		p.t.Logf("%s m%d%c %s", line.At.Format("15:04:05.000000"), p.Member, mark, line.Text)
	}
}
