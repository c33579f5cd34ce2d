package clsv_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/stack"
	"maestro/stack/check"
	"maestro/stack/node"
	"maestro/stack/trace"
	"maestro/wire"
	"maestro/wire/udp"
)

// Scenarios over real sockets: multicast on the loopback interface, in real
// time. Bodies of scenarios are the same as in the simulator. Whoever runs, the
// body or a callback, holds one lock, so that bodies look at what callbacks have
// written as they do in the simulator, and let go of it only when they wait.

// TestMain has the scenarios over real sockets, which mostly wait, run many at
// a time, and looks for goroutines that are left in the end.
func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		_ = flag.Set("test.parallel", "12")
	}
	code := m.Run()
	if code == 0 {
		err := goleak.Find()
		for range 10 { // what ends by itself may take its time
			if err != nil {
				err = goleak.Find()
			}
		}
		if err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

// both runs a scenario in the simulator and on real sockets.
func both(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	t.Run("sim", body)
	t.Run("real", func(t *testing.T) {
		if testing.Short() {
			t.Skip("real time")
		}
		if err := loopback(); err != nil {
			t.Skipf("no multicast on the loopback interface: %v", err)
		}
		body(t)
	})
}

// isReal reports whether this is the run of a scenario on real sockets.
func isReal(t *testing.T) bool { return strings.Contains(t.Name()+"/", "/real/") }

// loopback reports why multicast does not work on the loopback interface.
var loopback = sync.OnceValue(func() error {
	cfg := udp.Config{Group: clsv.GroupAddr(fmt.Sprint("probe", time.Now().UnixNano())),
		Interface: "lo"}
	var conns [2]*udp.Conn
	for i := range conns {
		c, err := udp.Open(cfg, &wire.Pool{})
		if err != nil {
			return err
		}
		defer c.Close()
		conns[i] = c
	}
	pkts := make([]wire.Packet, 4)
	for range 20 {
		if err := conns[0].Send(netip.AddrPort{}, make([]byte, 100), 100); err != nil {
			return err
		}
		if err := errors.Join(conns[0].Flush(), conns[1].Wait(50*ms)); err != nil {
			return err
		}
		if n, _ := conns[1].Receive(pkts); n > 0 {
			return nil
		}
	}
	return errors.New("what one socket sends the other does not receive")
})

// realNet is the backend of a lab on real sockets.
type realNet struct {
	t     *testing.T
	group string
	check func(o *check.Options)

	run1    sync.Mutex // held by whoever runs
	free    atomic.Bool
	calls   int      // runs of callbacks so far
	next    []func() // to be run when callbacks that run have returned
	busy    bool     // not the body but callbacks run
	members map[string]*clsv.Member
	delays  map[string]time.Duration
	total   bool
	rec     *clsvtest.Witness
	log     logBuffer

	links sync.Mutex
	names map[netip.AddrPort]string
	sides map[string]int // of a partition; nil without
	dead  map[string]bool
	lives map[string]clsv.Runtime
}

var realGroups atomic.Int64

func newRealNet(t *testing.T, cfg clsvtest.Config) *realNet {
	n := &realNet{t: t, check: cfg.Check, members: map[string]*clsv.Member{},
		delays: map[string]time.Duration{}, names: map[netip.AddrPort]string{},
		dead: map[string]bool{}, lives: map[string]clsv.Runtime{}}
	n.group = fmt.Sprintf("real-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), realGroups.Add(1))
	n.run1.Lock()
	return n
}

func (n *realNet) add(name string, o clsv.Options) *clsv.Member {
	n.total = n.total || o.Total
	if n.rec == nil {
		co := check.VSync()
		co.ClSv, co.Total = true, n.total
		if n.check != nil {
			n.check(&co)
		}
		n.rec = clsvtest.NewWitness(co)
	}
	o.Group, o.Name, o.Transport.Interface = n.group, name, "lo"
	o.Trace = &mortal{n, name}
	// Busy machines must not change what happens.
	o.Discovery, o.Silence = 400*ms, 2*time.Second
	o.Logger = slog.New(slog.NewTextHandler(&n.log, nil)).With("who", name)
	m, err := clsv.NewMember(o, n)
	if err != nil {
		n.t.Fatal(err)
	}
	n.members[name] = m
	return m
}

// pause lets the others run for a time.
func (n *realNet) pause(d time.Duration) {
	n.run1.Unlock()
	time.Sleep(d)
	n.run1.Lock()
}

// run lets d pass, and then some more until the callbacks have ceased, unless d
// is so short that bodies do not rely on what has happened.
func (n *realNet) run(d time.Duration) {
	n.pause(d)
	if d < ms {
		return
	}
	for end := time.Now().Add(300 * ms); time.Now().Before(end); {
		was := n.calls
		if n.pause(10 * ms); n.calls == was {
			return
		}
	}
}

func (n *realNet) wait(limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); !ok(); {
		if time.Now().After(end) {
			return false
		}
		n.pause(500 * time.Microsecond)
	}
	return true
}

// after runs f when d has passed; within callbacks, what comes soon comes when
// these have returned, before anything else happens to the application.
func (n *realNet) after(d time.Duration, f func()) {
	if n.busy && d <= time.Microsecond {
		n.next = append(n.next, f)
		return
	}
	time.AfterFunc(d, func() {
		n.run1.Lock()
		defer n.run1.Unlock()
		if !n.free.Load() {
			n.busy = true
			f()
			n.busy = false
		}
	})
}

func (n *realNet) partition(parts ...[]string) {
	n.links.Lock()
	defer n.links.Unlock()
	n.sides = map[string]int{}
	for i, p := range parts {
		for _, name := range p {
			n.sides[name] = i + 1
		}
	}
}

func (n *realNet) heal() {
	n.links.Lock()
	defer n.links.Unlock()
	n.sides = nil
}

// crash closes a member's sockets without a word, and runs no callback any more.
// What it has recorded ends with that.
func (n *realNet) crash(name string) {
	m := n.members[name]
	e := &trace.Event{Kind: trace.Crash, Time: int64(m.Now()), P: m.Endpoint()}
	n.links.Lock()
	n.dead[name] = true
	n.rec.Record(e)
	n.links.Unlock()
	defer n.away()()
	if err := n.lives[name].Close(); err != nil {
		n.t.Errorf("crash: %v", err)
	}
}

func (n *realNet) crashed(name string) bool {
	n.links.Lock()
	defer n.links.Unlock()
	return n.dead[name]
}

// mortal records what a member does until it crashes.
type mortal struct {
	n    *realNet
	name string
}

func (m *mortal) Record(e *trace.Event) {
	m.n.links.Lock()
	defer m.n.links.Unlock()
	if !m.n.dead[m.name] {
		m.n.rec.Record(e)
	}
}

func (n *realNet) slow(name string, d time.Duration) { n.delays[name] = d }

func (n *realNet) close() error {
	n.free.Store(true)
	n.run1.Unlock()
	var wg sync.WaitGroup
	for name, m := range n.members {
		if n.dead[name] {
			continue
		}
		wg.Go(func() {
			if err := m.Close(); err != nil && !errors.Is(err, clsv.ErrPanic) { // of Exit, TH-07
				n.t.Errorf("close: %v", err)
			}
		})
	}
	wg.Wait()
	if n.t.Failed() {
		n.t.Logf("what members logged:\n%s", n.log.text.String())
	}
	if n.rec == nil {
		return nil
	}
	return n.rec.Close()
}

// Start makes a realNet the clsv.Driver of its members.
func (n *realNet) Start(o *clsv.GroupOptions, app stack.Runner) (clsv.Runtime, error) {
	name := o.Name
	d := clsv.Net{Change: func(c *node.Config) {
		cfg := c.UDP
		c.Transport = func(pool *wire.Pool) (node.Transport, error) {
			conn, err := udp.Open(cfg, pool)
			if err != nil {
				return nil, err
			}
			n.links.Lock()
			defer n.links.Unlock()
			n.names[conn.Local()] = name
			return &realLink{conn, n, name}, nil
		}
	}}
	rt, err := d.Start(o, &realApp{app, app.(clsv.Timed), n, name})
	if err != nil {
		return nil, err
	}
	n.lives[name] = rt
	return &realRuntime{rt, n}, nil
}

// logBuffer takes what members log.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// realLink is sockets that hear nothing from the other side of a partition, and
// are dumb and deaf when their member has crashed.
type realLink struct {
	node.Transport
	n    *realNet
	name string
}

func (l *realLink) Send(to netip.AddrPort, b []byte, seg int) error {
	if l.n.crashed(l.name) {
		return nil
	}
	return l.Transport.Send(to, b, seg)
}

func (l *realLink) Flush() error {
	if l.n.crashed(l.name) {
		return nil
	}
	return l.Transport.Flush()
}

func (l *realLink) Receive(pkts []wire.Packet) (int, error) {
	k, err := l.Transport.Receive(pkts)
	l.n.links.Lock()
	defer l.n.links.Unlock()
	dead := l.n.dead[l.name]
	if l.n.sides == nil && !dead {
		return k, err
	}
	kept := 0
	for i := range pkts[:k] {
		if !dead && l.n.sides[l.n.names[pkts[i].From]] == l.n.sides[l.name] {
			pkts[kept], pkts[i] = pkts[i], pkts[kept]
			kept++
		}
	}
	for i := range pkts[kept:k] {
		pkts[kept+i].Buf.Drop()
		pkts[kept+i].Buf = nil
	}
	return kept, err
}

// realApp is a member's application, whose callbacks run while nobody else does.
type realApp struct {
	stack.Runner
	clsv.Timed
	n    *realNet
	name string
}

// Entered tells the merge protocol whether the application uses the view.
func (a *realApp) Entered() bool {
	e, ok := a.Runner.(interface{ Entered() bool })
	return !ok || e.Entered()
}

// Run runs callbacks.
func (a *realApp) Run() {
	n := a.n
	n.run1.Lock()
	defer n.run1.Unlock()
	if d := n.delays[a.name]; d > 0 && !n.free.Load() {
		n.pause(d)
	}
	if n.crashed(a.name) {
		return
	}
	n.calls++
	n.busy = true
	a.Runner.Run()
	for len(n.next) > 0 {
		f := n.next[0]
		n.next = n.next[1:]
		f()
	}
	n.busy = false
}

// realRuntime is a runtime whose caller lets others run while it waits.
type realRuntime struct {
	clsv.Runtime
	n *realNet
}

func (r *realRuntime) Wait(ctx context.Context, done <-chan struct{}, d time.Duration) error {
	defer r.n.away()()
	return r.Runtime.Wait(ctx, done, d)
}

func (r *realRuntime) Close() error {
	if !r.n.free.Load() && !r.n.busy {
		defer r.n.away()()
	}
	return r.Runtime.Close()
}

// away lets others run until what it returns is called.
func (n *realNet) away() func() {
	if n.free.Load() {
		return func() {}
	}
	n.run1.Unlock()
	return n.run1.Lock
}
