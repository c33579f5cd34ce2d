package clsv_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/stack/check"
	"maestro/stack/trace"
)

// plan is what a random run is made of.
type plan struct {
	seed             uint64
	servers, clients int
	steps            int
	xfer             clsv.Xfer // of all servers
	mixed            bool      // of any type instead
	total            bool
	exchange         bool // some members exchange state messages
	lazy             bool // some transfers make no progress
	equal            bool // servers have the same state
}

// chaos is one random run.
type chaos struct {
	*testing.T
	plan
	c     *clsvtest.Cluster
	rnd   *rand.Rand
	names []string
	all   map[string]*actor
	opts  map[string]clsv.Options
	xfers map[string]clsv.Xfer
	sum   *steps
	calm  bool // no faults any more
	// lazyOne is a member whose first transfer makes no progress.
	lazyOne string
	// mute is a server that does not answer, and the one that is asked.
	mute string
}

// settling is INV-L's bound.
const settling = 5 * time.Second

// bound is the time within which, after a run has become quiet, nothing is left
// to be done, by the checker's account.
const bound = 300 * time.Millisecond

// new makes a run without members.
func (p plan) new(t *testing.T, sum *steps, cfg clsvtest.Config) *chaos {
	cfg.Check = func(o *check.Options) { o.StateEqual, o.Bound = p.equal, bound }
	if *rndSeed >= 0 && *rndTrace != "" {
		f, err := os.Create(*rndTrace)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		cfg.Sim.Trace = f
	}
	return &chaos{T: t, plan: p, c: clsvtest.NewConfig(p.seed, cfg), sum: sum,
		rnd: rand.New(rand.NewPCG(p.seed, 1)), all: map[string]*actor{},
		opts: map[string]clsv.Options{}, xfers: map[string]clsv.Xfer{}}
}

// add makes a member that has not joined yet.
func (c *chaos) add(n string, o clsv.Options) {
	o.Total = c.total
	o.XferTimeout = 200 * ms
	if o.Role == clsv.Server {
		c.xfers[n] = o.Xfer
	}
	c.opts[n] = o
	c.names = append(c.names, n)
	c.make(n)
}

// make makes a member, in place of one that has crashed.
func (c *chaos) make(n string) {
	o := c.opts[n]
	a := &actor{c: c, name: n, o: o, rnd: rand.New(rand.NewPCG(c.rnd.Uint64(), 2)),
		cuts: map[clsv.ViewID]uint64{}}
	a.witness = witness{role: o.Role, xfer: o.Xfer, xfers: c.xfers, sum: c.sum,
		fail: func(format string, args ...any) {
			c.Errorf("%9.6f %s: %s", c.c.Now().Seconds(), n, fmt.Sprintf(format, args...))
		}}
	o.Handler = a
	if c.exchange && c.rnd.IntN(2) == 0 {
		o.Handler = exchangingActor{a}
	}
	a.m = c.c.Add(n, o)
	c.all[n] = a
}

// join has a member begin to join that is not in the group.
func (c *chaos) join(n string) {
	a := c.all[n]
	a.begin()
	if err := a.m.StartJoin(); err != nil {
		c.Errorf("%s cannot join: %v", n, err)
	}
}

func (p plan) run(t *testing.T, sum *steps) {
	c := p.new(t, sum, lossy(p.seed))
	defer c.close()
	for i := range p.servers + p.clients {
		o := client
		if i < p.servers {
			o = server(p.xfer)
			if p.mixed {
				o.Xfer = clsv.Xfer(c.rnd.IntN(4))
			}
		}
		c.add(fmt.Sprint("m", i), o)
	}
	for _, n := range c.names[:len(c.names)-2] {
		c.join(n)
	}
	for _, n := range c.names {
		c.c.World.Host(n)
	}
	c.c.Run(200 * ms)
	for i := 0; i < p.steps && !c.Failed(); i++ {
		c.step()
		c.c.Run(time.Duration(c.rnd.IntN(5000)) * time.Microsecond)
	}
	if !c.Failed() {
		c.quiet()
	}
}

func (c *chaos) close() {
	if err := c.c.Close(); err != nil {
		c.Error(err)
	}
}

// quiet ends all faults, has all join, and waits for INV-L.
func (c *chaos) quiet() {
	c.c.Heal()
	c.lazy, c.calm = false, true
	for _, n := range c.names {
		if c.c.World.Member(n) != nil {
			c.c.Slow(n, 0)
			c.c.Resume(n)
		}
	}
	begun := c.c.Now()
	c.c.Run(600 * ms) // what was cut off until now may still be taken for failed
	for _, n := range c.names {
		a := c.all[n]
		c.c.Wait(settling, func() bool { return a.m.State() != clsv.Leaving })
		if a.m.State() == clsv.Initial {
			c.join(n)
		}
	}
	c.finish(settling - (c.c.Now() - begun))
}

// finish waits for INV-L. Then nothing more may happen, nor be left to do.
func (c *chaos) finish(limit time.Duration) {
	if !c.c.Wait(limit, c.isQuiet) {
		for _, n := range c.names {
			s, _ := c.all[n].m.Stats()
			c.Errorf("INV-L: not quiet, %d queued: %v\n%s", s.QueuedMessages, c.all[n].m.View(),
				c.all[n].m.Dump())
		}
		return
	}
	heal := trace.Event{Kind: trace.Heal, Time: int64(c.c.World.Now())}
	for _, n := range c.names {
		heal.Dests = append(heal.Dests, c.all[n].m.Endpoint())
		_, _ = c.all[n].m.TryScast([]byte("g last"))
	}
	c.c.Record(&heal)
	c.c.Run(2 * bound)
	if !c.isQuiet() {
		c.Error("INV-L: it was quiet, and is not any more")
	}
	c.equalStates()
}

// isQuiet is INV-L.
func (c *chaos) isQuiet() bool {
	if !c.c.Settled(0, c.names...) {
		return false
	}
	for _, n := range c.names {
		v := c.all[n].m.View()
		want := clsv.ClientNormal
		if v.MyMbrshipType == clsv.Server {
			want = clsv.ServerNormal
		}
		s, _ := c.all[n].m.Stats()
		if v.State != want || len(v.XferServers) > 0 || s.QueuedMessages > 0 || s.Callbacks > 0 {
			return false
		}
	}
	return true
}

// equalStates compares the servers' states.
func (c *chaos) equalStates() {
	var ref *actor
	for _, n := range c.names {
		a := c.all[n]
		switch {
		case !c.equal || a.role != clsv.Server:
		case ref == nil:
			ref = a
		case a.state != ref.state:
			c.Errorf("states differ in the end: %s has %x, %s has %x", n, a.state, ref.name,
				ref.state)
		}
	}
}

// step is something that happens to a member, mostly that it sends.
func (c *chaos) step() {
	n := c.names[c.rnd.IntN(len(c.names))]
	a := c.all[n]
	if !c.up(n) {
		m := c.c.World.Member(n)
		paused := m != nil && m.Paused()
		if !paused && a.m.State() == clsv.Initial && c.rnd.IntN(4) == 0 {
			c.join(n)
		}
		return
	}
	switch k := c.rnd.IntN(250); {
	case k < 15:
		c.fault(n, k)
		for c.rnd.IntN(2) == 0 { // and in the view change that follows, more
			c.c.Run(time.Duration(c.rnd.IntN(3000)) * time.Microsecond)
			other := c.names[c.rnd.IntN(len(c.names))]
			if c.up(other) {
				c.fault(other, c.rnd.IntN(11))
			}
		}
	case k < 18:
		_ = a.m.StartLeave()
	case k < 21:
		_ = a.m.RequestView()
	case k < 24:
		c.c.Slow(n, time.Duration(c.rnd.IntN(20))*ms)
	case k < 27:
		if v := a.m.View(); v != nil {
			_ = a.m.Suspect(v.Members[c.rnd.IntN(len(v.Members))])
		}
	default:
		c.send(a)
	}
}

// up reports whether a member has joined, is not about to leave, and runs.
func (c *chaos) up(n string) bool {
	if m := c.c.World.Member(n); m == nil || m.Paused() {
		return false
	}
	s := c.all[n].m.State()
	return s != clsv.Initial && s != clsv.Leaving
}

func (c *chaos) fault(n string, k int) {
	switch {
	case k < 3:
		c.c.Crash(n)
		c.make(n)
	case k < 4:
		c.c.CrashAt(n, 1+c.rnd.IntN(5), c.rnd.IntN(2) == 0)
		c.c.Run(2 * ms)
		c.c.Crash(n)
		c.make(n)
	case k < 6:
		c.partition()
	case k < 7:
		other := c.names[c.rnd.IntN(len(c.names))]
		if other != n {
			c.c.World.Cut(n, other, true)
		}
	case k < 11:
		c.c.Heal()
	case k < 12:
		c.c.Slow(n, time.Duration(c.rnd.IntN(20))*ms)
	case k < 13:
		c.c.Slow(n, 0)
	case k < 14:
		c.c.Pause(n)
		c.c.World.After(time.Duration(c.rnd.IntN(700))*ms, func() { c.c.Resume(n) })
	default:
		c.c.World.Member(n).Drift = int64(c.rnd.IntN(200)) - 100
	}
}

func (c *chaos) partition() {
	var parts [2][]string
	for _, n := range c.names {
		k := c.rnd.IntN(2)
		parts[k] = append(parts[k], n)
	}
	c.c.Partition(parts[:]...)
}

func (c *chaos) send(a *actor) {
	v := a.m.View()
	if v == nil {
		return
	}
	o := clsv.MsgOptions{}
	for _, e := range v.Members {
		if c.rnd.IntN(3) == 0 {
			o.Dests = append(o.Dests, e)
		}
	}
	for range 1 + c.rnd.IntN(4) {
		msg := make([]byte, 1+c.rnd.IntN(200))
		if c.rnd.IntN(20) == 0 {
			msg = make([]byte, 5000)
		}
		le64(msg, c.rnd.Uint64())
		o.Safety = clsv.Safety(c.rnd.IntN(3))
		msg[0] = "gsx"[o.Safety]
		switch c.rnd.IntN(5) {
		case 0:
			_, _ = a.m.TryCast(msg, o)
		case 1:
			_, _ = a.m.TryLsend(msg, o)
		case 2:
			_, _ = a.m.TrySend(v.Members[c.rnd.IntN(len(v.Members))], msg, o)
		default:
			_, _ = a.m.TryScast(msg, o)
		}
	}
}

// le64 fills the beginning of a message.
func le64(b []byte, x uint64) {
	for i := range min(len(b), 8) {
		b[i] = byte(x >> (8 * i))
	}
}
