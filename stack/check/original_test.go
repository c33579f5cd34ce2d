package check

import (
	"slices"
	"testing"

	"maestro/stack/trace"
)

// assignOriginal is the role logic of the original Maestro_ClSv: a server comes
// as a client and asks to become one in a later view; lists are in the order of
// promotion; the view type stays at the strictest transfer until all are done;
// and when the last server has gone, every transferring member takes itself for
// done, with whatever state it has.
func assignOriginal(g, old *cgroup) {
	here := func(l []*cmember) []*cmember {
		return slices.DeleteFunc(slices.Clone(l), func(m *cmember) bool {
			return !slices.Contains(g.ms, m)
		})
	}
	if old != nil {
		g.servers, g.xfers = here(old.servers), here(old.xfers)
		g.vtype = old.vtype
	}
	for _, m := range g.ms {
		m.start = false
		switch {
		case m.role == trace.Client:
			m.next = trace.ClientNormal
		case m.state == trace.Joining:
			m.next = trace.BecomingServer
		case m.state == trace.BecomingServer && m.xfer != trace.NoXfer:
			m.next = trace.ServerXfer
			g.xfers = append(g.xfers, m)
			g.vtype = max(g.vtype, m.xfer)
		case m.state == trace.BecomingServer, m.state == trace.ServerXferDone:
			m.next = trace.ServerNormal
			g.xfers = slices.DeleteFunc(g.xfers, func(x *cmember) bool { return x == m })
			g.servers = append(g.servers, m)
		default:
			m.next = m.state
		}
	}
	if len(g.xfers) == 0 {
		g.vtype = trace.NoXfer
	}
	for _, m := range g.xfers {
		switch {
		case len(g.servers) == 0:
			m.next = trace.ServerXferDone
		case m.state == trace.BecomingServer:
			m.start = true
		}
	}
}

// TestOriginal is the negative control: the original algorithm must not pass.
func TestOriginal(t *testing.T) {
	seeds, steps := uint64(80), 600
	if testing.Short() {
		seeds = 20
	}
	for _, x := range []struct {
		name  string
		types []trace.Xfer
		least map[string]int // per cent of the seeds
	}{
		{"protected", []trace.Xfer{trace.ProtectedXfer},
			map[string]int{"CS15": 40, "CS16": 40, "CS17": 20, "CS3": 95, "CS4": 30}},
		{"atomic", []trace.Xfer{trace.AtomicXfer},
			map[string]int{"CS15": 40, "CS16": 40, "CS17": 20, "CS3": 95, "CS4": 30}},
		{"free", []trace.Xfer{trace.FreeXfer},
			map[string]int{"CS15": 40, "CS16": 40, "CS17": 20, "CS3": 95, "CS4": 30}},
		{"mixed", []trace.Xfer{trace.ProtectedXfer, trace.AtomicXfer},
			map[string]int{"CS15": 40, "CS16": 40, "CS17": 20, "CS3": 95, "CS4": 30,
				"CS5": 50, "CS9": 4}},
	} {
		got := map[string]int{}
		for seed := range seeds {
			es := newClSv(seed, true, x.types...).run(steps)
			for p := range online(clsvOptions(), es).Counts() {
				got[p]++
			}
		}
		t.Logf("%-9s of %d seeds: %v", x.name, seeds, got)
		for p, least := range x.least {
			if got[p]*100 < least*int(seeds) {
				t.Errorf("%s: %s in %d of %d seeds", x.name, p, got[p], seeds)
			}
		}
		if got["CS5"] > 0 && x.name != "mixed" {
			t.Errorf("%s: CS5 in %d seeds", x.name, got["CS5"])
		}
	}
}

// TestClSvNoFalseAlarm checks the algorithm of the specification.
func TestClSvNoFalseAlarm(t *testing.T) {
	seeds, steps := uint64(60), 2000
	if testing.Short() {
		seeds, steps = 20, 600
	}
	promoted := 0
	for seed := range seeds {
		types := []trace.Xfer{trace.FreeXfer, trace.ProtectedXfer, trace.AtomicXfer}
		o := clsvOptions()
		if seed%2 == 0 { // servers that want no transfer have a state of their own
			types, o.StateEqual = append(types, trace.NoXfer), false
		}
		es := newClSv(seed, false, types...).run(steps)
		for name, c := range map[string]*Checker{
			"on-line": online(o, es), "off-line": offline(o, es),
		} {
			if len(c.found) > 0 {
				t.Fatalf("seed %d %s: %v\n%s", seed, name, c.Counts(), c.found[0].Detail())
			}
		}
		for i := range es {
			if es[i].Kind == trace.XferDone {
				promoted++
			}
		}
	}
	t.Logf("%d seeds, %d transfers", seeds, promoted)
}
