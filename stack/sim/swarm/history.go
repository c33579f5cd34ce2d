package swarm

import (
	"fmt"
	"math/rand/v2"
	"time"

	"maestro/stack"
	"maestro/stack/check"
	"maestro/stack/sim"
	"maestro/stack/trace"
	"maestro/wire"
)

// history is one run of one plan.
type history struct {
	p      *plan
	o      *Options
	w      *sim.World
	chk    *check.Checker
	names  []string
	left   map[*sim.Member]bool // Leave has been called
	acts   [actCount]int
	counts map[string]uint64
	calm   bool // the storm is over
	bad    string
	event  trace.Event
}

func newHistory(p *plan, o *Options) *history {
	h := &history{p: p, o: o, left: map[*sim.Member]bool{}, counts: map[string]uint64{}}
	so := p.opts
	so.Link = &p.links
	so.Trace, so.TraceData = o.Trace, o.TraceData
	so.Ended = h.ended
	h.w = sim.New(p.seed, so)
	p.cfg.Layers, p.cfg.StackName = makers(p.total, p.cfg.NoLocal)
	if o.Mutate != nil {
		p.cfg.Layers = o.Mutate(p.cfg.Layers)
	}
	filled := p.cfg
	filled.Self.Name, filled.Addr = "x", sim.AddrOf(0)
	if err := filled.Fill(); err != nil {
		h.fail("configuration: %v", err)
	}
	co := check.VSync()
	co.Local = !p.cfg.NoLocal
	co.Total, co.Online = p.total, true
	co.Bound = p.bound(&filled)
	h.chk = check.New(co)
	return h
}

// Record hands an event to the checker, and to whoever else wants it.
func (h *history) Record(e *trace.Event) {
	h.chk.Observe(e)
	if h.o.Record != nil {
		h.o.Record.Record(e)
	}
}

// harness records an event that is no member's own.
func (h *history) harness(k trace.Kind, p wire.Endpoint, dests []wire.Endpoint) {
	h.event = trace.Event{Time: int64(h.w.Now()), Kind: k, P: p, Dests: dests}
	h.Record(&h.event)
}

// ended hears of the end of members.
func (h *history) ended(m *sim.Member, why string) {
	if why == "closed" || why == "out" {
		return
	}
	if v := m.Group.View(); v != nil && recorder(m).Blocked {
		h.count("crash in a view change", 1)
		if v.Rank == 0 {
			h.count("crash of a coordinator in a view change", 1)
		}
	}
	h.harness(trace.Crash, m.Self, nil)
}

func (h *history) count(what string, n uint64) { h.counts[what] += n }

func (h *history) fail(format string, a ...any) {
	if h.bad == "" {
		h.bad = fmt.Sprintf(format, a...)
		h.w.Note("FAILED: %s", h.bad)
	}
}

func recorder(m *sim.Member) *sim.Recorder { return m.App.(*sim.Recorder) }

// freshName is a name that nobody has had.
func (h *history) freshName() string {
	name := fmt.Sprintf("%c", 'a'+len(h.names)%26)
	if k := len(h.names) / 26; k > 0 {
		name += fmt.Sprint(k)
	}
	h.names = append(h.names, name)
	h.w.Host(name)
	return name
}

// maxNames bounds how many hosts there are.
const maxNames = 24

// start starts a member and has it work.
func (h *history) start(name string, r *rand.Rand) *sim.Member {
	if len(h.names) > maxNames {
		h.names = h.names[:maxNames]
		return nil
	}
	app := &sim.Recorder{Out: h}
	if h.p.cores != 0 {
		app.InCore = h.p.inCore
	}
	m, err := h.w.Add(name, h.p.cfg, app)
	if err != nil {
		h.fail("start: %v", err)
		return nil
	}
	rnd := m.Rand()
	if rnd.IntN(3) == 0 {
		app.Rank = []byte{byte(rnd.IntN(4))}
	}
	app.Exchanges = rnd.IntN(4) == 0
	if h.p.skew {
		m.Skew = time.Duration(rnd.Int64N(int64(time.Hour)))
		m.Drift = rnd.Int64N(1000) - 500
	}
	m.Join()
	if !h.calm {
		app.Work(h.p.load, stack.Time(h.p.storm))
	}
	return m
}

// live are the members that run, in the order of their start.
func (h *history) live() []*sim.Member {
	var l []*sim.Member
	for _, m := range h.w.Members() {
		if m.Live() {
			l = append(l, m)
		}
	}
	return l
}

// any draws a member that runs.
func (h *history) any(r *rand.Rand) *sim.Member {
	l := h.live()
	if len(l) == 0 {
		return nil
	}
	return l[r.IntN(len(l))]
}

// blocked reports whether any member is in a view change.
func (h *history) blocked() bool {
	for _, m := range h.w.Members() {
		if m.Live() && recorder(m).Blocked {
			return true
		}
	}
	return false
}
