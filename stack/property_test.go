package stack_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"maestro/layers"
	"maestro/stack"
	"maestro/wire"
)

// TestCheck takes one layer after the other out of the real stacks: each must be
// missed, by name, by the one that needs it, unless nobody does.
func TestCheck(t *testing.T) {
	optional := map[string]bool{"pt2pt": true, "total": true, "local": true, "merge": true,
		"weave": true}
	for _, want := range []stack.Props{0, stack.Total, stack.NoLocal, stack.Total | stack.NoLocal} {
		name, makers := layers.For(want)
		if err := stack.Check(makers); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, m := range makers {
			rest := append(append([]stack.Maker{}, makers[:i]...), makers[i+1:]...)
			err := stack.Check(rest)
			if optional[m.Name] && (m.Name != "weave" || want&stack.Total == 0) {
				if err != nil {
					t.Errorf("%s without %s: %v", name, m.Name, err)
				}
			} else if !errors.Is(err, stack.ErrComposition) {
				t.Errorf("%s without %s is accepted: %v", name, m.Name, err)
			}
		}
	}
}

func TestCheckTwoSpeakers(t *testing.T) {
	_, makers := layers.For(0)
	twice := makers[1]
	twice.Name = "other"
	err := stack.Check(append([]stack.Maker{makers[0], makers[1], twice}, makers[2:]...))
	if !errors.Is(err, stack.ErrComposition) || !strings.Contains(err.Error(), "both speak") {
		t.Errorf("two layers for one kind: %v", err)
	}
}

var addr = netip.MustParseAddrPort("10.0.0.1:7000")

func TestConfig(t *testing.T) {
	_, makers := layers.For(0)
	good := stack.Config{Group: "g", Self: wire.Endpoint{Name: "a"}, Layers: makers}
	for what, change := range map[string]func(*stack.Config){
		"Group":      func(c *stack.Config) { c.Group = "" },
		"Self.Name":  func(c *stack.Config) { c.Self.Name = strings.Repeat("x", 65) },
		"Segment":    func(c *stack.Config) { c.Segment = 100 },
		"Silence":    func(c *stack.Config) { c.Silence = c.Heartbeat + 1 },
		"MaxMessage": func(c *stack.Config) { c.MaxMessage = 1<<30 + 1 },
		"SendBuffer": func(c *stack.Config) { c.SendBuffer = -1 },
	} {
		c := good
		c.Addr = addr
		if err := c.Fill(); err != nil {
			t.Fatal(err)
		}
		change(&c)
		err := c.Fill()
		if !errors.Is(err, stack.ErrConfig) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
