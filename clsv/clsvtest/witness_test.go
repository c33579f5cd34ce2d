package clsvtest_test

import (
	"testing"

	"maestro/clsv/clsvtest"
	"maestro/stack/check"
	"maestro/stack/trace"
	"maestro/wire"
)

// TestWitness sees that a member does something after its end.
func TestWitness(t *testing.T) {
	w := clsvtest.NewWitness(check.VSync())
	p := wire.Endpoint{Name: "p", Incarnation: 1}
	w.Record(&trace.Event{Kind: trace.Start, P: p})
	w.Record(&trace.Event{Kind: trace.Crash, P: p})
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	w = clsvtest.NewWitness(check.VSync())
	w.Record(&trace.Event{Kind: trace.Start, P: p})
	w.Record(&trace.Event{Kind: trace.Crash, P: p})
	w.Record(&trace.Event{Kind: trace.Block, P: p})
	if err := w.Close(); err == nil {
		t.Error("nothing has been seen")
	}
}
