// Package bottom is the lowest layer: it frames datagrams and knows who they
// are from.
//
// Guarantee: only datagrams of members of this view, from the address that the
// view names, get to the other layers; none of members that have failed.
//
// Needs: nothing.
//
// Header: the 24 bytes that every datagram begins with (wire.Header).
//
// Timers: none. It notes when each member was last heard.
//
// Source: Ensemble's bottom layer; the connection id as in its transport.
package bottom

import (
	"net/netip"

	"maestro/stack"
	"maestro/wire"
)

// few is how many copies are sent rather than a multicast.
const few = 1

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "bottom", Gives: stack.Datagrams,
		Answers: []stack.Query{(*stack.Heard)(nil)},
		New: func(p *stack.Port) stack.Layer {
			return &layer{Port: p, failed: make(stack.Set, p.N()),
				heard: make([]stack.Time, p.N()), since: p.Now(),
				all: allAddrs(p), core: coreAddrs(p)}
		}}
}

type layer struct {
	*stack.Port
	failed stack.Set
	heard  []stack.Time
	since  stack.Time
	all    []netip.AddrPort // where a multicast goes
	core   []netip.AddrPort // and one to the core
	buf    []byte
}

// Receive checks where a datagram is from and hands it to its layer.
func (l *layer) Receive(d *stack.Datagram) {
	from := int(d.Sender)
	if from >= l.N() || from == l.Me() || l.View().Members[from].Addr != d.From {
		l.Counters().Malformed++
		return
	}
	if l.failed[from] {
		l.Counters().FromFailed++
		return
	}
	l.heard[from] = l.Now()
	l.Route(d)
}

func (l *layer) Event(e stack.Event) {
	if e, ok := e.(stack.Fail); ok {
		copy(l.failed, e.Failed)
	}
}

// Answer tells when each member was last heard, and forgives silence by a shift.
func (l *layer) Answer(q stack.Query) {
	h, ok := q.(*stack.Heard)
	if !ok {
		return
	}
	h.At = h.At[:0]
	for i := range l.heard {
		if l.heard[i] < l.since {
			l.heard[i] = l.since
		}
		if h.Shift > 0 {
			l.heard[i] = min(l.heard[i].Add(h.Shift), l.Now())
		}
		h.At = append(h.At, l.heard[i])
	}
}

func (l *layer) frame(h wire.Header, body []byte) []byte {
	l.buf = append(h.Append(l.buf[:0]), body...)
	return l.buf
}

func (l *layer) MultiControl(to int, kind wire.Kind, seq uint64, body []byte) {
	conn, _ := l.Conn()
	b := l.frame(wire.Header{Kind: kind, Sender: uint16(l.Me()), Conn: conn, Seq: seq}, body)
	l.Burst(to, b, len(b))
}

func (l *layer) SendControl(to int, kind wire.Kind, seq uint64, body []byte) {
	if to != l.Me() {
		l.send(l.View().Members[to].Addr, kind, seq, body)
	}
}

func (l *layer) send(to netip.AddrPort, kind wire.Kind, seq uint64, body []byte) {
	conn, _ := l.Conn()
	b := l.frame(wire.Header{Kind: kind, Sender: uint16(l.Me()), Conn: conn, Seq: seq}, body)
	l.Transmit(to, b, len(b))
}

func (l *layer) CastForeign(kind wire.Kind, body []byte) {
	l.SendForeign(netip.AddrPort{}, kind, body)
}

func (l *layer) SendForeign(to netip.AddrPort, kind wire.Kind, body []byte) {
	_, conn := l.Conn()
	b := l.frame(wire.Header{Kind: kind, Sender: 0xFFFF, Conn: conn}, body)
	l.Transmit(to, b, len(b))
}

func (l *layer) Burst(to int, b []byte, seg int) {
	switch {
	case to == stack.All:
		for _, a := range l.all {
			l.Transmit(a, b, seg)
		}
	case to == stack.Core:
		for _, a := range l.core {
			l.Transmit(a, b, seg)
		}
	case to >= 0 && to != l.Me():
		l.Transmit(l.View().Members[to].Addr, b, seg)
	}
}

// allAddrs is where a multicast goes: to the group, or, where that would be few, to each
// of the others. The network and the kernel have less to do for it.
func allAddrs(p *stack.Port) (to []netip.AddrPort) {
	if p.N() > 1+few {
		return []netip.AddrPort{{}}
	}
	for r := range p.N() {
		if r != p.Me() {
			to = append(to, p.View().Members[r].Addr)
		}
	}
	return to
}

// coreAddrs is where a multicast to the core goes: to its address, or, where it
// has none or few members, to each of them.
func coreAddrs(p *stack.Port) (to []netip.AddrPort) {
	for r, in := range p.View().Core {
		if in && r != p.Me() {
			to = append(to, p.View().Members[r].Addr)
		}
	}
	if a := p.Config().Core; a.IsValid() && len(to) > few {
		to = []netip.AddrPort{a}
	}
	return to
}
