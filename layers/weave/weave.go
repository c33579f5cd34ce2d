// Package weave brings a member's two multicast streams, the one to all and the
// one to the view's core, back into the one order in which they were sent.
//
// Guarantee: members of the core get each sender's casts and core casts in the
// order sent. Others get the casts alone. Nobody gets a message after one of the
// same sender that it should have got and that is lost.
//
// Needs: each stream in order; at the end of the view, the same segments at all
// survivors (Sync).
//
// Header: none on messages. When a sender goes from one stream to the other, a
// message of KindWeave says there what comes before: how many messages of the
// other stream (u64), and the segment in which the last of them ends (u64).
//
// Timers: none. Who is not in the core cannot see whether the core casts before
// a cast have arrived, and delivers it when the sender says that they have, by
// the mark of its core stream that its announcements carry (Marked). If the
// sender fails first, the cut tells.
//
// Source: our own. Ensemble has one stream a member, and all read what is for
// some (subcast).
package weave

import (
	"encoding/binary"
	"fmt"
	"math"

	"maestro/stack"
)

// Maker makes the layer, in views that have a core.
func Maker() stack.Maker {
	return stack.Maker{Name: "weave", Needs: stack.Messages, Gives: stack.Fifo,
		Answers: []stack.Query{(*stack.Holding)(nil)},
		New: func(p *stack.Port) stack.Layer {
			if p.View().Core == nil {
				return nil
			}
			return &layer{Port: p, in: make([]sender, p.N()), inside: p.Hears(p.N())}
		}}
}

// The sides of a sender: its stream to all and that to the core.
const (
	wide = iota
	narrow
)

const markLen = 8 + 8

// sender is what has come of one member's streams.
type sender struct {
	side   [2]side
	stable uint64 // outside of the core: segments of its core stream that arrived
}

type side struct {
	passed uint64 // messages passed up
	after  uint64 // messages of the other side that come before the next
	end    uint64 // segment of the other side that they end in
	wait   stack.Queue
}

type layer struct {
	*stack.Port
	inside bool // this member is in the core
	in     []sender
	sent   [2]uint64 // messages put into each stream
	told   [2]uint64 // how many of the other had been told of in it
	last   stack.Decided
	over   bool
	credit stack.Credit
	msg    stack.Msg
	mark   [markLen]byte
}

func sideOf(to int) int {
	if to == stack.Core {
		return narrow
	}
	return wide
}

func (l *layer) Down(m *stack.Msg) {
	if m.Multicast() {
		l.turn(sideOf(m.To))
		l.sent[sideOf(m.To)]++
	}
	l.PassDown(m)
}

// Claiming marks a turn before the message that is about to be written.
func (l *layer) Claiming() { l.turn(wide) }

// turn says in a stream what has gone into the other one since it last did.
func (l *layer) turn(k int) {
	if l.told[k] == l.sent[1-k] {
		return
	}
	l.told[k] = l.sent[1-k]
	end := l.Logs()[1-k].Open()
	binary.LittleEndian.PutUint64(l.mark[:], l.told[k])
	binary.LittleEndian.PutUint64(l.mark[8:], end)
	l.msg = stack.Msg{Kind: stack.KindWeave, From: l.Me(), To: stack.All - k, Data: l.mark[:]}
	l.PassDown(&l.msg)
	if k == wide {
		l.Tell(stack.Awaited{Seq: end})
	}
}

func (l *layer) Up(m *stack.Msg) {
	switch {
	case !m.Multicast() || l.over:
		l.PassUp(m)
		return
	case m.Kind == stack.KindWeave && len(m.Data) != markLen:
		l.Counters().Malformed++
		return
	}
	s := &l.in[m.From]
	d := &s.side[sideOf(m.To)]
	if d.wait.Len() > 0 || !l.step(s, m) {
		d.wait.Push(m)
		return
	}
	l.drain(s)
}

// step takes the next message of its stream, unless it is not its turn yet.
func (l *layer) step(s *sender, m *stack.Msg) bool {
	k := sideOf(m.To)
	d := &s.side[k]
	if l.inside && d.after > s.side[1-k].passed || !l.inside && d.end > s.stable {
		return false
	}
	if m.Kind == stack.KindWeave {
		d.after = binary.LittleEndian.Uint64(m.Data)
		d.end = binary.LittleEndian.Uint64(m.Data[8:])
		return true
	}
	d.passed += uint64(m.Messages())
	l.PassUp(m)
	return true
}

// drain passes up what it is the turn of.
func (l *layer) drain(s *sender) {
	for again := true; again; {
		again = false
		for k := range s.side {
			for q := &s.side[k].wait; q.Len() > 0 && l.step(s, q.First()); {
				q.Drop()
				again = true
			}
		}
	}
}

func (l *layer) Event(e stack.Event) {
	switch e := e.(type) {
	case stack.Marked:
		if e.Stream < l.N() {
			l.arrived(e.Stream, e.Core)
		}
	case stack.Decided:
		l.last = e
	case stack.CutReached:
		l.end()
	}
}

// end delivers what may be. Core casts up to the cut have arrived; of what comes
// after something that is beyond it, nobody delivers anything. But if nobody of
// the core goes on, nobody misses anything.
func (l *layer) end() {
	all := !l.coreGoesOn()
	for r := range l.in {
		if all {
			l.arrived(r, math.MaxUint64)
		} else {
			l.arrived(r, l.last.Party.Cut[l.N()+r])
		}
		for k := range l.in[r].side {
			l.in[r].side[k].wait.Clear()
		}
	}
	l.over = true
}

// coreGoesOn reports whether a member of the core goes from this view to the
// next with those who obey the decision.
func (l *layer) coreGoesOn() bool {
	v := l.View()
	failed := stack.SetOf(l.N(), l.last.Party.Failed)
	next := stack.View{View: l.last.Decision.Next}
	for r, in := range v.Core {
		if in && !failed[r] && next.RankOf(v.Members[r].ID) >= 0 {
			return true
		}
	}
	return false
}

// arrived notes how far a member's core stream has arrived at those it is for.
func (l *layer) arrived(r int, seq uint64) {
	if s := &l.in[r]; !l.inside && seq > s.stable {
		s.stable = seq
		l.drain(s)
	}
}

// Flush delivers this member's own casts when the core has got what is before.
func (l *layer) Flush() {
	if !l.inside && l.in[l.Me()].side[wide].wait.Len() > 0 {
		l.credit.Log = narrow
		l.Ask(&l.credit)
		l.arrived(l.Me(), l.credit.Stable)
	}
}

// Answer says which messages wait for their turn.
func (l *layer) Answer(q stack.Query) {
	h, ok := q.(*stack.Holding)
	if !ok || h.Sends {
		return
	}
	for i := range h.Done {
		s := h.From + i
		if w := &l.in[s%l.N()].side[s/l.N()].wait; w.Len() > 0 {
			h.Done[i] = min(h.Done[i], w.First().First()-1)
		}
	}
}

// Close gives back what is held.
func (l *layer) Close() {
	for r := range l.in {
		for k := range l.in[r].side {
			l.in[r].side[k].wait.Clear()
		}
	}
}

// Dump prints how much waits.
func (l *layer) Dump() string {
	n := [2]int{}
	for r := range l.in {
		n[wide] += l.in[r].side[wide].wait.Len()
		n[narrow] += l.in[r].side[narrow].wait.Len()
	}
	return fmt.Sprintf("sent %d %d waiting %d %d", l.sent[wide], l.sent[narrow], n[wide],
		n[narrow])
}
