package clsv_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
)

// TestGM08 skips a view that its coordinator has not lived to agree on: the next
// one is compared with the one before.
func TestGM08(t *testing.T) {
	l := newLab(t)
	xs := l.exchangers()
	xs["A"].hook = func() { l.c.CrashAt("A", 1, false) }
	l.ok(xs["D"].m.StartJoin())
	l.settle()
	if n := len(l.r["A"].views); n != 3 {
		t.Fatalf("A has accepted %d views", n)
	}
	for n, want := range map[string]string{
		"B": "view M=[B C D] +M=[D] -M=[A] C=[B C D] +C=[D] -C=[A] r=0/1 co=B oco=A msg=vB",
		"C": "view M=[B C D] +M=[D] -M=[A] C=[B C D] +C=[D] -C=[A] r=1/2 co=B oco=A msg=vB",
		"D": "view M=[B C D] +M=[B C D] C=[B C D] +C=[B C D] r=2/-1 co=B oco= msg=vB",
	} {
		lines := l.r[n].lines
		last := lines[len(lines)-1]
		if n != "D" && lines[0] != "block" || !matches(last, want) || l.views(n) != 1 {
			t.Errorf("%s: %q, want %s", n, lines, want)
		}
	}
}

// TestGM13 has a sender crash when its message has reached one member, or none.
func TestGM13(t *testing.T) {
	for _, reached := range []bool{true, false} {
		l := newLab(t)
		for _, n := range []string{"A", "B", "C"} {
			l.join(n, client)
		}
		l.mark()
		l.c.World.CutOneWay("B", "A", true)
		l.c.World.CutOneWay("B", "C", !reached)
		l.cast("B", "m")
		l.c.Run(ms)
		l.got("A")
		l.c.World.Member("B").CrashHost()
		l.settle()
		const view = "view M=[A C] -M=[B] C=[A C] -C=[B]"
		if reached {
			l.expect("C", "cast B m", "block", view)
			if first := l.r["A"].lines[0]; first == "block" {
				l.expect("A", "block", "cast B m", view)
			} else {
				l.expect("A", "cast B m", "block", view)
			}
			continue
		}
		l.expect("A", "block", view)
		l.expect("C", "block", view)
	}
}

// TestGM23 is the bound of failure detection: Silence. A member that stands
// still for less, less what its last heartbeat may be old, stays; one that is
// gone is out of the view soon after.
func TestGM23(t *testing.T) {
	const flush = 60 * ms // and what timers add
	runs := 40
	if testing.Short() {
		runs = 10
	}
	for seed := range uint64(runs) {
		rnd := rand.New(rand.NewPCG(seed, 23))
		l := newLabOn(t, seed, clsvtest.Config{})
		silence := []time.Duration{0, 200 * ms, 2 * time.Second}[rnd.IntN(3)]
		for _, n := range []string{"A", "B", "C"} {
			l.join(n, clsv.Options{GroupOptions: clsv.GroupOptions{Silence: silence}})
		}
		if silence == 0 {
			silence = 500 * ms
		}
		l.mark()
		for range 5 {
			who := []string{"A", "B", "C"}[rnd.IntN(3)]
			l.c.Pause(who)
			l.c.Run(time.Duration(rnd.Int64N(int64(silence - 60*ms))))
			l.c.Resume(who)
			l.c.Run(time.Duration(rnd.IntN(300))*ms + 100*ms)
		}
		for _, n := range []string{"A", "B", "C"} {
			if l.views(n) > 0 {
				t.Fatalf("seed %d: %s was excluded, or excludes: %q", seed, n, l.r[n].lines)
			}
		}
		killed := l.c.Now()
		bound := silence + flush
		if rnd.IntN(2) == 0 {
			l.c.World.Member("B").CrashHost() // not a packet
		} else {
			l.c.Crash("B") // its host says so
			bound = min(bound, 200*ms)
		}
		l.until(func() bool {
			return len(l.r["A"].last().Members) == 2 && len(l.r["C"].last().Members) == 2
		})
		if d := l.c.Now() - killed; d > bound {
			t.Errorf("seed %d: noticed after %v, bound %v", seed, d, bound)
		}
	}
}

// TestGM23crash is the same for a process that dies, in the simulator and on real
// sockets: its kernel tells at once, or Silence does.
func TestGM23crash(t *testing.T) { both(t, gm23crash) }

func gm23crash(t *testing.T) {
	l := newLab(t)
	for _, n := range []string{"A", "B", "C"} {
		l.join(n, client)
	}
	l.cast("B", "last")
	l.run(20 * ms)
	l.mark()
	l.crash("B")
	l.until(func() bool { // 5 s at most
		return len(l.r["A"].last().Members) == 2 && len(l.r["C"].last().Members) == 2
	})
	l.run(100 * ms)
	l.expect("A", "block", "view M=[A C] -M=[B] C=[A C] -C=[B] r=0/0 co=A oco=A")
	l.expect("C", "block", "view M=[A C] -M=[B] C=[A C] -C=[B] r=1/2 co=A oco=A")
	l.expect("B")
}

// primaryHandler is told of primary views.
type primaryHandler struct{ groupHandler }

func (p *primaryHandler) PrimaryView(v *clsv.GroupView, _ []byte) {
	p.add(fmt.Sprint("primary ", len(v.Members)))
}

// TestGroupMemberPrimary: without roles there are primary views too.
func TestGroupMemberPrimary(t *testing.T) {
	c := clsvtest.New(1)
	var got []string
	for _, name := range []string{"a", "b"} {
		h := &primaryHandler{groupHandler{got: &got}}
		o := clsv.GroupOptions{Group: "test", Name: name, Trace: c, Quorum: 2, PrimaryOnly: true}
		m, err := clsv.NewGroupMemberOn(o, h, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.StartJoin(); err != nil {
			t.Fatal(err)
		}
		c.Run(time.Second)
	}
	if want := "view block view view primary 2 primary 2"; strings.Join(got, " ") != want {
		t.Errorf("callbacks %q, want %q", got, want)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}
