package pair

import (
	"testing"

	"maestro/stack"
)

func TestMeasure(t *testing.T) {
	for _, want := range []stack.Props{0, stack.Total, stack.NoLocal} {
		for _, batch := range []int{1, 64, 1000} {
			p, err := New(2, want)
			if err != nil {
				t.Fatal(err)
			}
			c, err := p.Measure(64, batch, 20000)
			if err != nil {
				t.Fatal(want, batch, err)
			}
			if c.Down <= 0 || c.Up <= 0 || c.Wire < 64 || c.Wire > 400 {
				t.Errorf("%+v", c)
			}
			t.Logf("%v, batches of %d: %+v", want, batch, c)
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestMore(t *testing.T) {
	p, err := New(5, stack.Total)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Measure(1000, 10, 1000); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
