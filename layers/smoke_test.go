package layers_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"maestro/layers"
	"maestro/stack"
	"maestro/stack/sim"
)

func TestSmoke(t *testing.T) {
	name, makers := layers.For(0)
	o := sim.Options{}
	if testing.Verbose() {
		o.Trace = os.Stdout
	}
	w := sim.New(1, o)
	var ms []*sim.Member
	var rs []*sim.Recorder
	for i := range 3 {
		r := &sim.Recorder{}
		m, err := w.Add(fmt.Sprint("m", i), stack.Config{Group: "g", StackName: name, Layers: makers}, r)
		if err != nil {
			t.Fatal(err)
		}
		ms, rs = append(ms, m), append(rs, r)
		m.Join()
	}
	w.RunFor(400 * time.Millisecond)
	for i := range rs {
		rs[i].Cast(100)
		rs[i].Cast(5000)
	}
	w.RunFor(100 * time.Millisecond)
	ms[0].Crash()
	w.RunFor(100 * time.Millisecond)
	ms[1].Leave()
	w.RunFor(1000 * time.Millisecond)
	for _, m := range ms {
		m.Do(func(g *stack.Group) { fmt.Println(m.Name, g.View(), g.Dump()) })
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
