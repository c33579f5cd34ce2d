package weave_test

import (
	"flag"
	"testing"

	"maestro/internal/script"
	"maestro/layers/weave"
)

var update = flag.Bool("update", false, "write the outputs in testdata anew")

func TestScripts(t *testing.T) { script.Layer(t, *update, weave.Maker()) }
