package clsv

import "testing"

// TestInCallback: what runs below core.run is known, however deep, and at no price.
func TestInCallback(t *testing.T) {
	var c core
	within := false
	c.run(func() { func() { within = inCallback() }() })
	if !within || inCallback() {
		t.Error(within, inCallback())
	}
	if n := testing.AllocsPerRun(100, func() { inCallback() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
