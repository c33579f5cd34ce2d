package sim

import (
	"net/netip"
	"time"

	"maestro/stack"
)

// lifeline is what a member has of another while it watches it: a connection that breaks
// when the process at its other end ends, if the news of that comes through.
type lifeline struct {
	to    *host
	peer  *Member // the process at the other end while it holds
	was   *Member // the last one, until it is known what has become of it
	since stack.Time
	pause time.Duration // before it is dialled again
}

// The pauses between attempts grow from one to the other.
const (
	minPause = time.Millisecond
	maxPause = time.Second
)

// Watch has the member keep a lifeline to an address and to no other.
func (m *Member) Watch(addr netip.AddrPort) (held bool) {
	w := m.world
	h := w.addrs[addr]
	if l := m.life; l != nil && l.to == h {
		return l.peer != nil
	}
	m.life = nil
	if h != nil && h != m.host && !w.opts.NoLifelines {
		m.life = &lifeline{to: h}
		w.dial(m, m.life)
	}
	return false
}

// dial makes a connection after a pause, and waits for the greeting: two round trips.
func (w *World) dial(m *Member, l *lifeline) {
	there, back := &w.links[m.host.index][l.to.index], &w.links[l.to.index][m.host.index]
	w.After(l.pause+2*(w.delay(there)+w.delay(back)), func() {
		if m.ended || m.life != l {
			return
		}
		w.dialled(m, l, w.fate(there, 64) == passes && w.open(m.host, l.to) &&
			w.open(l.to, m.host) && !w.chance(w.opts.Unheld))
	})
	if l.pause == maxPause {
		l.was = nil // whoever was there, others may be by then
	}
	l.pause = min(max(2*l.pause, minPause), maxPause)
}

// dialled is when an attempt has come to an end; reached says whether there was an answer.
func (w *World) dialled(m *Member, l *lifeline, reached bool) {
	peer := l.to.member
	if reached && l.was != nil && peer != l.was {
		l.was = nil
		w.tell(m, l, func(g *stack.Group) {
			w.stats.Unreach++
			w.trace(m, "refused by %s", l.to.name)
			g.Unreachable(l.to.addr)
		})
	}
	if !reached || peer == nil || peer.paused {
		w.dial(m, l)
		return
	}
	w.stats.Lifelines++
	l.peer, l.was, l.since = peer, peer, w.now
	w.tellHeld(m, l)
	if w.opts.Snap > 0 {
		lasts := time.Duration(w.rand.Int64N(int64(2 * w.opts.Snap)))
		w.After(lasts, func() { w.snap(m, l, peer) })
	}
}

// snap is when a member finds its lifeline broken.
func (w *World) snap(m *Member, l *lifeline, peer *Member) {
	if m.ended || m.life != l || l.peer != peer {
		return
	}
	w.stats.Snapped++
	l.peer = nil
	if w.now.Sub(l.since) > maxPause {
		l.pause = 0
	}
	w.tellHeld(m, l)
	w.dial(m, l)
}

func (w *World) tellHeld(m *Member, l *lifeline) {
	w.tell(m, l, func(g *stack.Group) {
		w.trace(m, "lifeline to %s: %t", l.to.name, l.peer != nil)
		g.Lifeline(l.to.addr, l.peer != nil)
	})
}

// tell has the member hear of its lifeline, if it is still the same by then.
func (w *World) tell(m *Member, l *lifeline, news func(g *stack.Group)) {
	m.Do(func(g *stack.Group) {
		if m.life == l {
			news(g)
		}
	})
}

// letGo breaks the lifelines to a process that has ended. Those who cannot be reached do
// not hear of it.
func (w *World) letGo(m *Member) {
	if m.host.down {
		return
	}
	for _, h := range w.hosts {
		o := h.member
		if o == nil || o.life == nil || o.life.peer != m || !w.open(m.host, h) {
			continue
		}
		l := o.life
		w.After(w.delay(&w.links[m.host.index][h.index]), func() { w.snap(o, l, m) })
	}
}
