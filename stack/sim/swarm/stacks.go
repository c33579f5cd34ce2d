package swarm

import (
	"maestro/layers"
	"maestro/stack"
)

// makers is the stack that a history runs.
func makers(total, noLocal bool) (m []stack.Maker, name string) {
	var want stack.Props
	if total {
		want |= stack.Total
	}
	if noLocal {
		want |= stack.NoLocal
	}
	name, m = layers.For(want)
	return m, name
}
