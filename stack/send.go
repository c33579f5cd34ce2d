package stack

import (
	"net/netip"
	"slices"
)

// Cast multicasts a message, head and data together, to the current view. The
// group copies; the caller keeps its memory. Kind is below FirstStackKind.
func (g *Group) Cast(kind uint8, head, data []byte) error {
	n := len(head) + len(data)
	if n+castCost > g.allowed {
		return g.send(All, kind, head, data)
	}
	g.allowed -= n + castCost
	g.counters.MessagesOut++
	g.counters.MessageBytesOut += uint64(n)
	g.cur.writer.Write(kind, head, data)
	return nil
}

// castCost is more than a message takes in the send log beside its own bytes.
const castCost = 8

// CastCore multicasts a message to the core of the current view: in a view
// without a core, to all. Any member may.
func (g *Group) CastCore(kind uint8, head, data []byte) error {
	if g.cur == nil || g.cur.view.Core == nil {
		return g.send(All, kind, head, data)
	}
	return g.send(Core, kind, head, data)
}

// Send sends a message to one member of the current view, by rank.
func (g *Group) Send(to int, kind uint8, head, data []byte) error {
	if g.cur == nil || to < 0 || to >= len(g.cur.view.Members) {
		return ErrNotMember
	}
	return g.send(to, kind, head, data)
}

func (g *Group) send(to int, kind uint8, head, data []byte) error {
	if err := g.ready(len(head) + len(data)); err != nil {
		return err
	}
	if g.full(to) {
		g.wait(to)
		return ErrWouldBlock
	}
	g.counters.MessagesOut++
	g.counters.MessageBytesOut += uint64(len(head) + len(data))
	if to == All && g.cur.writer != nil {
		g.cur.writer.Write(kind, head, data)
		g.allowed = min(g.cfg.SendBuffer-g.cur.log.Unsent(), g.cfg.MaxMessage)
		return nil
	}
	m := &g.msg // only what is used is written: this is done for each message
	m.Kind, m.From, m.To, m.Head, m.Data = kind, g.cur.view.Rank, to, head, data
	g.sends = g.sends || to >= 0
	g.cur.Down(m)
	m.Head, m.Data = nil, nil
	return nil
}

func (g *Group) wait(to int) {
	if !slices.Contains(g.waiting, to) {
		g.waiting = append(g.waiting, to)
	}
}

func (g *Group) full(to int) bool {
	switch {
	case to == All:
		return g.cur.log.Unsent() > g.cfg.SendBuffer
	case to == Core:
		return g.cur.core != nil && g.cur.core.Unsent() > g.cfg.SendBuffer
	}
	g.room = Room{To: to}
	g.cur.Ask(&g.room)
	return g.room.Full
}

func (g *Group) ready(n int) error {
	switch {
	case g.state == idle || g.state == out || g.cur.view.Private:
		return ErrNotJoined
	case g.stopped:
		return ErrBlocked
	case g.cur.log.Claimed():
		return ErrWouldBlock
	case n > g.cfg.MaxMessage:
		return ErrTooLarge
	}
	return nil
}

// Claim returns room for a cast of n bytes in the send log, for the caller to
// fill in and Commit before anything else is sent and before the turn ends:
// until then nothing leaves.
func (g *Group) Claim(n int) ([]byte, error) {
	if err := g.ready(n); err != nil {
		return nil, err
	}
	if g.full(All) {
		g.wait(All)
		return nil, ErrWouldBlock
	}
	for _, l := range g.cur.layers {
		if c, ok := l.(Claimer); ok {
			c.Claiming()
		}
	}
	g.allowed = 0
	return g.cur.log.Claim(n), nil
}

// Commit casts the first n bytes of the room that was claimed.
func (g *Group) Commit(kind uint8, n int) error {
	if g.cur == nil || !g.cur.log.Claimed() {
		return ErrNotJoined
	}
	if g.stopped || g.state == out {
		g.cur.log.Unclaim()
		return ErrBlocked
	}
	g.counters.MessagesOut++
	g.counters.MessageBytesOut += uint64(n)
	g.claimed = Msg{Kind: kind, From: g.cur.view.Rank, To: All, Claimed: true, Seq: uint64(n)}
	g.cur.Down(&g.claimed)
	return nil
}

// Unclaim gives the room that was claimed back, unsent.
func (g *Group) Unclaim() {
	if g.cur != nil {
		g.cur.log.Unclaim()
	}
}

// Stopped tells that the application has stopped sending, as it was asked.
func (g *Group) Stopped() {
	if g.stopping && !g.stopped {
		g.stopped, g.allowed = true, 0
		g.cur.Tell(Stopped{})
		g.settle()
	}
}

// Consumed tells that the application has done with the messages of a stream
// (Msg.Stream) up to segment seq of an epoch.
func (g *Group) Consumed(epoch uint64, stream int, seq uint64) {
	if epoch == g.epoch && g.cur != nil && g.state != out {
		g.cur.Consumed(stream, seq)
	}
}

// RequestView asks for a new view with the same members.
func (g *Group) RequestView(why string) {
	if g.cur != nil && !g.cur.view.Private {
		g.cur.Tell(Change{why})
		g.settle()
	}
}

// Suspect takes a member for failed.
func (g *Group) Suspect(rank int, why string) {
	if g.cur != nil {
		g.cur.Tell(Suspect{rank, why})
		g.settle()
	}
}

// Lifeline tells that what Driver.Watch has answered for an address has changed.
func (g *Group) Lifeline(addr netip.AddrPort, held bool) {
	if g.cur == nil || g.state == out {
		return
	}
	if r := g.cur.view.RankAt(addr); r >= 0 {
		g.cur.Tell(Lifeline{r, held})
		g.settle()
	}
}

// Unreachable tells that the kernel says that nobody listens at an address.
func (g *Group) Unreachable(addr netip.AddrPort) {
	if g.cur == nil || g.state == out {
		return
	}
	if r := g.cur.view.RankAt(addr); r >= 0 && r != g.cur.view.Rank {
		g.counters.Unreachable++
		g.Suspect(r, "port unreachable")
	} else if r < 0 {
		g.cur.Tell(Unreachable{addr})
		g.settle()
	}
}

// Push transmits whole bursts, if there are any, without ending the turn: the
// open segment goes on being filled.
func (g *Group) Push() bool {
	if g.cur == nil || g.state == out {
		return false
	}
	// With a closed window it is not worth looking each time.
	casts := g.cur.whole() && g.cur.last()-g.pushed >= minPush
	if !casts && !g.sends {
		return false
	}
	g.pushed, g.sends, g.cur.more = g.cur.last(), false, g.more
	g.cur.Push()
	g.settle()
	return true
}

// More tells that the caller is about to send more: neither the driver nor the next
// EndTurn need see to it yet that what makes no whole burst leaves.
func (g *Group) More() { g.more = true }

// TakeMore reports whether More has been called since the last time.
func (g *Group) TakeMore() bool {
	more := g.more
	g.more = false
	return more
}

// Waiting reports whether a send would have blocked since Writable was last called.
func (g *Group) Waiting() bool { return len(g.waiting) > 0 }

// Pending reports whether anything waits to be transmitted.
func (g *Group) Pending() bool { return g.cur != nil && g.cur.pending() }

const minPush = 16 // segments

// writable tells the application when one of those that would have blocked need
// not any more.
func (g *Group) writable() {
	for _, to := range g.waiting {
		if to >= len(g.cur.view.Members) || !g.full(to) {
			g.waiting = g.waiting[:0]
			g.app.Writable()
			return
		}
	}
}
