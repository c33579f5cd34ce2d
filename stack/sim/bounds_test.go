package sim_test

import (
	"testing"
	"time"

	"maestro/layers"
	"maestro/stack"
	"maestro/stack/sim"
	"maestro/wire"
)

// slow is a group of three of which the last one's application sleeps for so
// long that nobody can wait for it.
type slow struct {
	*testing.T
	w    *sim.World
	apps []*sim.Recorder
}

const blockTimeout = 200 * time.Millisecond

func newSlow(t *testing.T, want stack.Props) *slow {
	s := &slow{T: t, w: sim.New(1, sim.Options{})}
	name, makers := layers.For(want)
	for _, n := range []string{"a", "b", "c"} {
		r := &sim.Recorder{}
		m, err := s.w.Add(n, stack.Config{StackName: name, Layers: makers, Bootstrap: n == "a",
			BlockTimeout: blockTimeout}, r)
		if err != nil {
			t.Fatal(err)
		}
		m.Join()
		s.apps = append(s.apps, r)
		s.w.RunFor(20 * time.Millisecond)
	}
	s.whole(3, time.Second)
	s.w.Member("c").Callback = 5 * time.Second
	return s
}

// whole waits until the first k members are in one view of k.
func (s *slow) whole(k int, limit time.Duration) time.Duration {
	s.Helper()
	began := s.w.Now()
	if !s.w.WaitFor(limit, func() bool {
		for _, r := range s.apps[:k] {
			if r.Current == nil || len(r.Current.Members) != k {
				return false
			}
		}
		return true
	}) {
		s.Fatalf("no view of %d within %v: %v", k, limit, s.apps[0].Current)
	}
	return s.w.Now().Sub(began)
}

// flood has a send to a member, or cast, until no more is taken.
func (s *slow) flood(to wire.Endpoint) {
	for s.apps[0].Queued() == 0 {
		s.apps[0].Submit(to, 1000)
		if s.w.Now() > stack.Time(time.Hour) {
			s.Fatal("there is always room")
		}
	}
	s.w.RunFor(10 * time.Millisecond)
}

// TestSlowReceiver has a view change not wait until a slow application has
// consumed what was sent to it, beyond BlockTimeout.
func TestSlowReceiver(t *testing.T) {
	for name, want := range map[string]stack.Props{"fifo": 0, "total": stack.Total} {
		for _, kind := range []string{"cast", "send"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				s := newSlow(t, want)
				var to wire.Endpoint
				if kind == "send" {
					to = s.w.Member("c").Self
				}
				s.flood(to)
				a, b := s.apps[0].Current, s.apps[1].Current
				began := s.w.Now()
				s.w.Member("a").Do(func(g *stack.Group) { g.RequestView("test") })
				if !s.w.WaitFor(10*time.Second, func() bool {
					return s.apps[0].Current != a && s.apps[1].Current != b
				}) {
					t.Fatal("no view")
				}
				took := s.w.Now().Sub(began)
				t.Logf("a view after %v", took)
				if most := blockTimeout + 100*time.Millisecond; took > most {
					t.Errorf("a view change took %v, want at most %v", took, most)
				}
				// What was sent in the old view is delivered in it, however late.
				s.w.Member("c").Callback = 0
				s.w.RunFor(10 * time.Second)
				if got, want := s.apps[2].Delivered, s.apps[0].Sent; got != want {
					t.Errorf("%d of %d messages delivered", got, want)
				}
				if err := s.w.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// laborious is an application that takes its time for each message.
type laborious struct {
	*sim.Recorder
	m       *sim.Member
	each    time.Duration
	longest time.Duration // that all that waited would have taken
}

func (a *laborious) Take() bool {
	if a.m == nil {
		return a.Recorder.Take()
	}
	waiting := a.m.Group.Counters().MessagesIn - uint64(a.Delivered)
	a.m.Callback = max(a.each, a.each*time.Duration(waiting))
	a.longest = max(a.longest, a.m.Callback)
	return a.Recorder.Take()
}

// newLaborious is a group of three with large buffers, of which the last one's
// application takes its time.
func newLaborious(t *testing.T) (w *sim.World, a *sim.Recorder, slow *laborious) {
	w = sim.New(1, sim.Options{})
	name, makers := layers.For(0)
	slow = &laborious{each: 100 * time.Microsecond}
	for _, n := range []string{"a", "b", "c"} {
		r := &sim.Recorder{}
		app := stack.Runner(r)
		switch n {
		case "a":
			a = r
		case "c":
			slow.Recorder, app = r, slow
		}
		m, err := w.Add(n, stack.Config{StackName: name, Layers: makers, Bootstrap: n == "a",
			RecvBuf: 32 << 20}, app)
		if err != nil {
			t.Fatal(err)
		}
		m.Join()
		w.RunFor(20 * time.Millisecond)
	}
	slow.m = w.Member("c")
	slow.m.Callback = slow.each
	return w, a, slow
}

// pour has member a cast as much as there is room for.
func (a *laborious) pour(t *testing.T, w *sim.World, from *sim.Recorder, d time.Duration) {
	for end := w.Now().Add(d); w.Now() < end; {
		w.Member("a").Do(func(*stack.Group) {
			for from.Queued() == 0 && from.Number() < 1e6 {
				from.Cast(32)
			}
		})
		w.RunFor(10 * time.Millisecond)
	}
	t.Logf("%d messages; at most %v of work waited", a.Delivered, a.longest)
	if a.longest > time.Second {
		t.Errorf("%v of work waited", a.longest)
	}
}

// TestSlowHandler has an application never get more than it can do in about a
// second, however small the messages are and large the buffers.
func TestSlowHandler(t *testing.T) {
	w, a, slow := newLaborious(t)
	slow.pour(t, w, a, 10*time.Second)
	if busy := slow.each * time.Duration(slow.Delivered); busy < 5*time.Second {
		t.Errorf("in 10 s it was given only %v of work", busy)
	}
}

// TestSlowHandlerAfterCalm: a sender that never had much to send does not know how
// slow a handler is. What it sends all of a sudden is no more either.
func TestSlowHandlerAfterCalm(t *testing.T) {
	w, a, slow := newLaborious(t)
	for range 500 {
		w.Member("a").Do(func(*stack.Group) { a.Cast(32) })
		w.RunFor(4 * time.Millisecond)
	}
	slow.pour(t, w, a, 5*time.Second)
}
