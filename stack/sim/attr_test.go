package sim_test

import (
	"fmt"
	"testing"
	"time"

	"maestro/layers"
	"maestro/stack"
	"maestro/stack/sim"
	"maestro/wire"
)

// wordy is an application that has much to say of its member to those who compose a
// view.
type wordy struct{ *sim.Recorder }

func (w *wordy) Attr() []byte { return make([]byte, wire.MaxAttr) }

// TestWordy: what members say of themselves is no part of a decision, and does not
// bound a group.
func TestWordy(t *testing.T) {
	const n = 140 // of whom each half says more than a datagram can be long
	w := sim.New(1, sim.Options{})
	name, makers := layers.For(0)
	var apps []*wordy
	for i := range n {
		a := &wordy{&sim.Recorder{}}
		m, err := w.Add(fmt.Sprint("m", i), stack.Config{StackName: name, Layers: makers,
			Bootstrap: i == 0}, a)
		if err != nil {
			t.Fatal(err)
		}
		m.Join()
		apps = append(apps, a)
	}
	together := func(n int) {
		t.Helper()
		if !w.WaitFor(10*time.Second, func() bool {
			for _, a := range apps {
				if a.Current == nil || len(a.Current.Members) != n {
					return false
				}
			}
			return true
		}) {
			t.Fatalf("%d of %d members, view %v", len(apps[0].Current.Members), n,
				apps[0].Current.ID)
		}
	}
	together(n)
	var half []string
	for i := range n / 2 {
		half = append(half, fmt.Sprint("m", i))
	}
	w.Partition(half)
	together(n / 2)
	w.Heal()
	together(n)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
