// Package group is the stack under load, to be measured beside the floor: one
// member a process, told what to do by lines on its standard input and telling
// what it sees, with times, by lines on its standard output. It uses the stack
// and the real driver without what clsv puts on top.
package group

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"maestro/layers"
	"maestro/stack"
	"maestro/stack/node"
	"maestro/wire"
	"maestro/wire/udp"
)

// Config is what a member is set up with.
type Config struct {
	Name      string
	Group     netip.AddrPort // multicast address
	Interface string
	Peers     []netip.AddrPort
	Bind      netip.AddrPort
	Total     bool
	Props     stack.Props // more properties that the stack is to have
	Spin      time.Duration
	Window    int    // wanted receive buffer in bytes, 0 for the default
	Label     string // name of the group, "bench" if empty
	Trace     string // file to write a trace to, if not empty
	Thread    bool   // streams are cast by a goroutine of their own, not by the loop
}

// Member is one member under measurement.
type Member struct {
	cfg   Config
	node  *node.Node
	group *stack.Group // for app.Done, which runs with the node's lock held
	app   *app
	trace *tracer // nil without a trace
	work  *work
	slow  atomic.Int64 // how long the handler of a message sleeps

	mu       sync.Mutex
	to       io.Writer
	now      atomic.Pointer[stack.View]
	room     chan struct{}
	answered chan struct{}
	out      chan struct{}
}

// Run is one member: it joins, obeys the lines of in, and returns after "quit"
// or when in ends.
//
//	stream SIZE MS [RATE]
//	                 cast messages of SIZE bytes for MS milliseconds, RATE a second
//	slow MS          let the handler of each message sleep
//	rpc SIZE COUNT   cast COUNT questions, one after the other, answered by all
//	pace SIZE MS RATE SAMPLE SPIN
//	                 cast at a fixed rate, one of SAMPLE messages with times
//	query SIZE MS RATE SPIN
//	                 cast questions at a fixed rate
//	ask SIZE COUNT   as rpc, within the handlers
//	call SIZE COUNT  casts that are answered by casts
//	turns EACH SIZE COUNT
//	                 rounds in which all cast EACH and wait for all
//	reset            forget what has been delivered
//	report, stats, count
//	                 tell what has been delivered and counted
//	dump             tell the state of all layers, on one line
//	view             ask for a new view
//	leave, quit
func Run(ctx context.Context, cfg Config, in io.Reader, to io.Writer) error {
	m := &Member{cfg: cfg, to: to, room: make(chan struct{}, 1),
		answered: make(chan struct{}, 1), out: make(chan struct{})}
	m.app, m.work = &app{m: m}, newWork(m)
	want := cfg.Props
	if cfg.Total {
		want |= stack.Total
	}
	name, makers := layers.For(want)
	self := wire.Endpoint{Name: cfg.Name, Incarnation: uint64(time.Now().UnixNano())}
	var err error
	if m.trace, err = openTrace(cfg.Trace, self); err != nil {
		return err
	}
	defer m.trace.close()
	n, err := node.Start(node.Config{
		Stack: stack.Config{Group: cmp.Or(cfg.Label, "bench"), Self: self, StackName: name,
			Layers: makers, Batches: true},
		UDP: udp.Config{Group: cfg.Group, Interface: cfg.Interface, Peers: cfg.Peers,
			Bind: cfg.Bind, RecvBuf: cfg.Window},
		Spin: cfg.Spin, Log: slog.New(slog.NewTextHandler(os.Stderr,
			&slog.HandlerOptions{Level: slog.LevelError})),
	}, m.app)
	if err != nil {
		return err
	}
	m.node = n
	defer n.Close()
	m.say("OPEN %s", n.Describe())
	m.say("START %d", time.Now().UnixNano())
	n.Do(func(g *stack.Group) {
		m.group = g
		err = g.Join()
	})
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for ctx.Err() == nil && lines.Scan() {
		if err := m.obey(strings.Fields(lines.Text())); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return lines.Err()
}

func (m *Member) obey(line []string) error {
	if len(line) == 0 {
		return nil
	}
	num := func(i int) int {
		if i >= len(line) {
			return 0
		}
		n, _ := strconv.Atoi(line[i])
		return n
	}
	switch line[0] {
	case "stream":
		return m.stream(max(num(1), 1), time.Duration(num(2))*time.Millisecond, num(3))
	case "slow":
		m.slow.Store(int64(num(1)) * int64(time.Millisecond))
	case "rpc":
		return m.rpc(max(num(1), 8), num(2))
	case "reset":
		m.reset()
	case "report":
		m.report()
	case "dump":
		m.say("DUMP %q", m.dump())
	case "view":
		m.node.Do(func(g *stack.Group) { g.RequestView("asked for") })
	case "leave":
		m.say("LEAVE %d", time.Now().UnixNano())
		m.node.Do(func(g *stack.Group) { _ = g.Leave() })
		<-m.out
	case "quit":
		return io.EOF
	default:
		return m.labour(line[0], num)
	}
	return nil
}

// labour obeys the commands of the suite.
func (m *Member) labour(what string, num func(int) int) error {
	d := time.Duration(num(2)) * time.Millisecond
	switch what {
	case "pace":
		return m.work.pace(num(1), d, num(3), num(4), num(5) > 0)
	case "query":
		return m.work.query(num(1), d, num(3), num(4) > 0)
	case "ask":
		return m.work.ask(num(1), num(2))
	case "call":
		return m.work.call(num(1), num(2))
	case "turns":
		return m.work.turns(num(1), num(2), num(3))
	case "stats":
		return m.work.stats()
	case "count":
		m.work.count()
		return nil
	}
	return fmt.Errorf("group: what is %q", what)
}

func (m *Member) say(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintf(m.to, format+"\n", args...)
}

func (m *Member) viewed(at time.Time, v *stack.View) {
	m.now.Store(v)
	c := m.group.Counters()
	m.say("VIEW %d %d %v rank %d blocked %d", at.UnixNano(), len(v.Members), v.ID, v.Rank,
		c.ViewNanosLast)
}

func (m *Member) rank() int { return m.now.Load().Rank }
func (m *Member) size() int { return len(m.now.Load().Members) }

// As many messages are cast under one lock, but no more bytes than the send buffer takes:
// it would be full, and the sender wait for the loop, while the window is open.
const (
	batch      = 64
	batchBytes = 512 << 10
	feedBytes  = 64 << 10 // in a turn of the loop
)

// stream casts as fast as the window allows, or so many messages a second.
func (m *Member) stream(size int, d time.Duration, rate int) error {
	if m.trace != nil {
		size = max(size, traceLen)
	}
	data := make([]byte, size)
	began := time.Now()
	sent := 0
	if rate == 0 && !m.cfg.Thread {
		sent = m.feed(data, d)
	} else {
		sent = m.press(data, d, rate)
	}
	m.say("SENT %d %d", sent, time.Since(began))
	return nil
}

// feed has the loop cast, as fast as the window allows, while the member is in the group.
func (m *Member) feed(data []byte, d time.Duration) (sent int) {
	began, done := time.Now(), make(chan struct{})
	m.node.Feed(func(g *stack.Group) bool {
		sent += m.some(g, data, max(feedBytes/len(data), 1), sent)
		on := time.Since(began) < d
		if !on {
			close(done)
		}
		return on
	})
	select {
	case <-done:
	case <-m.out:
		m.node.Feed(nil)
	}
	return sent
}

// press casts from this goroutine, as fast as the window allows, or so many messages a
// second if rate is not 0.
func (m *Member) press(data []byte, d time.Duration, rate int) (sent int) {
	size, began := len(data), time.Now()
	for time.Since(began) < d {
		due := min(batch, max(batchBytes/size, 1))
		if rate > 0 {
			due = min(due, int(time.Since(began).Seconds()*float64(rate))-sent)
		}
		if due <= 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		n := 0
		m.node.Do(func(g *stack.Group) { n = m.some(g, data, due, sent) })
		if sent += n; n < due {
			m.waitRoom()
		}
	}
	return sent
}

// some casts so many messages, as far as the group lets it, and returns how many.
func (m *Member) some(g *stack.Group, data []byte, due, sent int) int {
	for n := range due {
		data[0] = byte(sent + n)
		if !m.trace.may(g) || g.Cast(kindData, nil, m.trace.stamp(data)) != nil {
			return n
		}
		m.trace.sent(data)
	}
	return due
}

// rpc casts questions and waits for everybody's answer to each.
func (m *Member) rpc(size, count int) error {
	data := make([]byte, size)
	took := make([]time.Duration, 0, count)
	for i := range count {
		began := time.Now()
		var err error
		m.node.Do(func(g *stack.Group) {
			m.app.number, m.app.replies = uint64(i+1), 0
			binary.LittleEndian.PutUint64(data, uint64(i+1))
			err = g.Cast(kindAsk, nil, data)
		})
		if err != nil {
			return err
		}
		select {
		case <-m.answered:
		case <-time.After(10 * time.Second):
			return fmt.Errorf("group: no answer to question %d\n%s", i, m.dump())
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	at := func(q float64) int64 { return int64(took[int(q*float64(len(took)-1))]) }
	m.say("RPC %d p50 %d p99 %d max %d", count, at(0.5), at(0.99), at(1))
	return nil
}

func (m *Member) dump() (s string) {
	m.node.Do(func(g *stack.Group) { s = g.Dump() })
	return s
}

func (m *Member) reset() {
	m.node.Do(func(*stack.Group) {
		m.app.shown, m.app.wipe = tally{}, true
	})
	m.work.reset()
	m.say("RESET")
}

// report tells what was delivered between the first message and the last.
func (m *Member) report() {
	loop, u := m.node.Stats()
	m.say("LOOP %+v", loop)
	m.say("SOCKETS %+v", u)
	m.node.Do(func(g *stack.Group) {
		a, c := &m.app.shown, g.Counters()
		m.say("COUNTERS %+v", *c)
		m.say("REPORT count %d bytes %d nanos %d stall %d repairs %d naks %d drops %d limited %d",
			a.count, a.bytes, a.last.Sub(a.first), a.stall, c.Repairs, c.NaksOut, c.SocketDrops,
			c.FlowLimited)
	})
}
