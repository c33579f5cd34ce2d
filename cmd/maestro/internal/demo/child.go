package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"maestro/cmd/maestro/internal/kv"
	"maestro/cmd/maestro/internal/member"
)

// child is one member's process.
type child struct {
	name    string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	stderr  bytes.Buffer
	replies chan member.Event
	done    chan struct{} // closed when the process has ended
	err     error         // how, after done
	asking  sync.Mutex

	mu     sync.Mutex
	events []member.Event
	view   member.Event // the last
}

// since lists what has happened since a time.
func (c *child) since(t time.Time) (list []member.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range slices.Backward(c.events) {
		if e.Time < t.UnixNano() {
			break
		}
		list = append(list, e)
	}
	slices.Reverse(list)
	return list
}

// first finds the first event since a time that is as wanted.
func (c *child) first(t time.Time, ok func(e *member.Event) bool) (member.Event, bool) {
	for _, e := range c.since(t) {
		if ok(&e) {
			return e, true
		}
	}
	return member.Event{}, false
}

func (c *child) current() member.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view
}

// listen takes what the process prints, until it ends.
func (c *child) listen(r io.Reader) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var e member.Event
		if json.Unmarshal(in.Bytes(), &e) != nil {
			continue // it was killed within a line
		}
		if strings.HasPrefix(e.Event, member.Reply) {
			c.replies <- e
			continue
		}
		c.mu.Lock()
		c.events = append(c.events, e)
		if e.Event == kv.ViewAccepted {
			c.view = e
		}
		c.mu.Unlock()
	}
}

var errGone = errors.New("its process has ended")

// ask gives the process a command and waits for the reply.
func (c *child) ask(ctx context.Context, line string) (e member.Event, err error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	if _, err := io.WriteString(c.stdin, line+"\n"); err != nil {
		return e, fmt.Errorf("%s: %w", c.name, err)
	}
	select {
	case e = <-c.replies:
	case <-c.done:
		return e, fmt.Errorf("%s: %w", c.name, errGone)
	case <-ctx.Done():
		return e, fmt.Errorf("%s: %s: %w", c.name, line, ctx.Err())
	}
	if e.Err != "" {
		err = fmt.Errorf("%s: %s", c.name, e.Err)
	}
	return e, err
}

// fleet is all processes that were started.
type fleet struct {
	args   func(name string, role string) []string
	starts chan func()

	mu  sync.Mutex
	all []*child
}

// newFleet readies a thread that processes are started from: they end with it.
func newFleet() *fleet {
	f := &fleet{starts: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for start := range f.starts {
			start()
		}
		runtime.UnlockOSThread()
	}()
	return f
}

// start starts a member.
func (f *fleet) start(name, role string) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{name: name, replies: make(chan member.Event, 1), done: make(chan struct{})}
	c.cmd = exec.Command(exe, f.args(name, role)...)
	c.cmd.Args[0] = os.Args[0]
	c.cmd.SysProcAttr, c.cmd.Stderr = attributes(), &c.stderr
	c.cmd.WaitDelay = time.Second
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	f.starts <- func() { started <- c.cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.all = append(f.all, c)
	f.mu.Unlock()
	go func() {
		c.listen(out)
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// find is the member that was started last under a name.
func (f *fleet) find(name string) *child {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range slices.Backward(f.all) {
		if c.name == name {
			return c
		}
	}
	return nil
}

// close ends all processes, whatever they do.
func (f *fleet) close() {
	f.mu.Lock()
	all := slices.Clone(f.all)
	f.mu.Unlock()
	for _, c := range all {
		select {
		case <-c.done:
		default:
			_ = c.cmd.Process.Kill()
			<-c.done
		}
	}
	close(f.starts)
}
