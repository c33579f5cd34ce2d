// Package layers names the compositions that applications use. Each layer is a
// package of its own below; this one only puts them in order.
package layers

import (
	"maestro/layers/bottom"
	"maestro/layers/elect"
	"maestro/layers/flush"
	"maestro/layers/install"
	"maestro/layers/local"
	"maestro/layers/merge"
	"maestro/layers/mnak"
	"maestro/layers/pack"
	"maestro/layers/pt2pt"
	"maestro/layers/stable"
	"maestro/layers/suspect"
	"maestro/layers/total"
	"maestro/layers/weave"
	"maestro/stack"
)

// For composes the virtually synchronous stack with the wanted properties, of
// which Total and NoLocal are the choices, from the bottom up. The name goes
// into the connection ids: members with different stacks do not meet.
func For(want stack.Props) (name string, makers []stack.Maker) {
	name = "vsync"
	makers = []stack.Maker{bottom.Maker(), mnak.Maker(), pt2pt.Maker(), stable.Maker(),
		pack.Maker(), weave.Maker()}
	if want&stack.Total != 0 {
		name += "+total"
		makers = append(makers, total.Maker())
	}
	if want&stack.NoLocal != 0 {
		makers = append(makers, local.Maker())
	}
	return name, append(makers, suspect.Maker(), elect.Maker(), flush.Maker(), install.Maker(),
		merge.Maker())
}
