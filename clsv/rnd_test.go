package clsv_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/stack/check"
)

var (
	rndSeeds = flag.Int("clsv.seeds", 24, "number of random runs")
	rndSeed  = flag.Int("clsv.seed", -1, "the only random run, if not negative")
)

// machine is a replicated state: a hash over all Generic messages to servers,
// in order. It gets its state as a whole.
type machine struct {
	*recorder
	state   uint64
	backlog [][]byte // received while transferring
	snaps   map[clsv.Endpoint]uint64
	from    clsv.Endpoint
	total   bool
	have    bool
}

func (m *machine) apply(msg []byte) {
	h := fnv.New64a()
	h.Write(msg)
	if m.total { // the order counts
		m.state = m.state*1099511628211 ^ h.Sum64()
	} else {
		m.state += h.Sum64()
	}
}

func (m *machine) AcceptedView(v *clsv.View, _ []byte) {
	m.recorder.views = append(m.recorder.views, v)
	m.log("view %s", describe(v))
	if v.StartXfer {
		m.backlog, m.from, m.have = nil, clsv.Endpoint{}, false
	}
	m.have = m.have || v.State == clsv.ServerNormal
	if v.State == clsv.ServerXfer && len(v.Servers) > 0 && !v.IsServer(m.from) {
		m.from = v.Servers[0]
		if err := m.m.AskState(m.from, nil); err != nil {
			m.log("ask: %v", err)
		}
	}
	if v.State == clsv.ServerNormal {
		for _, e := range v.XferServers {
			if v.StartXfer || !contains(v, e, m) {
				m.snaps[e] = m.state
			}
		}
	}
}

// contains reports whether e was transferring in the view before, from which
// there is a snapshot for it.
func contains(v *clsv.View, e clsv.Endpoint, m *machine) bool {
	for _, n := range v.NewXferServers {
		if n == e {
			return false
		}
	}
	_, ok := m.snaps[e]
	return ok
}

func (m *machine) receive(msg []byte) {
	if msg[0] != 'g' {
		return
	}
	switch m.m.State() {
	case clsv.ServerNormal:
		m.apply(msg)
	case clsv.ServerXfer, clsv.ServerXferDone:
		m.backlog = append(m.backlog, append([]byte(nil), msg...))
	}
}

func (m *machine) ReceiveScast(_ clsv.Endpoint, msg []byte) { m.receive(msg) }

func (m *machine) AskState(o clsv.Endpoint, _ []byte) {
	_ = m.m.SendState(o, binary.LittleEndian.AppendUint64(nil, m.state))
}

func (m *machine) RcvState(_ clsv.Endpoint, state []byte) {
	m.state, m.have = binary.LittleEndian.Uint64(state), true
	_ = m.m.XferDone()
}

// chaos is one random run.
type chaos struct {
	*lab
	rnd *rand.Rand
	all []string
	// make makes members anew, after a crash.
	make map[string]func()
}

func TestRND1(t *testing.T) {
	for seed := range *rndSeeds {
		if *rndSeed < 0 || seed == *rndSeed {
			t.Run(fmt.Sprint(seed), func(t *testing.T) { randomRun(t, uint64(seed), 600) })
		}
	}
}

func randomRun(t *testing.T, seed uint64, steps int) {
	cfg := lossy(seed)
	cfg.Check = func(o *check.Options) { o.StateEqual = false }
	c := &chaos{lab: newLabOn(t, seed, cfg), rnd: rand.New(rand.NewPCG(seed, 1)),
		make: map[string]func(){}}
	exchange := seed%3 == 0
	for i := range 7 {
		n := fmt.Sprint("m", i)
		o := client
		if i < 4 {
			o = server(clsv.Xfer(c.rnd.IntN(4)))
		}
		o.Total = seed%2 == 1
		c.make[n] = func() {
			if exchange && i%2 == 0 {
				c.exchange(n, "s", "v"+n, o)
			} else {
				c.add(n, o)
			}
			c.auto(c.r[n])
		}
		c.make[n]()
		c.all = append(c.all, n)
		if i < 5 {
			c.ok(c.r[n].m.StartJoin())
		}
	}
	c.c.Run(200 * ms)
	for range steps {
		c.step()
		c.c.Run(time.Duration(c.rnd.IntN(5000)) * time.Microsecond)
	}
	c.c.Heal()
	c.c.Run(time.Second)
	for _, n := range c.all {
		c.c.Slow(n, 0)
		if c.r[n].m.State() == clsv.Initial || c.r[n].m.State() == clsv.Leaving {
			c.rejoin(n)
		}
	}
	c.quiet(c.all)
}

// rejoin has a member join that is not in the group.
func (c *chaos) rejoin(n string) {
	c.until(func() bool { return c.r[n].m.State() != clsv.Leaving })
	if err := c.r[n].m.StartJoin(); err != nil {
		c.Errorf("%s cannot join: %v", n, err)
	}
}

func (c *chaos) step() {
	n := c.all[c.rnd.IntN(len(c.all))]
	r := c.r[n]
	up := r.m.State() != clsv.Initial && r.m.State() != clsv.Leaving
	switch k := c.rnd.IntN(200); {
	case !up && k < 60:
		if r.m.State() == clsv.Initial {
			_ = r.m.StartJoin()
		}
	case !up:
	case k < 2:
		c.c.Crash(n)
		c.make[n]()
	case k < 4:
		_ = r.m.StartLeave()
	case k < 6:
		c.partition()
	case k < 10:
		c.c.Heal()
	case k < 11:
		if v := r.m.View(); v != nil {
			_ = r.m.Suspect(v.Members[c.rnd.IntN(len(v.Members))])
		}
	case k < 12:
		c.c.Slow(n, time.Duration(c.rnd.IntN(20))*ms)
	case k < 13:
		_ = r.m.RequestView()
	default:
		c.send(r)
	}
}

func (c *chaos) partition() {
	var parts [2][]string
	for _, n := range c.all {
		k := c.rnd.IntN(2)
		parts[k] = append(parts[k], n)
	}
	c.c.Partition(parts[:]...)
}

func (c *chaos) send(r *recorder) {
	v := r.m.View()
	if v == nil {
		return
	}
	o := clsv.MsgOptions{Safety: clsv.Safety(c.rnd.IntN(3))}
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
		msg[0] = 'g'
		switch c.rnd.IntN(4) {
		case 0:
			_, _ = r.m.TryCast(msg, o)
		case 1:
			_, _ = r.m.TryScast(msg, o)
		case 2:
			_, _ = r.m.TryLsend(msg, o)
		case 3:
			_, _ = r.m.TrySend(v.Members[c.rnd.IntN(len(v.Members))], msg, o)
		}
	}
}

// TestRND2 is RND-1 with servers whose state is a hash of what they got, under
// atomic transfers: normal servers have the same state whenever they accept a
// view, and when they leave one together.
func TestRND2(t *testing.T) {
	for seed := range max(*rndSeeds/4, 1) {
		if *rndSeed >= 0 && seed != *rndSeed {
			continue
		}
		cfg := clsvtest.Config{Check: func(o *check.Options) { o.StateEqual = true }}
		l := newLabOn(t, uint64(seed), cfg)
		rnd := rand.New(rand.NewPCG(uint64(seed), 2))
		ms := make([]*hashed, 4)
		start := func(i int) {
			h := &hashed{machine{recorder: &recorder{}, snaps: map[clsv.Endpoint]uint64{}}}
			n := fmt.Sprint("m", i)
			l.r[n] = h.recorder
			h.m = l.c.Add(n, clsv.Options{Role: clsv.Server, Xfer: clsv.AtomicXfer, Handler: h})
			ms[i] = h
			l.ok(h.m.StartJoin())
		}
		for i := range ms {
			start(i)
		}
		for range 300 {
			i := rnd.IntN(len(ms))
			h := ms[i]
			switch k := rnd.IntN(100); {
			case k < 1:
				l.c.Crash(fmt.Sprint("m", i))
				start(i)
			case k < 3:
				l.c.Partition([]string{"m0", "m1"}, []string{"m2", "m3"})
			case k < 6:
				l.c.Heal()
			default:
				_, _ = h.m.TryScast([]byte{'g', byte(k), byte(rnd.Uint32())})
			}
			l.c.Run(time.Duration(rnd.IntN(4000)) * time.Microsecond)
		}
		l.c.Heal()
		l.quiet([]string{"m0", "m1", "m2", "m3"})
		l.c.Run(500 * time.Millisecond)
		for _, h := range ms {
			if h.state != ms[0].state {
				t.Errorf("seed %d: states differ: %x %v %s", seed, h.state, h.m.State(), h.m.Dump())
			}
		}
	}
}

// hashed is a machine that shows its state.
type hashed struct{ machine }

// StateHash is the state while there is one.
func (h *hashed) StateHash() uint64 {
	if h.have {
		return h.state | 1<<63
	}
	return 0
}

// TestRND4 crashes each member at each of its transmissions while a server
// joins.
func TestRND4(t *testing.T) {
	most := 25
	if testing.Short() {
		most = 5
	}
	for _, who := range []string{"K", "A", "c", "X"} {
		for k := 1; k <= most; k++ {
			l := g0(t)
			x := l.add("X", server(clsv.AtomicXfer))
			for _, r := range l.r {
				l.auto(r)
			}
			l.ok(x.m.StartJoin())
			l.c.CrashAt(who, k, k%2 == 0)
			l.c.Run(200 * ms)
			l.c.Crash(who)
			l.c.Run(200 * ms)
			l.quiet(l.live())
		}
	}
}
