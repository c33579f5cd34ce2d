package stack

import (
	"fmt"

	"maestro/wire"
)

// connect makes neighbours of the layers that data passes.
func (s *Stack) connect() {
	const data = Datagrams | Reliable | PointToPoint | Messages | Fifo | Stable | Total |
		Local | NoLocal
	var below Layer = (*floor)(s)
	var lower *Port
	for i, p := range s.ports {
		if p.gives&data == 0 {
			continue
		}
		p.below = below
		if lower != nil {
			lower.above = s.layers[i]
		}
		below, lower = s.layers[i], p
	}
	lower.above = (*ceiling)(s)
	s.top = below
	s.writer, _ = below.(Writer)
}

// ceiling is the application's place.
type ceiling Stack

func (c *ceiling) Up(m *Msg) {
	m.Stream = StreamOf(len(c.view.Members), m.From, m.To)
	c.given[m.Stream] = m.Seq
	if m.Count == 0 || c.env.Config().Batches {
		c.env.Deliver((*Stack)(c), m)
		return
	}
	c.msg = *m
	c.msg.Count = 0
	for f := wire.Frames(m.Data); ; {
		var ok bool
		if c.msg.Kind, c.msg.Data, ok = f.Next(); !ok {
			return
		}
		c.msg.Seq = m.SeqAt(len(m.Data) - len(f))
		c.env.Deliver((*Stack)(c), &c.msg)
	}
}
func (c *ceiling) Down(*Msg)         {}
func (c *ceiling) Event(Event)       {}
func (c *ceiling) Receive(*Datagram) {}
func (c *ceiling) Expire()           {}

// Consumed notes that the application has done with a stream up to seq.
func (s *Stack) Consumed(stream int, seq uint64) {
	s.consumptions++
	s.taken[stream] = max(seq, s.taken[stream])
}

// hold lowers the numbers of streams whose messages the application has.
func (s *Stack) hold(q *Holding) {
	first := q.From
	if q.Sends {
		first += 2 * len(s.view.Members)
	}
	for i := range q.Done {
		if t := s.taken[first+i]; t < s.given[first+i] {
			q.Done[i] = min(q.Done[i], t)
		}
	}
}

// floor is below the lowest layer: nothing may get there.
type floor Stack

func (f *floor) Up(*Msg)           {}
func (f *floor) Down(m *Msg)       { panic(fmt.Sprintf("stack: no layer took message %x", m.Kind)) }
func (f *floor) Event(Event)       {}
func (f *floor) Receive(*Datagram) {}
func (f *floor) Expire()           {}
