// Package demo shows what maestro does: it starts members of a replicated map
// as processes on this machine, does them harm, and tells what happens.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"maestro/cmd/maestro/internal/data"
	"maestro/cmd/maestro/internal/member"
)

// Config is what a demonstration is started with.
type Config struct {
	Data      string // a file; empty is the one that comes with the program
	Servers   int    // to begin with, at least 3
	Interface string // default: the loopback interface
	Traces    string // a folder for the members' traces; empty for none to keep
	Timeout   time.Duration
}

// show is a demonstration that runs.
type show struct {
	c       Config
	out     io.Writer
	ctx     context.Context
	began   time.Time
	fleet   *fleet
	traces  string
	records int
	servers []string // that are meant to be there
	clients []string
	writers []*writer
}

var errSignals = errors.New("demo: this system has no signals that stop a process")

// Run runs the demonstration. Its error says what was not as it should be.
func Run(ctx context.Context, c Config, out io.Writer) (err error) {
	if !canSignal {
		return errSignals
	}
	outer := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout,
		fmt.Errorf("not finished within %v", c.Timeout))
	defer cancel()
	s := &show{c: c, out: out, ctx: ctx}
	if err := s.prepare(); err != nil {
		return err
	}
	defer os.RemoveAll(s.traces)
	if c.Traces != "" {
		s.traces = c.Traces
		if err := os.MkdirAll(c.Traces, 0o755); err != nil {
			return err
		}
	}
	s.began = time.Now()
	defer s.fleet.close()
	defer func() {
		s.rest()
		switch {
		case err == nil:
		case outer.Err() != nil:
			err = errors.New("interrupted")
		default:
			s.report()
			if cause := context.Cause(ctx); cause != nil {
				err = fmt.Errorf("%w: %w", cause, err)
			}
		}
	}()
	for _, act := range []func() error{s.found, s.write, s.join, s.kill, s.pause, s.cut,
		s.compare, s.leave, s.check} {
		if err := act(); err != nil {
			return err
		}
	}
	s.say("done")
	return nil
}

// prepare looks at what is there.
func (s *show) prepare() (err error) {
	list, err := data.Load(s.c.Data)
	if err != nil {
		return err
	}
	keys := map[string]bool{}
	for _, e := range list {
		keys[e.Key] = true
	}
	s.records = len(keys)
	if s.c.Interface == "" {
		if s.c.Interface, err = loopback(); err != nil {
			return err
		}
	}
	if s.traces, err = os.MkdirTemp("", "maestro-demo-"); err != nil {
		return err
	}
	s.fleet = newFleet()
	group := fmt.Sprintf("demo-%d-%x", os.Getpid(), time.Now().UnixNano())
	s.fleet.args = func(name, role string) []string {
		return []string{"node", "--json", "--attached", "--group", group, "--name", name,
			"--role", role, "--interface", s.c.Interface, "--quorum", strconv.Itoa(s.quorum()),
			"--data", s.c.Data, "--trace", s.trace(name)}
	}
	file := s.c.Data
	if file == "" {
		file = data.Builtin + ", which comes with the program"
	}
	fmt.Fprintf(s.out, "%d servers and 2 clients, each a process, over IP multicast on "+
		"interface %s.\nThe servers hold a map of %d records from %s.\n"+
		"Writes need a view of at least %d members.\n\n",
		s.c.Servers, s.c.Interface, s.records, file, s.quorum())
	return nil
}

// trace is the file of a member's trace.
func (s *show) trace(name string) string { return filepath.Join(s.traces, name+".trace") }

// quorum is a majority of all members that there will be when one is cut off.
func (s *show) quorum() int { return (s.c.Servers+2)/2 + 1 }

func loopback() (string, error) {
	list, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range list {
		if i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 {
			return i.Name, nil
		}
	}
	return "", errors.New("there is no loopback interface that is up; use --interface")
}

// say prints a line with the time.
func (s *show) say(format string, args ...any) {
	at := time.Since(s.began).Seconds()
	fmt.Fprintf(s.out, "%6.2f s  %s\n", at, fmt.Sprintf(format, args...))
}

// until waits for something.
func (s *show) until(what string, ok func() bool) error {
	limit := time.Now().Add(10 * time.Second)
	for !ok() {
		switch {
		case s.ctx.Err() != nil:
			return fmt.Errorf("waiting for %s: %w", what, s.ctx.Err())
		case time.Now().After(limit):
			return fmt.Errorf("waited for %s in vain", what)
		}
		for _, c := range s.members() {
			select {
			case <-c.done:
				return fmt.Errorf("%s: %w (%v) %s", c.name, errGone, c.err, c.stderr.String())
			default:
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

// members are the processes that are meant to be there.
func (s *show) members() (list []*child) {
	for _, n := range slices.Concat(s.servers, s.clients) {
		list = append(list, s.fleet.find(n))
	}
	return list
}

// settled waits until all members are in one view, servers with the map, and
// returns when the last of them was.
func (s *show) settled(what string) (at time.Time, err error) {
	err = s.until(what, func() bool {
		at = time.Time{}
		var id string
		for i, c := range s.members() {
			v := c.current()
			if i == 0 {
				id = v.View
			}
			if v.View != id || len(v.Transfer) > 0 || !same(v.Servers, s.servers) ||
				!same(v.Clients, s.clients) {
				return false
			}
			if t := time.Unix(0, v.Time); t.After(at) {
				at = t
			}
		}
		return true
	})
	return at, err
}

// without waits until a member is in the view of no other, and returns when the
// last of the others had that view.
func (s *show) without(gone *child, from time.Time) (at time.Time, err error) {
	err = s.until("a view without "+gone.name, func() bool {
		at = time.Time{}
		for _, c := range s.members() {
			if c == gone {
				continue
			}
			v, ok := c.first(from, func(e *member.Event) bool {
				return e.View != "" && !slices.Contains(e.Members, gone.name)
			})
			if !ok {
				return false
			}
			if t := time.Unix(0, v.Time); t.After(at) {
				at = t
			}
		}
		return true
	})
	return at, err
}

func same(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// report prints what is known when something went wrong.
func (s *show) report() {
	fmt.Fprintln(s.out, "\nWhat the members have said last:")
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	for _, c := range s.fleet.all {
		c.mu.Lock()
		for _, e := range c.events[max(0, len(c.events)-5):] {
			at := time.Unix(0, e.Time).Sub(s.began).Seconds()
			fmt.Fprintf(s.out, "%6.2f s  %s: %s\n", at, c.name, e.Text)
		}
		c.mu.Unlock()
		select {
		case <-c.done:
			fmt.Fprintf(s.out, "          %s has ended: %v %s\n", c.name, c.err,
				strings.TrimSpace(c.stderr.String()))
		default:
		}
	}
}
