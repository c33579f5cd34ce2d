package pt2pt_test

import (
	"flag"
	"testing"

	"maestro/internal/script"
	"maestro/layers/pt2pt"
)

var update = flag.Bool("update", false, "write the outputs in testdata anew")

func TestScripts(t *testing.T) { script.Layer(t, *update, pt2pt.Maker()) }
