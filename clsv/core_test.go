package clsv

import (
	"context"
	"fmt"
	"testing"
	"time"

	"maestro/stack"
	"maestro/stack/sim"
)

// cores makes members of one view, in this order, each with a listener.
func cores(t testing.TB, opts ...Options) (*sim.World, []*core, []*sim.Member) {
	w := sim.New(1, sim.Options{})
	var cs []*core
	var ms []*sim.Member
	for i, o := range opts {
		o.Group = "g"
		if err := o.fill(); err != nil {
			t.Fatal(err)
		}
		c := newCore(&o, &listener{}, nil)
		m, err := w.Add(fmt.Sprint("m", i), StackConfig(&o.GroupOptions), c)
		if err != nil {
			t.Fatal(err)
		}
		m.Do(func(g *stack.Group) {
			c.attach(g, m.Do)
			if err := c.join(); err != nil {
				t.Fatal(err)
			}
		})
		w.RunFor(200 * time.Millisecond)
		cs, ms = append(cs, c), append(ms, m)
	}
	if v := cs[len(cs)-1].view; v == nil || len(v.Members) != len(opts) {
		t.Fatalf("view %v", v)
	}
	return w, cs, ms
}

// pair makes two cores of one view, a server and one that transfers from it.
func pair(t testing.TB) (*sim.World, []*core, []*sim.Member) {
	o := Options{Role: Server, Xfer: FreeXfer}
	return cores(t, o, o)
}

// FuzzDeliver gives arbitrary messages of arbitrary kinds to members.
func FuzzDeliver(f *testing.F) {
	for k := range 8 {
		f.Add(byte(0x3E+k), []byte("\x02\x01\x01rest"))
	}
	f.Add(byte(kindState), stateHead(nil, 2))
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		if kind >= stack.FirstStackKind || len(b) > 1<<16 {
			return
		}
		w, cs, ms := pair(t)
		for i, m := range ms {
			m.Do(func(g *stack.Group) {
				_ = g.Cast(kind, nil, b)
				_ = g.Send(1-i, kind, nil, b)
			})
		}
		w.RunFor(50 * time.Millisecond)
		for _, c := range cs {
			if c.failure != nil || c.over {
				t.Errorf("failed: %v", c.failure)
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

// direct is a Runtime without a world: a group of one.
type direct struct {
	c *core
	g *stack.Group
	n int
}

// Do has a turn for each 64 calls, as a loop under load has.
func (d *direct) Do(f func(g *stack.Group)) {
	f(d.g)
	if d.n++; d.n%64 > 0 && d.c.view != nil {
		return
	}
	d.g.EndTurn()
	for d.c.Take() {
		d.c.Run()
		d.c.Done()
		d.g.EndTurn()
	}
}

func (d *direct) Wait(context.Context, <-chan struct{}, time.Duration) error { return nil }
func (d *direct) Go(f func())                                                { go f() }
func (d *direct) Close() error                                               { return nil }

// alone makes a member that is the only one of its group.
func alone(t testing.TB) *Member {
	w := sim.New(1, sim.Options{})
	m := &Member{}
	var d *direct
	o := Options{GroupOptions: GroupOptions{Group: "g", Bootstrap: true}}
	drv := driverFunc(func(o *GroupOptions, app stack.Runner) (Runtime, error) {
		s, err := w.Add("a", StackConfig(o), app)
		d = &direct{c: app.(*core), g: s.Group}
		return d, err
	})
	if err := m.init(o, nil, drv); err != nil {
		t.Fatal(err)
	}
	if err := m.StartJoin(); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		d.g.Advance(stack.Time(i) * stack.Time(10*time.Millisecond))
		d.Do(func(*stack.Group) {})
	}
	if m.View() == nil {
		t.Fatal("no view")
	}
	return m
}

type driverFunc func(o *GroupOptions, app stack.Runner) (Runtime, error)

func (f driverFunc) Start(o *GroupOptions, app stack.Runner) (Runtime, error) { return f(o, app) }

// TestAllocs is that a cast to oneself, all the way, allocates nothing.
func TestAllocs(t *testing.T) {
	m := alone(t)
	msg := make([]byte, 100)
	ctx := context.Background()
	n := testing.AllocsPerRun(2000, func() {
		if _, err := m.Cast(ctx, msg); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0.1 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCastToSelf(b *testing.B) {
	m := alone(b)
	msg := make([]byte, 100)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Cast(ctx, msg); err != nil {
			b.Fatal(err)
		}
	}
}
