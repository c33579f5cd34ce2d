package clsvtest

import (
	"errors"
	"strings"
	"time"

	"maestro/clsv"
	"maestro/stack/check"
	"maestro/stack/sim"
	"maestro/stack/trace"
	"maestro/wire"
)

// Config is what a cluster is set up with. The zero value is a perfect network
// with the delays of a LAN.
type Config struct {
	// Sim is about the network.
	Sim sim.Options
	// Group is the name of the members' group. Default "test".
	Group string
	// Check changes what the checker looks for, if not nil.
	Check func(o *check.Options)
	// Trace also gets all events, if not nil.
	Trace trace.Recorder
}

// Cluster is a network with members on it.
type Cluster struct {
	// World is the network, for faults that Cluster has no method for.
	World *sim.World

	cfg     Config
	checker *check.Checker
	lives   map[string]*runtime // the last of each name
	members map[string]*clsv.Member
	total   bool
	closing bool
	parts   [][]string // of the partition
	task    *task      // that runs
}

// New makes a cluster without members.
func New(seed uint64) *Cluster { return NewConfig(seed, Config{}) }

// NewConfig is New with a configuration.
func NewConfig(seed uint64, cfg Config) *Cluster {
	if cfg.Group == "" {
		cfg.Group = "test"
	}
	return &Cluster{World: sim.New(seed, cfg.Sim), cfg: cfg, lives: map[string]*runtime{},
		members: map[string]*clsv.Member{}}
}

// Record makes the cluster the trace.Recorder of its members.
func (c *Cluster) Record(e *trace.Event) {
	if c.checker == nil {
		o := check.VSync()
		o.ClSv, o.Online, o.Total = true, true, c.total
		if c.cfg.Check != nil {
			c.cfg.Check(&o)
		}
		c.checker = check.New(o)
	}
	c.checker.Observe(e)
	if c.cfg.Trace != nil {
		c.cfg.Trace.Record(e)
	}
}

// Add makes a member, which does not join yet. Group, Name, Trace and the
// transport are filled in. It panics if the options cannot be.
func (c *Cluster) Add(name string, o clsv.Options) *clsv.Member {
	o.Group, o.Name, o.Trace = c.cfg.Group, name, c
	c.total = c.total || o.Total
	m, err := clsv.NewMember(o, c)
	if err != nil {
		panic("clsvtest: " + err.Error())
	}
	c.members[name] = m
	return m
}

// Join makes members that begin to join, all at once.
func (c *Cluster) Join(name string, o clsv.Options) *clsv.Member {
	m := c.Add(name, o)
	if err := m.StartJoin(); err != nil {
		panic("clsvtest: " + err.Error())
	}
	return m
}

// Server makes a server with free state transfer that begins to join.
func (c *Cluster) Server(name string, h clsv.Handler) *clsv.Member {
	return c.Join(name, clsv.Options{Role: clsv.Server, Xfer: clsv.FreeXfer, Handler: h})
}

// Client makes a client that begins to join.
func (c *Cluster) Client(name string, h clsv.Handler) *clsv.Member {
	return c.Join(name, clsv.Options{Handler: h})
}

// Member is the member that was made last under a name, nil if none was.
func (c *Cluster) Member(name string) *clsv.Member { return c.members[name] }

// Now is the virtual time since the cluster was made.
func (c *Cluster) Now() time.Duration { return time.Duration(c.World.Now()) }

// Run lets time pass.
func (c *Cluster) Run(d time.Duration) { c.World.RunFor(d) }

// Wait lets time pass until ok is true, for at most limit, and reports whether
// it is.
func (c *Cluster) Wait(limit time.Duration, ok func() bool) bool {
	return c.World.WaitFor(limit, ok)
}

// Settled waits until the named members have accepted one view that has exactly
// them in it, for at most limit, and reports whether they have.
func (c *Cluster) Settled(limit time.Duration, names ...string) bool {
	return c.Wait(limit, func() bool {
		var first clsv.ViewID
		for i, name := range names {
			v := c.members[name].View()
			if v == nil || len(v.Members) != len(names) || i > 0 && v.ID != first {
				return false
			}
			first = v.ID
		}
		return true
	})
}

// Partition splits the network. Members that are not named form one more part.
// Members that are named and have not joined yet will join in their part.
func (c *Cluster) Partition(parts ...[]string) {
	for i, p := range parts {
		for _, q := range parts[i+1:] {
			c.link(p, q)
		}
	}
	c.parts = parts
	c.split()
}

// split partitions those hosts that there are.
func (c *Cluster) split() {
	parts := make([][]string, len(c.parts))
	for i, p := range c.parts {
		for _, n := range p {
			if c.lives[n] != nil {
				parts[i] = append(parts[i], n)
			}
		}
	}
	c.World.Partition(parts...)
}

func (c *Cluster) link(p, q []string) {
	for _, a := range p {
		for _, b := range q {
			c.harness(a, trace.Event{Kind: trace.Link, Peer: c.endpoint(b)})
		}
	}
}

// Heal ends all partitions and cuts.
func (c *Cluster) Heal() {
	c.parts = nil
	c.World.Heal()
}

// Crash ends a member's process at once, as SIGKILL does. A member that is made
// under its name later is a new one.
func (c *Cluster) Crash(name string) {
	if l := c.lives[name]; l != nil && l.m.Live() {
		l.m.Crash()
	}
}

// CrashAt has a member crash at its k-th transmission from now, before it or
// just after it.
func (c *Cluster) CrashAt(name string, k int, after bool) { c.lives[name].m.CrashAt(k, after) }

// Pause stops a member's process until Resume, as SIGSTOP does.
func (c *Cluster) Pause(name string) { c.lives[name].m.Pause() }

// Resume lets a member go on.
func (c *Cluster) Resume(name string) { c.lives[name].m.Resume() }

// Slow has all callbacks of a member take a time.
func (c *Cluster) Slow(name string, d time.Duration) { c.lives[name].m.Callback = d }

func (c *Cluster) endpoint(name string) wire.Endpoint {
	if l := c.lives[name]; l != nil {
		return l.m.Self
	}
	return wire.Endpoint{}
}

// harness records an event that is not a member's own.
func (c *Cluster) harness(name string, e trace.Event) {
	e.Time, e.P = int64(c.World.Now()), c.endpoint(name)
	c.Record(&e)
}

// Violations judges what has happened. Nothing may happen afterwards but Close.
func (c *Cluster) Violations() []*check.Violation {
	if c.checker == nil {
		return nil
	}
	return c.checker.Finish()
}

// Close ends all members, without having them leave, and reports the first
// failure of the simulation, buffers that were lost, and violated properties.
func (c *Cluster) Close() error {
	c.closing = true
	err := c.World.Close()
	for i, v := range c.Violations() {
		text := v.String()
		if i < 3 {
			text = strings.TrimSpace(v.Detail())
		}
		err = errors.Join(err, errors.New("clsvtest: "+text))
	}
	return err
}
