package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"maestro/cmd/maestro/internal/kv"
	"maestro/cmd/maestro/internal/member"
	"maestro/stack/check"
)

// away is how long a member stands still or is cut off.
const away = 1200 * time.Millisecond

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1e3) }

func is(what string) func(*member.Event) bool {
	return func(e *member.Event) bool { return e.Event == what }
}

// found starts the servers, all at once.
func (s *show) found() error {
	for i := range s.c.Servers {
		s.servers = append(s.servers, fmt.Sprintf("server-%d", i+1))
	}
	s.say("starting %s at once", strings.Join(s.servers, ", "))
	for _, n := range s.servers {
		if _, err := s.fleet.start(n, "server"); err != nil {
			return err
		}
	}
	at, err := s.settled("one view of all servers")
	if err != nil {
		return err
	}
	for _, c := range s.members() {
		if e, ok := c.first(s.began, is(kv.Founded)); ok {
			s.say("%s found no group, founded one and loaded %d records", c.name, e.Entries)
		}
		if e, ok := c.first(s.began, is(kv.Restored)); ok {
			s.say("%s got %d records, %d bytes, from %s", c.name, e.Entries, e.Bytes, e.Source)
		}
	}
	s.say("all are servers in one view, %s after the first process was started",
		ms(at.Sub(s.began)))
	return nil
}

// write starts the clients, which write from now on.
func (s *show) write() error {
	s.clients = []string{"client-1", "client-2"}
	for _, n := range s.clients {
		if _, err := s.fleet.start(n, "client"); err != nil {
			return err
		}
	}
	if _, err := s.settled("the clients"); err != nil {
		return err
	}
	for _, n := range s.clients {
		s.writers = append(s.writers, startWriter(s.ctx, s.fleet.find(n)))
	}
	s.say("client-1 and client-2 have joined and write without a pause from now on")
	time.Sleep(300 * time.Millisecond)
	return nil
}

// join starts one more server.
func (s *show) join() error {
	name := fmt.Sprintf("server-%d", s.c.Servers+1)
	began := time.Now()
	c, err := s.fleet.start(name, "server")
	if err != nil {
		return err
	}
	s.servers = append(s.servers, name)
	at, err := s.settled(name + " among the servers")
	if err != nil {
		return err
	}
	e, ok := c.first(began, is(kv.Restored))
	if !ok {
		return fmt.Errorf("%s became a server without the state", name)
	}
	s.say("%s has joined: it got %d records, %d bytes, from %s, and %d writes that came meanwhile",
		name, e.Entries, e.Bytes, e.Source, e.Backlog)
	v, _ := c.first(began, is(kv.ViewAccepted))
	s.say("from its first view to a server with the state: %s; since its process was started: %s",
		ms(at.Sub(time.Unix(0, v.Time))), ms(at.Sub(began)))
	return nil
}

// kill kills the coordinator.
func (s *show) kill() error {
	victim := s.fleet.find(s.members()[0].current().Servers[0])
	s.servers = slices.DeleteFunc(s.servers, func(n string) bool { return n == victim.name })
	began := time.Now()
	if err := victim.cmd.Process.Kill(); err != nil {
		return err
	}
	at, err := s.without(victim, began)
	if err != nil {
		return err
	}
	s.say("kill -9 %s, the coordinator: all others have a view without it after %s",
		victim.name, ms(at.Sub(began)))
	if _, err := s.settled("the others"); err != nil {
		return err
	}
	time.Sleep(300 * time.Millisecond)
	return nil
}

// pause has a server stand still.
func (s *show) pause() error {
	c := s.fleet.find(s.members()[0].current().Servers[0])
	began := time.Now()
	if err := c.cmd.Process.Signal(stopSignal); err != nil {
		return err
	}
	at, err := s.without(c, began)
	if err != nil {
		return err
	}
	s.say("%s stands still (SIGSTOP): the others have a view without it after %s",
		c.name, ms(at.Sub(began)))
	time.Sleep(time.Until(began.Add(away)))
	back := time.Now()
	if err := c.cmd.Process.Signal(contSignal); err != nil {
		return err
	}
	return s.returns(c, back, "goes on after "+ms(back.Sub(began))+
		", finds that the group went on without it")
}

// returns waits until a server is back, with the state of the others.
func (s *show) returns(c *child, from time.Time, text string) error {
	at, err := s.settled(c.name + " among the servers again")
	if err != nil {
		return err
	}
	e, ok := c.first(from, is(kv.Restored))
	if !ok {
		return fmt.Errorf("%s is a server again without the state of the others", c.name)
	}
	s.say("%s %s, and is a server again after %s, with %d records from %s",
		c.name, text, ms(at.Sub(from)), e.Entries, e.Source)
	time.Sleep(300 * time.Millisecond)
	return nil
}

// cut cuts a server off from all others.
func (s *show) cut() error {
	c := s.fleet.find(s.servers[len(s.servers)-1])
	began := time.Now()
	if _, err := c.ask(s.ctx, "cut "+away.String()); err != nil {
		return err
	}
	at, err := s.without(c, began)
	if err != nil {
		return err
	}
	s.say("%s is cut off: the others have a view without it after %s",
		c.name, ms(at.Sub(began)))
	alone := func(e *member.Event) bool { return e.View != "" && len(e.Members) == 1 }
	if err := s.until(c.name+" alone", func() bool {
		_, ok := c.first(began, alone)
		return ok
	}); err != nil {
		return err
	}
	v, _ := c.first(began, alone)
	e, err := c.ask(s.ctx, "set lonely write")
	if err == nil {
		return fmt.Errorf("%s took a write without a quorum", c.name)
	}
	s.say("%s is alone after %s; it refuses a write: %s", c.name,
		ms(time.Unix(0, v.Time).Sub(began)), e.Err)
	if err := s.until("the network", func() bool {
		_, ok := c.first(began, is("mended"))
		return ok
	}); err != nil {
		return err
	}
	e, _ = c.first(began, is("mended"))
	return s.returns(c, time.Unix(0, e.Time), "meets the others again")
}

// compare stops the writers and compares the servers' maps.
func (s *show) compare() error {
	s.rest()
	n, median, longest, err := times(s.writers)
	if err != nil {
		return fmt.Errorf("a write failed: %w", err)
	}
	s.say("the writers stop after %d writes; median %s, longest wait %s",
		n, ms(median), ms(longest))
	var first *kv.Digest
	equal := true
	for _, name := range s.servers {
		c := s.fleet.find(name)
		// The last write was acknowledged by one of them; it is on its way here.
		if _, err := c.ask(s.ctx, "sync"); err != nil {
			return err
		}
		e, err := c.ask(s.ctx, "digest")
		if err != nil {
			return err
		}
		if first == nil {
			first = e.Digest
		}
		equal = equal && *e.Digest == *first
		s.say("%s: %d entries, SHA-256 %s", name, e.Digest.Entries, e.Digest.SHA256)
	}
	if !equal {
		return errors.New("the servers' maps differ")
	}
	return s.written()
}

// written looks for all writes in the map.
func (s *show) written() error {
	e, err := s.fleet.find(s.servers[0]).ask(s.ctx, "dump")
	if err != nil {
		return err
	}
	got := map[string]string{}
	for _, x := range e.Dump {
		got[x.Key] = x.Value
	}
	want := s.records
	for _, w := range s.writers {
		want += len(w.last)
		for k, v := range w.last {
			if got[k] != v {
				return fmt.Errorf("%s is %q in the map, and %q was acknowledged last", k, got[k], v)
			}
		}
	}
	if len(got) != want {
		return fmt.Errorf("the map has %d entries, want %d", len(got), want)
	}
	s.say("all maps are equal, and hold the last acknowledged write of each key")
	return nil
}

// rest stops the writers.
func (s *show) rest() {
	for _, w := range s.writers {
		w.stop()
	}
}

// leave has all members leave.
func (s *show) leave() error {
	ctx, cancel := context.WithTimeout(s.ctx, 8*time.Second)
	defer cancel()
	list := s.members()
	for _, c := range list {
		if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
	}
	for _, c := range list {
		select {
		case <-c.done:
		case <-ctx.Done():
			return fmt.Errorf("%s does not leave: %w", c.name, ctx.Err())
		}
		if c.err != nil {
			return fmt.Errorf("%s: %w", c.name, c.err)
		}
	}
	s.say("all members have left the group")
	return nil
}

// check has the checker judge the traces.
func (s *show) check() error {
	var files []string
	for _, c := range s.fleet.all {
		files = append(files, s.trace(c.name))
	}
	o := check.VSync()
	o.ClSv, o.Total, o.StateEqual = true, true, true
	r, err := check.Files(o, files...)
	if err != nil {
		return err
	}
	if !r.OK() {
		return fmt.Errorf("the members' traces violate a property:\n%s", r.Detail())
	}
	s.say("%d traces, %d events, %d views accepted: every property of virtual synchrony holds",
		len(files), r.Stats.Events, r.Stats.Views)
	return nil
}
