// Package local keeps a member's own casts from itself, where the group is set
// up so.
//
// Guarantee: no cast is delivered to its sender.
//
// Needs: messages.
//
// Header: none.
//
// Timers: none.
//
// Source: Ensemble's local layer, the other way round: here self-delivery is
// what the layers below do, since total order needs it.
package local

import "maestro/stack"

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "local", Needs: stack.Messages, Gives: stack.NoLocal,
		New: func(p *stack.Port) stack.Layer { return &layer{p} }}
}

type layer struct{ *stack.Port }

func (l *layer) Up(m *stack.Msg) {
	if m.From != l.Me() || !m.Multicast() {
		l.PassUp(m)
	}
}
