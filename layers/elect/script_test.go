package elect_test

import (
	"flag"
	"testing"

	"maestro/internal/script"
	"maestro/layers/elect"
)

var update = flag.Bool("update", false, "write the outputs in testdata anew")

func TestScripts(t *testing.T) { script.Layer(t, *update, elect.Maker()) }
