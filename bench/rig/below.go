package rig

import (
	"math"
	"net/netip"

	"maestro/stack"
	"maestro/wire"
)

// below is what the layer stands on.
type below struct {
	*stack.Port
	rig *Rig
}

func (s *below) at(p *stack.Port) stack.Layer {
	s.Port = p
	return s
}

// Receive routes a datagram to the layer, or counts what the layer has routed.
func (s *below) Receive(d *stack.Datagram) {
	if s.Wire() == stack.Wire(s) {
		s.Route(d)
		return
	}
	s.rig.Delivered++
}

// SendVia sends through the lowest layer.
func (s *below) SendVia(body []byte) { s.Port.SendControl(0, wire.KindAck, 0, body) }

func (s *below) Down(m *stack.Msg) {
	s.rig.Passed++
	if s.rig.OnDown != nil {
		s.rig.OnDown(m)
	}
}

// Answer answers for flow control, for reliable multicast, and for streams that
// have nothing under way.
func (s *below) Answer(q stack.Query) {
	switch q := q.(type) {
	case *stack.Credit:
		q.Limit, q.Stable = math.MaxInt64, s.Log().Sent()
	case *stack.Reached:
		q.Recv = append(q.Recv[:0], s.rig.Recv...)
		q.Passed = append(q.Passed[:0], s.rig.Recv...)
	case *stack.Drained:
		q.Casts, q.Sends = true, true
	case *stack.Heard:
		q.At = q.At[:0]
		for range s.rig.Recv {
			q.At = append(q.At, s.Now())
		}
	}
}

// What is sent is counted.

func (s *below) count(b []byte) {
	s.rig.Sent++
	s.rig.Bytes += uint64(wire.HeaderLen + len(b))
}

func (s *below) MultiControl(_ int, _ wire.Kind, _ uint64, b []byte) { s.count(b) }
func (s *below) SendControl(_ int, _ wire.Kind, _ uint64, b []byte)  { s.count(b) }
func (s *below) CastForeign(_ wire.Kind, b []byte)                   { s.count(b) }
func (s *below) SendForeign(_ netip.AddrPort, _ wire.Kind, b []byte) { s.count(b) }

// Burst counts segments.
func (s *below) Burst(_ int, b []byte, seg int) { s.rig.Transmit(netip.AddrPort{}, b, seg) }
