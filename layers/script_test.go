package layers_test

import (
	"flag"
	"testing"

	"maestro/internal/script"
	"maestro/layers"
	"maestro/stack"
)

var update = flag.Bool("update", false, "write the outputs in testdata anew")

// Whole stacks, driven packet by packet: how the protocols work together.
func TestScripts(t *testing.T) {
	name, makers := layers.For(0)
	script.Groups(t, *update, "vsync-*.txt", name, makers)
}

func TestTotalScripts(t *testing.T) {
	name, makers := layers.For(stack.Total)
	script.Groups(t, *update, "total-*.txt", name, makers)
}
