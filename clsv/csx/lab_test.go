package csx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/stack/sim"
)

const ms = time.Millisecond

// app is an application that logs what happens, and does what its functions say.
type app struct {
	NopHandler
	m        *Member
	lines    []string
	transfer func(ctx context.Context, x *Transfer)
	ask      func(ctx context.Context, origin clsv.Endpoint, req []byte) (io.WriterTo, error)
	snap     func(v *clsv.View) io.WriterTo
	receive  func(origin clsv.Endpoint, msg []byte)
	accepted func(v *clsv.View)
	xfers    []*Transfer
	world    *sim.World
	watches  bool // is told of primary views
}

// sleep lets virtual time pass in a task.
func (a *app) sleep(d time.Duration) {
	if d == 0 {
		return
	}
	done := make(chan struct{})
	a.world.After(d, func() {
		close(done)
		a.m.Now() // the member looks who can go on
	})
	_ = a.m.Wait(context.Background(), done)
}

func (a *app) log(format string, args ...any) {
	a.lines = append(a.lines, fmt.Sprintf(format, args...))
}

func (a *app) AcceptedView(v *clsv.View, _ []byte) {
	if a.accepted != nil {
		a.accepted(v)
	}
	s := ""
	if v.StartXfer {
		s = " start"
	}
	a.log("view %v%s", v.State, s)
}

func (a *app) ReceiveCast(o clsv.Endpoint, msg []byte) {
	if a.receive != nil {
		a.receive(o, msg)
		return
	}
	a.log("cast %s", msg)
}

func (a *app) ReceiveScast(o clsv.Endpoint, msg []byte) { a.ReceiveCast(o, msg) }

func (a *app) Replay(v *clsv.View) { a.log("replay") }

func (a *app) Degraded(clsv.Degraded) { a.log("degraded") }

func (a *app) Exit(error) { a.log("exit") }

func (a *app) StateTransfer(ctx context.Context, x *Transfer) {
	a.xfers = append(a.xfers, x)
	a.log("transfer %d", x.ID())
	if a.transfer == nil {
		a.NopHandler.StateTransfer(ctx, x)
		return
	}
	a.transfer(ctx, x)
	a.log("returned %d", x.ID())
}

func (a *app) AskState(ctx context.Context, o clsv.Endpoint, req []byte) (io.WriterTo, error) {
	a.log("ask %s %s", o.Name, req)
	if a.ask == nil {
		return bytes.NewReader(append([]byte("reply to "), req...)), nil
	}
	return a.ask(ctx, o, req)
}

func (a *app) Snapshot(v *clsv.View) io.WriterTo {
	if a.snap == nil {
		return nil
	}
	return a.snap(v)
}

// get asks for a portion, and logs what comes.
func (a *app) get(ctx context.Context, x *Transfer, req string) error {
	b, err := x.GetState(ctx, []byte(req))
	if err != nil {
		a.log("get %s: %s", req, short(err))
	} else {
		a.log("got %s", b)
	}
	return err
}

func short(err error) string {
	for _, e := range []error{ErrDone, ErrBusy, ErrRemote, ErrTooLarge, ErrBacklog,
		clsv.ErrMergeLost, clsv.ErrSourcesLost, clsv.ErrNotJoined, context.Canceled,
		clsv.ErrWouldDeadlock} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	return err.Error()
}

// lab is a simulated group.
type lab struct {
	*testing.T
	c    *clsvtest.Cluster
	apps map[string]*app
	opts Options
}

func newLab(t *testing.T) *lab { return newLabOn(t, 1, clsvtest.Config{}) }

func newLabOn(t *testing.T, seed uint64, cfg clsvtest.Config) *lab {
	l := &lab{T: t, c: clsvtest.NewConfig(seed, cfg), apps: map[string]*app{}}
	t.Cleanup(func() {
		if err := l.c.Close(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		if t.Failed() {
			for n, a := range l.apps {
				t.Logf("%s:\n\t%s", n, strings.Join(a.lines, "\n\t"))
			}
		}
	})
	return l
}

// start makes a server, or with NoXfer a client, that begins to join.
func (l *lab) start(name string, xfer clsv.Xfer, a *app) *app {
	l.Helper()
	o := l.opts
	o.Group, o.Name, o.Trace, o.Handler = "test", name, l.c, a
	if a.watches {
		o.Handler = watcher{a}
	}
	o.Role, o.Xfer = clsv.Server, xfer
	if xfer == clsv.NoXfer {
		o.Role = clsv.Client
	}
	m, err := NewMember(o, l.c)
	if err != nil {
		l.Fatal(err)
	}
	a.m, a.world = m, l.c.World
	l.apps[name] = a
	if err := m.StartJoin(); err != nil {
		l.Fatal(err)
	}
	return a
}

func (l *lab) join(name string, xfer clsv.Xfer, a *app) *app {
	l.Helper()
	l.start(name, xfer, a)
	l.settle()
	return a
}

func (l *lab) until(what string, ok func() bool) {
	l.Helper()
	if !l.c.Wait(10*time.Second, ok) {
		l.Fatal("it does not happen: " + what)
	}
}

func (l *lab) live() (list []*app) {
	for _, a := range l.apps {
		if s := a.m.State(); s != clsv.Initial && s != clsv.Leaving {
			list = append(list, a)
		}
	}
	return list
}

// settle waits until all have one view, of exactly them, and no transfers run.
func (l *lab) settle() {
	l.Helper()
	l.until("one view", func() bool { return l.settled(true) })
}

func (l *lab) settled(idle bool) bool {
	list := l.live()
	var id clsv.ViewID
	for i, a := range list {
		v := a.m.View()
		if v == nil || len(v.Members) != len(list) || idle && len(v.XferServers) > 0 ||
			i > 0 && v.ID != id {
			return false
		}
		id = v.ID
	}
	return true
}

func (a *app) mark() { a.lines = nil }

// expect compares what has been logged since mark, views left out.
func (l *lab) expect(a *app, want ...string) {
	l.Helper()
	got := slices.DeleteFunc(slices.Clone(a.lines),
		func(s string) bool { return strings.HasPrefix(s, "view ") })
	if !slices.Equal(got, want) {
		l.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (a *app) has(line string) bool { return slices.Contains(a.lines, line) }

// asked is how often a line occurs at some members.
func count(line string, apps ...*app) (n int) {
	for _, a := range apps {
		for _, s := range a.lines {
			if s == line {
				n++
			}
		}
	}
	return n
}

// state is a state of n bytes that do not compress, the same for equal seeds.
func state(n int, seed uint64) []byte {
	b := make([]byte, n)
	x := seed*2 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}
