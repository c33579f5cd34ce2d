package stack

import (
	"maestro/wire"
)

// settle installs views until none is waiting.
func (g *Group) settle() {
	for g.install != nil && g.state != out {
		in := g.install
		g.install = nil
		g.next(in)
	}
}

// next replaces the stack by one for the next view.
func (g *Group) next(in *Install) {
	old := g.cur
	g.retire(in.Decision, in.Raw)
	v := g.viewOf(in.Decision, old.view)
	g.patience.changed(g.now, g.cfg.Silence, old.view, failedOf(in.Decision, old.view), v)
	g.epoch++
	g.counters.Views++
	g.viewAt = [2]Time{g.now, g.viewAt[0]}
	g.viewTook = 0
	if g.stopping && !old.view.Private {
		g.viewTook = g.now.Sub(g.stopAt)
		d := uint64(g.viewTook)
		g.counters.ViewNanosLast = d
		g.counters.ViewNanosTotal += d
		g.counters.BlockedNanos += d
	}
	g.stopping, g.stopped = false, false
	g.pushed, g.allowed = 0, 0
	g.cur = New(g, v, g.cfg.Layers)
	g.app.View(g.epoch, v)
	if g.state == leaving {
		g.cur.Tell(Leave{})
	}
	g.replay()
}

// retire keeps the current stack for those who have not left its view yet.
func (g *Group) retire(d *wire.Decision, raw []byte) {
	g.cur.Retire()
	g.ended = append(g.ended, ended{g.cur, raw, d, g.now.Add(g.cfg.Linger)})
	if len(g.ended) > maxEnded {
		g.ended[0].stack.Close()
		g.ended = append(g.ended[:0], g.ended[1:]...)
	}
}

func (g *Group) viewOf(d *wire.Decision, old *View) *View {
	v := &View{View: d.Next, Group: g.cfg.Group, Prev: old.ID}
	v.Rank = v.RankOf(g.cfg.Self)
	v.Together = make([]bool, len(v.Members))
	apart := failedOf(d, old) // who of the old view comes by another way, if at all
	for i := range v.Members {
		r := old.RankOf(v.Members[i].ID)
		v.Together[i] = r >= 0 && (r >= len(apart) || !apart[r])
	}
	v.Core = g.app.Core(v)
	if v.Core != nil && v.Core.First() < 0 {
		v.Core = nil // everybody
	}
	if old.Private {
		v.Prev = wire.ViewID{}
	}
	return v
}

// failedOf is who did not get to the end of the old view.
func failedOf(d *wire.Decision, old *View) Set {
	for i := range d.Parties {
		if d.Parties[i].View == old.ID {
			return SetOf(len(old.Members), d.Parties[i].Failed)
		}
	}
	return nil
}

// replay hands stashed datagrams to the new view.
func (g *Group) replay() {
	stash := g.stash
	g.stash = nil
	for i := range stash {
		if stash[i].d.Conn == g.cur.conn {
			g.cur.Receive(&stash[i].d)
		}
		stash[i].d.Buf.Drop()
	}
}

func (g *Group) dropStash() {
	for i := range g.stash {
		g.stash[i].d.Buf.Drop()
	}
	g.stash = nil
}
