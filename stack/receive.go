package stack

import (
	"net/netip"
	"slices"
	"time"

	"maestro/wire"
)

// Receive takes what the network gave. The group keeps what it needs, and moves
// about what lies in p.Data; the caller drops its own reference to p.Buf afterwards.
// Whatever is not for this group, or not in a form that a member sends, is dropped
// and counted.
func (g *Group) Receive(p *wire.Packet) {
	if p.From == g.cfg.Addr || p.Seg <= 0 {
		return
	}
	g.in = Datagram{From: p.From, Buf: p.Buf}
	switch {
	case len(p.Data) <= p.Seg:
		g.receive(p.Data)
	case p.Seg > wire.HeaderLen:
		g.receiveRun(p)
	case p.Seg == wire.HeaderLen: // such as a probe and a heartbeat
		for b := range slices.Chunk(p.Data, p.Seg) {
			g.receive(b)
		}
	default:
		g.counters.Malformed++
	}
}

// receive takes one datagram.
func (g *Group) receive(b []byte) {
	d := &g.in
	switch {
	case g.cur == nil || g.state == out && len(g.ended) == 0:
	case !d.Parse(b):
		g.counters.Malformed++
	default:
		d.Body = b[wire.HeaderLen:]
		g.counters.PacketsIn[d.Kind]++
		g.counters.BytesIn[d.Kind] += uint64(len(b))
		g.dispatch(d)
	}
}

// receiveRun takes several datagrams. Segments that follow each other in their stream
// stay together, and what they carry closes up.
func (g *Group) receiveRun(p *wire.Packet) {
	d := &g.in
	if last := len(p.Data) % p.Seg; last > 0 && last < wire.HeaderLen {
		g.counters.Malformed++
	}
	r := wire.Split(p.Data, p.Seg, g.heads[:0])
	g.heads = r.Heads
	for i := 0; i < r.Len(); i++ {
		if g.cur == nil || g.state == out && len(g.ended) == 0 {
			return
		}
		if !d.Parse(r.Head(i)) {
			g.counters.Malformed++
			continue
		}
		first, n := i, 1
		if d.Kind.Segments() {
			n += r.Follow(i)
			i += n - 1
		}
		d.Body, d.Part = r.Bodies(first, first+n), r.Part
		g.counters.PacketsIn[d.Kind] += uint64(n)
		g.counters.BytesIn[d.Kind] += uint64(n*wire.HeaderLen + len(d.Body))
		g.dispatch(d)
	}
}

// dispatch finds the view that a datagram belongs to by its connection id.
func (g *Group) dispatch(d *Datagram) {
	switch d.Conn {
	case g.cur.conn:
		if g.state == out {
			g.other(d) // its view is one of the ended
			return
		}
		g.cur.Receive(d)
		g.settle()
	case g.conn:
		g.foreign(d)
		g.settle()
	default:
		g.other(d)
	}
}

// foreign handles datagrams that belong to no view.
func (g *Group) foreign(d *Datagram) {
	switch d.Kind {
	case wire.KindPresence, wire.KindMerge, wire.KindMergeDeny, wire.KindDecision:
		if g.state != out && !(d.Kind == wire.KindMerge && g.merged(d)) {
			g.cur.Foreign(d)
		}
	case wire.KindDecided:
		for i := range g.ended {
			g.ended[i].stack.Foreign(d)
		}
		g.cur.Foreign(d)
	case wire.KindQuery:
		g.query(d)
	case wire.KindExcluded:
		var m wire.ViewRef
		if m.Parse(d.Body) != nil {
			g.counters.Malformed++
			return
		}
		if m.View == g.cur.view.ID && g.state != out && g.cur.view.RankAt(d.From) >= 0 {
			g.cur.Tell(Gone{m.Now, m.Members})
		}
	default:
		g.counters.Malformed++
	}
}

// other handles datagrams of views other than the current one.
func (g *Group) other(d *Datagram) {
	for i := range g.ended {
		e := &g.ended[i]
		if d.Conn != e.stack.conn {
			continue
		}
		e.stack.Receive(d)
		g.straggler(e, d)
		return
	}
	if g.state == out {
		return
	}
	rank := g.cur.view.RankAt(d.From)
	if rank < 0 {
		g.counters.OtherGroup++
	} else {
		g.counters.OtherView++
		g.cur.Tell(Foreign{rank})
		g.settle()
		if d.Conn == g.cur.conn {
			g.cur.Receive(d)
			g.settle()
			return
		}
	}
	if (rank >= 0 || g.stopping || g.cur.view.Private) && len(g.stash) < maxStash {
		d.Buf.Keep()
		g.stash = append(g.stash, stashed{*d})
		g.counters.Stashed++
	}
}

// straggler tells a member that still speaks an ended view what became of it.
func (g *Group) straggler(e *ended, d *Datagram) {
	if int(d.Sender) >= len(e.stack.view.Members) || !g.chatty(d.Kind) {
		return
	}
	m := &e.stack.view.Members[d.Sender]
	if m.Addr != d.From || g.hush(e, d.Kind) || !g.notice(d.From) {
		return
	}
	g.answer(e, m.ID, d.From)
}

// hush keeps a straggler from too many answers. In a large view not all get the decision
// at the same time, and what they multicast until then would be answered by everybody.
// What they send to one member, as each does soon, always is.
func (g *Group) hush(e *ended, k wire.Kind) bool {
	const few = 16
	n := len(e.stack.view.Members)
	if n <= few {
		return false
	}
	if g.now < e.until.Add(g.cfg.RetryOf(n)-g.cfg.Linger) {
		return true
	}
	return k != wire.KindProbe && k != wire.KindFlushOk && k != wire.KindLeave &&
		g.rand.IntN(n) >= few/4
}

// chatty tells the kinds of datagrams that a member which has left a view
// behind does not send in it any more.
func (g *Group) chatty(k wire.Kind) bool {
	switch k {
	case wire.KindHeartbeat, wire.KindProbe, wire.KindBlock, wire.KindFlushOk,
		wire.KindSuspect, wire.KindCast, wire.KindCore, wire.KindAnnounce, wire.KindLeave:
		return true
	}
	return false
}

// query answers a member that asks what became of a view.
func (g *Group) query(d *Datagram) {
	var m wire.ViewRef
	if m.Parse(d.Body) != nil || len(m.Members) != 1 {
		g.counters.Malformed++
		return
	}
	if !g.notice(d.From) {
		return // it asks again
	}
	for i := range g.ended {
		e := &g.ended[i]
		if e.has(m.View) {
			g.answer(e, m.Members[0], d.From)
			return
		}
	}
	// The view is not one of ours: if we have gone on without the asker, say so.
	// Not while a view changes: the next one may have it.
	if g.state == joined && !g.cur.view.Private && !g.stopping && g.cur.view.ID != m.View &&
		g.cur.view.RankOf(m.Members[0]) < 0 {
		g.excluded(m.View, d.From)
	}
}

// merged answers a view that asks to merge although that has been decided.
func (g *Group) merged(d *Datagram) bool {
	var m wire.Merge
	if m.Parse(d.Body) != nil {
		return false // the merge layer counts it
	}
	for i := range g.ended {
		for _, p := range g.ended[i].next.Parties {
			if p.View == m.Party.View && p.Round == m.Party.Round && p.By == m.Party.By {
				g.answer(&g.ended[i], m.Members[0].ID, d.From)
				return true
			}
		}
	}
	return false
}

func (e *ended) has(v wire.ViewID) bool {
	for i := range e.next.Parties {
		if e.next.Parties[i].View == v {
			return true
		}
	}
	return false
}

// answer sends a straggler the decision that ended its view, or tells it that
// the others have gone on without it.
func (g *Group) answer(e *ended, who wire.Endpoint, to netip.AddrPort) {
	if g.state == out { // the view that went on is not ours to speak of
		g.sendForeign(to, wire.KindDecision, e.decision)
		return
	}
	for i := range e.next.Next.Members {
		if e.next.Next.Members[i].ID == who {
			g.sendForeign(to, wire.KindDecision, e.decision)
			return
		}
	}
	g.excluded(e.stack.view.ID, to)
}

func (g *Group) excluded(v wire.ViewID, to netip.AddrPort) {
	g.counters.Exclusions++
	ref := wire.ViewRef{View: v, Now: g.cur.view.ID, Members: g.cur.view.Endpoints()}
	g.sendForeign(to, wire.KindExcluded, ref.Append(nil))
}

func (g *Group) sendForeign(to netip.AddrPort, kind wire.Kind, body []byte) {
	h := wire.Header{Kind: kind, Sender: 0xFFFF, Conn: g.conn}
	b := append(h.Append(make([]byte, 0, wire.HeaderLen+len(body))), body...)
	g.Transmit(to, b, len(b))
}

// notice reports whether a stranger may be answered now, at most every 20 ms.
func (g *Group) notice(a netip.AddrPort) bool {
	if t, ok := g.noticed[a]; ok && g.now.Sub(t) < 20*time.Millisecond {
		return false
	}
	if len(g.noticed) >= wire.MaxMembers {
		clear(g.noticed)
	}
	g.noticed[a] = g.now
	return true
}
