package suite

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// proc is a process that is told what to do by lines and answers by lines.
type proc struct {
	member int
	cmd    *exec.Cmd
	in     io.WriteCloser
	done   chan struct{} // closed when it has ended and all output is read
	mortal atomic.Bool   // it may end
	host   string        // that cmd only leads to; empty: this one

	mu    sync.Mutex
	lines []string
	seen  map[string]int // lines that wait has gone past, by first word
	more  chan struct{}  // closed and replaced at each line
	err   error          // how it ended, after done
	errs  bytes.Buffer   // the end of standard error
}

// maxErrs bounds what is kept of standard error, and maxText one line of
// standard output.
const (
	maxErrs = 64 << 10
	maxText = 16 << 20
)

// run gives the process its pipes and starts it.
func run(cmd *exec.Cmd, member int, start func(*exec.Cmd) error) (*proc, error) {
	p := &proc{member: member, cmd: cmd, done: make(chan struct{}), more: make(chan struct{}),
		seen: map[string]int{}}
	cmd.Stderr = p
	cmd.WaitDelay = time.Second
	out, err1 := cmd.StdoutPipe()
	in, err2 := cmd.StdinPipe()
	p.in = in
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := start(cmd); err != nil {
		return nil, fmt.Errorf("suite: member %d: %w", member, err)
	}
	go p.watch(out)
	return p, nil
}

// Write takes what the process writes to standard error.
func (p *proc) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs.Write(b)
	if n := p.errs.Len() - maxErrs; n > 0 {
		p.errs.Next(n)
	}
	return len(b), nil
}

func (p *proc) watch(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, maxText)
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
	err := p.cmd.Wait()
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	close(p.done)
}

// say writes a line to the process.
func (p *proc) say(format string, args ...any) error {
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		return p.trouble("does not listen", err)
	}
	return nil
}

// wait waits for a line that begins with a word and is as wanted, and returns
// what follows the word. It looks at each line of a word once. A nil ok takes
// the first.
func (p *proc) wait(ctx context.Context, word string, d time.Duration,
	ok func(fields []string) bool) (fields []string, err error) {
	late := time.NewTimer(d)
	defer late.Stop()
	for done := p.done; ; {
		fields, more := p.search(word, ok)
		if fields != nil {
			return fields, nil
		}
		if done == nil {
			return nil, p.trouble("has ended before "+word, p.err)
		}
		select {
		case <-more:
		case <-done:
			done = nil // one last look
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-late.C:
			return nil, p.trouble(fmt.Sprintf("has not said %s within %v", word, d), nil)
		}
	}
}

func (p *proc) search(word string, ok func([]string) bool) ([]string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := p.seen[word]; i < len(p.lines); i++ {
		p.seen[word] = i + 1
		first, rest, _ := strings.Cut(p.lines[i], " ")
		if first != word {
			continue
		}
		f := []string{rest}
		if ok != nil {
			f = strings.Fields(rest)
		}
		if ok == nil || ok(f) {
			return f, nil
		}
	}
	return nil, p.more
}

// output is all lines.
func (p *proc) output() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return []byte(strings.Join(p.lines, "\n"))
}

// trouble is an error about the process, with the end of what it has said.
func (p *proc) trouble(what string, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := bytes.TrimSpace(p.errs.Bytes())
	tail := p.lines[max(0, len(p.lines)-5):]
	e := fmt.Errorf("suite: %s %s", p.name(), what)
	if err != nil {
		e = fmt.Errorf("%w: %w", e, err)
	}
	if len(text) > 0 {
		e = fmt.Errorf("%w: %s", e, text)
	}
	for _, line := range tail {
		e = fmt.Errorf("%w\n  %.200s", e, line)
	}
	return e
}

// name is how people know the process.
func (p *proc) name() string {
	switch {
	case p.host == "":
		return fmt.Sprintf("member %d", p.member)
	case p.member == 0:
		return "this program on " + p.host
	}
	return fmt.Sprintf("member %d on %s", p.member, p.host)
}

// live reports whether the process runs.
func (p *proc) live() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// shoot ends the process at once.
func (p *proc) shoot() {
	p.mortal.Store(true)
	if p.host != "" && p.say("die") == nil {
		time.AfterFunc(dieTime, func() { _ = p.cmd.Process.Kill() })
		return
	}
	_ = p.cmd.Process.Kill()
}

// dieTime is what a process on another machine gets to end itself, before the
// connection to it is cut; it ends soon after that.
const dieTime = 2 * time.Second

// kill ends the process at once, and waits for its end.
func (p *proc) kill() {
	p.shoot()
	<-p.done
}
