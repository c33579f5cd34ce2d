package swarm

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"maestro/stack"
	"maestro/stack/sim"
	"maestro/wire"
)

// plan is what a seed has decided on.
type plan struct {
	seed    uint64
	members int
	total   bool
	cfg     stack.Config
	links   sim.Link // in the storm
	calm    sim.Link // afterwards
	opts    sim.Options
	load    sim.Load
	storm   time.Duration
	actions []action
	apart   bool // members are started one after the other
	skew    bool
	cores   uint64 // draws who is in the views' cores; 0: there are none
}

// action is something that is done to the group at a time.
type action struct {
	at   time.Duration
	kind actionKind
	seed uint64 // what it does follows from this and from how things are
}

type actionKind uint8

const (
	actJoin actionKind = iota
	actLeave
	actCrash
	actCrashHost
	actCascade
	actRestart
	actPause
	actSlow
	actPartition
	actCut
	actBadLink
	actBurst
	actLong
	actSuspect
	actChange
	actHeal
	actMute
	actCount
)

var actionNames = [actCount]string{"join", "leave", "crash", "crashhost", "cascade", "restart",
	"pause", "slow", "partition", "cut", "badlink", "burst", "long", "suspect", "change", "heal",
	"mute"}

// newPlan draws a plan.
func newPlan(seed uint64, o *Options) *plan {
	r := rand.New(rand.NewPCG(seed, 0x737761726d))
	p := &plan{seed: seed, members: 2 + r.IntN(8), total: r.IntN(2) == 0}
	if r.IntN(20) == 0 {
		p.members = 16
	}
	if o.Members > 0 {
		p.members = o.Members
	}
	switch o.Stack {
	case "fifo":
		p.total = false
	case "total":
		p.total = true
	}
	p.config(r)
	p.network(r)
	p.workload(r)
	p.storm = pick[time.Duration](r, 1, 2, 2, 3) * time.Second
	p.apart = r.IntN(2) == 0
	p.skew = r.IntN(3) == 0
	p.script(r)
	p.core(r)
	p.lifelines(r)
	return p
}

// lifelines draws whether members hear at once that a process ends: never, mostly, or for
// a while.
func (p *plan) lifelines(r *rand.Rand) {
	switch r.IntN(4) {
	case 0:
		p.opts.NoLifelines = true
	case 1:
		p.opts.Unheld = pick(r, 0.2, 0.5, 0.9)
	case 2:
		p.opts.Snap = pick[time.Duration](r, 2, 20, 200) * time.Millisecond
		p.opts.Unheld = pick(r, 0, 0.3)
	}
}

// core draws whether views have a core, of whom, and what is sent to it.
func (p *plan) core(r *rand.Rand) {
	if r.IntN(3) > 0 {
		return
	}
	p.cores = r.Uint64() | 1
	p.load.Cores = pick(r, 0.1, 0.5, 0.9)
	p.opts.CopyCore = r.IntN(4) == 0
}

// inCore tells whether a member is in the core of its views, in all its lives.
func (p *plan) inCore(e wire.Endpoint) bool {
	x := p.cores
	for i := range len(e.Name) {
		x = (x ^ uint64(e.Name[i])) * 0x9E3779B97F4A7C15
		x ^= x >> 29
	}
	return x%3 > 0
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// config draws limits and timeouts, half of the time the defaults.
func (p *plan) config(r *rand.Rand) {
	c := &p.cfg
	c.Group = "swarm"
	some := func() bool { return r.IntN(2) == 0 }
	if some() {
		c.Segment = pick(r, 256, 300, 512, 1000, 1472, 1472, 8972, 65000)
	}
	if some() {
		c.RecvBuf = pick(r, 16<<10, 64<<10, 208<<10, 4<<20)
	}
	// What waits in a log has to leave before a view can end, so that it must
	// not be more than small windows let through in time.
	c.SendBuffer = pick(r, 1, 4<<10, 64<<10)
	if r.IntN(4) == 0 && c.Segment*c.RecvBuf == 0 {
		c.SendBuffer = 1 << 20
	}
	c.MaxMessage = 4 << 20
	if some() {
		c.Heartbeat = pick[time.Duration](r, 5, 10, 20, 50, 100) * time.Millisecond
		c.Silence = c.Heartbeat * pick[time.Duration](r, 4, 5, 8, 10)
	}
	if some() {
		c.Probe = pick[time.Duration](r, 2, 5, 20, 50) * time.Millisecond
	}
	if some() {
		c.Discovery = pick[time.Duration](r, 5, 20, 50, 200) * time.Millisecond
	}
	if some() {
		c.Presence = pick[time.Duration](r, 20, 50, 100, 300) * time.Millisecond
	}
	if some() {
		c.BlockTimeout = pick[time.Duration](r, 20, 100, 500, 1000) * time.Millisecond
	}
	if some() {
		c.Retry = pick[time.Duration](r, 500, 1000, 5000, 10000) * time.Microsecond
	}
	if some() {
		c.Reorder = pick[time.Duration](r, 1, 100, 1000, 3000) * time.Microsecond
	}
	if some() {
		c.Linger = pick[time.Duration](r, 50, 200, 500, 2000) * time.Millisecond
	}
	if some() {
		c.StallLimit = pick[time.Duration](r, 300, 1000, 3000) * time.Millisecond
	}
	c.NoLocal = r.IntN(8) == 0
}

// network draws what links do, each class of faults on or off.
func (p *plan) network(r *rand.Rand) {
	base := pick(r, sim.Link{}, sim.LAN(), sim.LAN(),
		sim.Link{Delay: 20 * time.Microsecond, Jitter: 300 * time.Microsecond},
		sim.Link{Delay: time.Millisecond, Jitter: 5 * time.Millisecond})
	p.calm, p.links = base, base
	l := &p.links
	square := func(most float64) float64 { x := r.Float64(); return most * x * x }
	on := func() bool { return r.IntN(5) < 2 }
	if on() {
		l.Loss = square(0.3)
	}
	if on() {
		l.Burst, l.BurstEnd = square(0.02), 0.05+0.4*r.Float64()
	}
	if on() {
		l.Duplicate = square(0.3)
	}
	if on() {
		l.Replay = square(0.4)
	}
	if on() {
		l.Reorder, l.Late = square(0.4), pick[time.Duration](r, 1, 5, 20, 60)*time.Millisecond
	}
	if on() {
		l.Corrupt = square(0.05)
	}
	if r.IntN(3) == 0 {
		p.calm.Loss = 0.01
	}
	p.opts.Buffers = pick(r, sim.Arena, sim.Arena, sim.Arena, sim.PerTurn)
	if r.IntN(4) == 0 {
		p.opts.Bandwidth = pick[int64](r, 2<<20, 12<<20, 125<<20)
	}
	if r.IntN(4) == 0 {
		p.opts.Cost = sim.Cost{Turn: 5 * time.Microsecond, Receive: 2 * time.Microsecond,
			Transmit: 3 * time.Microsecond, KByte: time.Microsecond}
	}
}

// workload draws what members send.
func (p *plan) workload(r *rand.Rand) {
	p.load = sim.Load{Every: pick[time.Duration](r, 2, 5, 20, 20, 50, 200) * time.Millisecond,
		Burst: pick(r, 1, 3, 10), Small: pick(r, 30, 200, 2000), Most: 200}
	if r.IntN(3) == 0 {
		p.load.Sends = pick(r, 0.1, 0.5)
	}
	if r.IntN(3) == 0 {
		p.load.Long, p.load.LongSize = 0.02, pick(r, 5000, 100<<10)
	}
	if p.members > 9 {
		p.load.Every *= 4
	}
}

// script draws what happens. Which kinds of actions there are at all is drawn
// for each seed.
func (p *plan) script(r *rand.Rand) {
	var kinds []actionKind
	for k := range actCount {
		if r.IntN(5) < 2 {
			for range 1 + r.IntN(3) {
				kinds = append(kinds, k)
			}
		}
	}
	if len(kinds) == 0 {
		kinds = []actionKind{actCrash}
	}
	var at time.Duration
	mean := float64(pick[time.Duration](r, 30, 100, 200, 400) * time.Millisecond)
	for {
		d := time.Duration(r.ExpFloat64() * mean)
		if r.IntN(4) == 0 {
			d = time.Duration(r.IntN(2000)) * time.Microsecond // while the last one still works
		}
		if at += d; at >= p.storm {
			return
		}
		p.actions = append(p.actions, action{at, kinds[r.IntN(len(kinds))], r.Uint64()})
	}
}

// bound is how long after the storm the group must be whole at the latest: the
// time to notice all who are gone, for members that false alarms have made
// patient, twice, since a view change may have to begin
// again; to find the other views and to merge with them, as often as it takes
// to bring all views together by twos; and to get over an application that does
// not answer and a change that does not end.
func (p *plan) bound(c *stack.Config) time.Duration {
	rounds := time.Duration(1)
	for n := p.members * 2; n > 1; n /= 2 {
		rounds++
	}
	return 3*max(c.Silence, stack.MaxSilence) + 2*c.BlockTimeout +
		rounds*(2*c.Presence+300*time.Millisecond) +
		c.Discovery + 2*time.Second
}

// String says what the seed has decided on.
func (p *plan) String() string {
	var b strings.Builder
	c := &p.cfg
	fmt.Fprintf(&b, "seed %d: %d members, total %t, apart %t, skew %t, storm %v\n", p.seed,
		p.members, p.total, p.apart, p.skew, p.storm)
	fmt.Fprintf(&b, "  links %+v\n  then  %+v\n", p.links, p.calm)
	fmt.Fprintf(&b, "  bandwidth %d cost %+v buffers %d\n", p.opts.Bandwidth, p.opts.Cost,
		p.opts.Buffers)
	fmt.Fprintf(&b, "  load %+v cores %x copies %t\n", p.load, p.cores, p.opts.CopyCore)
	fmt.Fprintf(&b, "  lifelines %t unheld %g snap %v\n", !p.opts.NoLifelines, p.opts.Unheld,
		p.opts.Snap)
	fmt.Fprintf(&b, "  segment %d sendbuf %d recvbuf %d beat %v silence %v probe %v discovery %v\n",
		c.Segment, c.SendBuffer, c.RecvBuf, c.Heartbeat, c.Silence, c.Probe, c.Discovery)
	fmt.Fprintf(&b, "  presence %v block %v retry %v reorder %v linger %v stall %v nolocal %t\n",
		c.Presence, c.BlockTimeout, c.Retry, c.Reorder, c.Linger, c.StallLimit, c.NoLocal)
	for i, a := range p.actions {
		fmt.Fprintf(&b, "  %3d %10v %s\n", i, a.at, actionNames[a.kind])
	}
	return b.String()
}
