package script

import (
	"net/netip"
	"reflect"

	"maestro/stack"
	"maestro/wire"
)

// stub is what a layer on a bench stands on.
type stub struct {
	*stack.Port
	b      *bench
	inject *stack.Msg // what the next Receive passes up
}

func (s *stub) at(p *stack.Port) stack.Layer {
	s.Port = p
	return s
}

// Receive routes a datagram, or shows it where the lowest layer is on the bench.
func (s *stub) Receive(d *stack.Datagram) {
	if m := s.inject; m != nil {
		s.inject = nil
		s.PassUp(m)
		return
	}
	if s.Wire() == stack.Wire(s) {
		s.Route(d)
		return
	}
	s.b.printf("routed from=%d %s", d.Sender, describe(&d.Header, d.Body))
}

// Down shows a message that goes down.
func (s *stub) Down(m *stack.Msg) { s.b.printf("down %s", describeMsg(m)) }

// Answer gives the answers that the script has told it.
func (s *stub) Answer(q stack.Query) {
	for _, a := range s.b.answers {
		if reflect.TypeOf(a) != reflect.TypeOf(q) {
			continue
		}
		switch q := q.(type) {
		case *stack.Holding:
			done := a.(*stack.Holding).Done
			for i := range min(len(q.Done), len(done)-q.From) {
				q.Done[i] = min(q.Done[i], done[q.From+i])
			}
		case *stack.Heard: // the asker may change it
			q.At = append(q.At[:0], a.(*stack.Heard).At...)
			for r := range q.At {
				q.At[r] = min(q.At[r].Add(q.Shift), s.Now())
			}
		default:
			reflect.ValueOf(q).Elem().Set(reflect.ValueOf(a).Elem())
		}
	}
}

func (s *stub) show(arrow string, to string, h wire.Header, body []byte) {
	s.b.printf("%s %s: %s", arrow, to, describe(&h, body))
}

func (s *stub) name(rank int) string {
	switch rank {
	case stack.All:
		return "all"
	case stack.Core:
		return "core"
	}
	return Name(rank)
}

// MultiControl, SendControl, CastForeign, SendForeign and Burst show what is
// sent.

// MultiControl shows a control message to all, or to the core.
func (s *stub) MultiControl(to int, kind wire.Kind, seq uint64, body []byte) {
	s.show(">", s.name(to), wire.Header{Kind: kind, Seq: seq}, body)
}

// SendControl shows a control message to one member.
func (s *stub) SendControl(to int, kind wire.Kind, seq uint64, body []byte) {
	s.show(">", s.name(to), wire.Header{Kind: kind, Seq: seq}, body)
}

// CastForeign shows a message outside of views.
func (s *stub) CastForeign(kind wire.Kind, body []byte) {
	s.show("=>", "all", wire.Header{Kind: kind}, body)
}

// SendForeign shows a message outside of views.
func (s *stub) SendForeign(to netip.AddrPort, kind wire.Kind, body []byte) {
	s.show("=>", addrName(to), wire.Header{Kind: kind}, body)
}

// Burst shows segments.
func (s *stub) Burst(to int, b []byte, seg int) { s.b.datagrams("> "+s.name(to)+":", b, seg) }
