package swarm

import (
	"slices"
	"strings"
	"testing"

	"maestro/stack"
	"maestro/wire"
)

// A mutant is a broken protocol: a layer put in somewhere, or around another
// one, that does something that must not be done. The checker has to notice
// each within a number of seeds.
type mutant struct {
	name   string
	within int    // seeds
	start  uint64 // before the first of them
	stack  string // fifo or total, or any
	props  string // what it is expected to break, one of these
	above  string // the layer to put it above, or
	around string // the layer to put it around
	make   func(p *stack.Port) hook
}

// hook changes what passes by. Each function reports whether the original is
// still to happen.
type hook struct {
	up      func(m *stack.Msg) bool
	event   func(e *stack.Event) bool
	receive func(d *stack.Datagram) bool
	answer  func(q stack.Query) // what was answered
}

// between is a layer that hooks into the way of messages up.
type between struct {
	*stack.Port
	hook
}

func (l *between) Up(m *stack.Msg) {
	if m.Count == 0 || l.up == nil {
		l.one(m)
		return
	}
	one := *m
	one.Count = 0
	for f := wire.Frames(m.Data); ; {
		var ok bool
		if one.Kind, one.Data, ok = f.Next(); !ok {
			return
		}
		l.one(&one)
	}
}

func (l *between) one(m *stack.Msg) {
	if l.up == nil || l.up(m) {
		l.PassUp(m)
	}
}

func (l *between) Event(e stack.Event) {
	if l.event != nil {
		l.event(&e)
	}
}

// around is a layer with another one inside.
type around struct {
	stack.Layer
	hook
}

func (l *around) Event(e stack.Event) {
	if l.event == nil || l.event(&e) {
		l.Layer.Event(e)
	}
}

func (l *around) Up(m *stack.Msg) {
	if l.up == nil || l.up(m) {
		l.Layer.Up(m)
	}
}

func (l *around) Receive(d *stack.Datagram) {
	if l.receive == nil || l.receive(d) {
		l.Layer.Receive(d)
	}
}

func (l *around) Flush() {
	if f, ok := l.Layer.(stack.Flusher); ok {
		f.Flush()
	}
}

func (l *around) Claiming() {
	if c, ok := l.Layer.(stack.Claimer); ok {
		c.Claiming()
	}
}

func (l *around) Close() {
	if c, ok := l.Layer.(stack.Closer); ok {
		c.Close()
	}
}

func (l *around) Answer(q stack.Query) {
	if a, ok := l.Layer.(interface{ Answer(stack.Query) }); ok {
		a.Answer(q)
		if l.answer != nil {
			l.answer(q)
		}
	}
}

// retiring is an around whose layer serves on.
type retiring struct{ *around }

func (l retiring) Retired() []wire.Kind { return l.Layer.(stack.Retirer).Retired() }

// apply puts the mutant into a stack.
func (x *mutant) apply(makers []stack.Maker) []stack.Maker {
	makers = slices.Clone(makers)
	for i, m := range makers {
		switch m.Name {
		case x.around:
			inner := m.New
			makers[i].New = func(p *stack.Port) stack.Layer {
				of := inner(p)
				if of == nil {
					return nil
				}
				a := &around{of, x.make(p)}
				if _, ok := a.Layer.(stack.Retirer); ok {
					return retiring{a}
				}
				return a
			}
		case x.above:
			makers = slices.Insert(makers, i+1, stack.Maker{Name: "mutant", Gives: stack.Messages,
				New: func(p *stack.Port) stack.Layer { return &between{p, x.make(p)} }})
		}
	}
	return makers
}

// caught runs seeds until one fails, and tells how many that took.
func (x *mutant) caught() (seeds int, failure string) {
	for s := 1; s <= x.within; s++ {
		r := Run(x.start+uint64(s), Options{Stack: x.stack, Mutate: x.apply})
		if !r.OK() {
			return s, r.Failure
		}
	}
	return 0, ""
}

func TestMutants(t *testing.T) {
	for i, x := range mutants() {
		t.Run(strings.ReplaceAll(x.name, " ", "-"), func(t *testing.T) {
			if testing.Short() && i%4 != 0 {
				t.Skip("a part of them is enough here")
			}
			t.Parallel()
			n, failure := x.caught()
			if n == 0 {
				t.Fatalf("not caught within %d seeds", x.within)
			}
			t.Logf("caught after %d of %d seeds: %.110s", n, x.within, failure)
			prop, _, _ := strings.Cut(failure, " ")
			if !strings.Contains(" "+x.props+" ", " "+prop+" ") {
				t.Errorf("caught by %q, expected one of %s: %s", prop, x.props, failure)
			}
		})
	}
}

// TestShrink takes away what a failure does not need: here, everything.
func TestShrink(t *testing.T) {
	x := mutants()[0]
	o := Options{Mutate: x.apply}
	omit, left, of := Shrink(1, o, 20)
	if left != 0 || of == 0 {
		t.Errorf("%d of %d actions are left", left, of)
	}
	o.Omit = omit
	if r := Run(1, o); r.OK() {
		t.Error("it does not fail any more")
	}
}
