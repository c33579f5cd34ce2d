package script

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// Groups runs all scripts of testdata, each with several members that have whole
// stacks, over a network in which nothing moves unless the script says so.
//
//	config retry=4ms ..., start a b
//	    members join their group, with these fields of stack.Config
//	run 200ms [quietly]
//	    time passes, and what is sent arrives at once
//	tick 5ms
//	    time passes, and what is sent stays under way
//	deliver [KIND] [a>b], drop [KIND] [a>b], flight
//	    what is under way and fits arrives, or is lost; '*' fits all. Without
//	    arguments all that is under way arrives, and all that follows from it.
//	cut a>c c>a, heal
//	    what goes these ways is lost from now on; all ways are open again
//	cast a "text", send a>b "text", leave a, suspect a rank=1 why="text"
//	    and change a "why": downcalls
//	unreachable a at=b
//	    b's kernel says that a's port is closed
//	busy a, ready a
//	    the application of a does not stop when it is asked to; it stops
//	crash a, dump a, views
//
// The output has what was sent (a > b: block round=1), and what the groups told
// their applications (a: view 2:a [a b]).
func Groups(t *testing.T, update bool, pattern, name string, makers []stack.Maker) {
	run(t, update, pattern, func() machine {
		return &groups{cfg: stack.Config{Group: "g", StackName: name, Layers: makers}}
	})
}

// groups is some members and the network between them.
type groups struct {
	lines
	cfg     stack.Config
	now     stack.Time
	members []*player
	flight  []packet
	cuts    []string // links, as "a>b"
	quiet   bool
}

// packet is one datagram under way to one member.
type packet struct {
	from, to *player
	data     []byte
}

func (g *groups) do(cmd string, a args) {
	switch cmd {
	case "config":
		a.fill(&g.cfg)
	case "start":
		g.start(a)
	case "run":
		d := must(time.ParseDuration(a.next()))
		_, g.quiet = a.take("quietly")
		g.pass(g.now.Add(d), true)
		g.quiet = false
	case "tick":
		g.pass(g.now.Add(must(time.ParseDuration(a.next()))), false)
	case "deliver":
		if len(a) == 0 {
			g.all()
			return
		}
		g.move(a, true)
	case "drop":
		g.move(a, false)
	case "cut":
		g.cuts = append(g.cuts, a...)
	case "heal":
		g.cuts = nil
	case "flight":
		for _, p := range g.flight {
			g.printf("%s > %s: %s", p.from.name, p.to.name, p.describe())
		}
	case "views":
		for _, m := range g.members {
			if !m.dead && !m.group.Out() {
				g.printf("%s is in %s", m.name, viewName(m.group.View()))
			}
		}
	default:
		g.member(cmd, a)
	}
}

// member runs the commands that concern one member.
func (g *groups) member(cmd string, a args) {
	name, to, _ := strings.Cut(a.next(), ">")
	if at, ok := a.take("at"); ok {
		m := g.find(at)
		m.group.Unreachable(Addr(name))
		m.turn()
		return
	}
	m := g.find(name)
	var err error
	switch cmd {
	case "cast":
		err = m.group.Cast(0, nil, a.data())
	case "send":
		err = m.group.Send(m.group.View().RankOf(g.find(to).id()), 0, nil, a.data())
	case "leave":
		err = m.group.Leave()
	case "change":
		m.group.RequestView(string(a.data()))
	case "suspect":
		m.group.Suspect(a.num("rank", 0), string(a.data()))
	case "busy":
		m.busy = true
	case "ready":
		m.busy = false
	case "crash":
		g.crash(m)
		return
	case "dump":
		g.printf("%s", strings.TrimSpace(m.group.Dump()))
		return
	default:
		panic(mistake("no such command"))
	}
	if err != nil {
		g.printf("%s: %v", m.name, err)
	}
	m.turn()
}

func (g *groups) find(name string) *player {
	for _, m := range g.members {
		if m.name == name && !m.dead {
			return m
		}
	}
	panic(mistake("no member " + name))
}

func (g *groups) start(a args) {
	cfg := g.cfg
	for _, name := range a {
		m := &player{groups: g, name: name}
		m.pool.Poison = true
		cfg.Self, cfg.Addr = member(name).ID, Addr(name)
		seed := rand.NewPCG(uint64(len(g.members)), 7)
		m.group = must(stack.NewGroup(cfg, m, m, &m.pool, rand.New(seed)))
		g.members = append(g.members, m)
		m.group.Advance(g.now)
		must(0, m.group.Join())
		m.turn()
	}
}

func (g *groups) crash(m *player) {
	m.dead = true
	m.drop()
	m.group.Close()
	g.flight = slices.DeleteFunc(g.flight, func(p packet) bool { return p.to == m })
}

// pass lets time pass, from deadline to deadline.
func (g *groups) pass(end stack.Time, deliver bool) {
	for {
		if deliver {
			g.all()
		}
		next := stack.Never
		for _, m := range g.members {
			if !m.dead {
				next = min(next, m.group.Next())
			}
		}
		if next > end {
			break
		}
		g.now = max(g.now, next)
		for _, m := range g.members {
			if !m.dead && m.group.Next() <= g.now {
				m.group.Advance(g.now)
				m.turn()
			}
		}
	}
	g.now = end
	for _, m := range g.members {
		if !m.dead {
			m.group.Advance(end)
		}
	}
}

// all delivers everything, and what follows from it.
func (g *groups) all() {
	for len(g.flight) > 0 {
		p := g.flight[0]
		g.flight = g.flight[1:]
		p.arrive()
	}
}

// move delivers or drops what fits.
func (g *groups) move(a args, deliver bool) {
	kind, from, to := "*", "*", "*"
	for _, w := range a {
		if f, t, ok := strings.Cut(w, ">"); ok {
			from, to = f, t
		} else {
			kind = w
		}
	}
	fits := func(pattern, s string) bool { return pattern == "*" || pattern == s }
	var moved, kept []packet
	for _, p := range g.flight {
		k := wire.Kind(p.data[2]).String()
		if fits(kind, k) && fits(from, p.from.name) && fits(to, p.to.name) {
			moved = append(moved, p)
		} else {
			kept = append(kept, p)
		}
	}
	if len(moved) == 0 {
		panic(mistake("nothing under way fits"))
	}
	g.flight = kept
	for _, p := range moved {
		if deliver {
			p.arrive()
		}
	}
}

func (p *packet) describe() string {
	var h wire.Header
	if !h.Parse(p.data) {
		return "MALFORMED " + text(p.data)
	}
	return describe(&h, p.data[wire.HeaderLen:])
}

func (p *packet) arrive() {
	m := p.to
	if m.dead {
		return
	}
	buf := m.pool.Get()
	n := copy(buf.B, p.data)
	m.group.Receive(&wire.Packet{From: Addr(p.from.name), Buf: buf, Data: buf.B[:n], Seg: n})
	buf.Drop()
	m.turn()
}

func (g *groups) after() {}

func (g *groups) close() error {
	for _, m := range g.members {
		if !m.dead {
			g.crash(m)
		}
		if n := m.pool.Live(); n != 0 {
			return fmt.Errorf("%s holds %d buffers", m.name, n)
		}
	}
	return nil
}

func (g *groups) printf(format string, a ...any) {
	if !g.quiet {
		g.lines.printf(format, a...)
	}
}
