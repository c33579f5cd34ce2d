package clsv_test

import (
	"testing"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/stack"
)

// flood has a member cast so many messages in one turn, or as many as there is
// room for.
func (l *lab) flood(name string, count int) {
	l.c.World.Member(name).Do(func(*stack.Group) {
		for range count {
			if _, err := l.r[name].m.TryCast([]byte("tiny")); err != nil {
				return
			}
		}
	})
}

// TestSlowLeave has members leave whose handler is far behind: itself, and
// another one. Both take no longer than
// BlockTimeout and a few callbacks.
func TestSlowLeave(t *testing.T) {
	const limit, callback = 200 * ms, 50 * ms
	for _, who := range []string{"b", "c"} {
		t.Run(who, func(t *testing.T) {
			l := newLabOn(t, 1, clsvtest.Config{})
			o := clsv.Options{GroupOptions: clsv.GroupOptions{BlockTimeout: limit}}
			for _, n := range []string{"a", "b", "c"} {
				l.join(n, o)
			}
			l.c.World.Member("c").Callback = callback // for each 128 messages
			l.flood("a", 100_000)
			l.run(100 * ms)
			began := l.c.Now()
			l.ok(l.r[who].m.StartLeave())
			l.until(func() bool { return l.r[who].m.State() == clsv.Initial })
			if took := l.c.Now() - began; took > limit+4*callback {
				t.Errorf("it took %v to leave", took)
			} else {
				t.Logf("it took %v", took)
			}
			began = l.c.Now()
			l.until(func() bool { return len(l.r["a"].m.View().Members) == 2 })
			if took := l.c.Now() - began; took > 2*limit {
				t.Errorf("the next view took %v", took)
			}
			l.c.World.Member("a").Callback = 0
			if m := l.c.World.Member("c"); m != nil {
				m.Callback = 0
			}
			l.settle()
		})
	}
}
