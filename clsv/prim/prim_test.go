package prim_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/clsv/prim"
	"maestro/stack/check"
)

var splits = flag.Int("prim.splits", 500, "number of random splits")

const ms = time.Millisecond

// app writes down what it sees.
type app struct {
	clsv.NopHandler
	t       *testing.T
	m       *clsv.Member
	v       *prim.Views
	lines   []string
	views   []*clsv.View // primary
	every   []*clsv.View
	blocked bool
	asked   int
	watched int  // of views
	hold    bool // does not complete its transfer
	onView  func(v *clsv.View)
}

func (a *app) log(format string, args ...any) {
	a.lines = append(a.lines, fmt.Sprintf(format, args...))
}

func (a *app) EveryView(v *clsv.View) {
	a.every = append(a.every, v)
	if v.StartXfer && !a.hold {
		_ = a.m.XferDone()
	}
}

func (a *app) Block() {
	if a.blocked || len(a.views) == 0 {
		a.t.Error("a block too many")
	}
	a.blocked = true
}

func (a *app) AcceptedView(v *clsv.View, msg []byte) {
	if len(a.views) > 0 != a.blocked {
		a.t.Errorf("blocked %v before view %d", a.blocked, len(a.views))
	}
	a.blocked = false
	if !v.Primary || len(v.XferServers) > 0 || a.v.View() != v || !a.v.Inside() {
		a.t.Errorf("not a primary view: %v", v)
	}
	a.views = append(a.views, v)
	a.log("view %s +%s -%s %s", names(v.Members), names(v.NewMembers),
		names(v.DepartedMembers), msg)
	if a.onView != nil {
		a.onView(v)
	}
}

func (a *app) AskState(clsv.Endpoint, []byte) { a.asked++ }

func (a *app) receive(kind string, e clsv.Endpoint, msg []byte) {
	if !a.v.Inside() || a.views == nil {
		a.t.Errorf("%s outside of primary views", kind)
	}
	a.log("%s %s %s", kind, e.Name, msg)
}

func (a *app) ReceiveCast(e clsv.Endpoint, msg []byte)  { a.receive("cast", e, msg) }
func (a *app) ReceiveScast(e clsv.Endpoint, msg []byte) { a.receive("scast", e, msg) }
func (a *app) ReceiveLsend(e clsv.Endpoint, msg []byte) { a.receive("lsend", e, msg) }
func (a *app) ReceiveSend(e clsv.Endpoint, msg []byte)  { a.receive("send", e, msg) }

func names(l []clsv.Endpoint) string {
	var s []string
	for _, e := range l {
		s = append(s, e.Name)
	}
	return strings.Join(s, ",")
}

type lab struct {
	*testing.T
	c *clsvtest.Cluster
	a map[string]*app
}

func newLab(t *testing.T, seed uint64, cfg clsvtest.Config) *lab {
	l := &lab{T: t, c: clsvtest.NewConfig(seed, cfg), a: map[string]*app{}}
	t.Cleanup(func() {
		if err := l.c.Close(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	})
	return l
}

func (l *lab) add(name string, o clsv.Options) *app {
	l.Helper()
	a := &app{t: l.T}
	if o.Handler == nil {
		o.Handler = a
	}
	var err error
	if a.v, err = prim.Wrap(&o); err != nil {
		l.Fatal(err)
	}
	a.m = l.c.Add(name, o)
	l.a[name] = a
	if err := a.m.StartJoin(); err != nil {
		l.Fatal(err)
	}
	return a
}

func server(quorum int) clsv.Options {
	o := clsv.Options{Role: clsv.Server, Xfer: clsv.FreeXfer}
	o.Quorum = quorum
	return o
}

// whole waits until all are in one primary view.
func (l *lab) whole() {
	l.Helper()
	ok := l.c.Wait(10*time.Second, func() bool {
		for _, a := range l.a {
			if v := a.v.View(); v == nil || !a.v.Inside() || len(v.Members) != len(l.a) {
				return false
			}
		}
		return true
	})
	if !ok {
		l.Fatal("no primary view of all")
	}
}

func (l *lab) mark() {
	for _, a := range l.a {
		a.lines = nil
	}
}

func (l *lab) expect(name string, want ...string) {
	l.Helper()
	if got := l.a[name].lines; !slices.Equal(got, want) {
		l.Errorf("%s:\n\t%s\nwant\n\t%s", name, strings.Join(got, "\n\t"),
			strings.Join(want, "\n\t"))
	}
}

// TestPR01 splits five servers with a quorum of three.
func TestPR01(t *testing.T) {
	l := newLab(t, 1, clsvtest.Config{})
	for _, n := range []string{"A", "B", "C", "D", "E"} {
		l.add(n, server(3))
		l.c.Run(300 * ms)
	}
	l.whole()
	l.mark()
	l.c.Partition([]string{"A", "B", "C"}, []string{"D", "E"})
	l.c.Run(2 * time.Second)
	l.expect("A", "view A,B,C + -D,E ")
	l.expect("D")
	if l.a["D"].v.Inside() || l.a["D"].m.View().Primary || len(l.a["D"].m.View().Members) != 2 {
		t.Error("the minority is primary")
	}
	l.mark()
	try := func(sv clsv.SendView, err error) {
		t.Helper()
		if err != nil || !sv.Next {
			t.Errorf("%+v %v", sv, err)
		}
	}
	d, e := l.a["D"].m, l.a["E"].m.Endpoint()
	try(d.TryCast([]byte("1")))
	try(d.TryScast([]byte("2"), clsv.MsgOptions{Safety: clsv.XferSafe}))
	try(d.TryLsend([]byte("3"), clsv.MsgOptions{Dests: []clsv.Endpoint{e}}))
	try(d.TrySend(e, []byte("4")))
	try(d.TryCast([]byte("5")))
	l.a["D"].onView = func(*clsv.View) {
		if sv, err := d.TryCast([]byte("6")); err != nil || sv.Next {
			t.Errorf("%+v %v", sv, err)
		}
	}
	for _, m := range []string{"A", "B"} {
		if _, err := l.a[m].m.TryCast([]byte("of " + m)); err != nil {
			t.Error(err)
		}
		l.c.Run(20 * ms)
	}
	l.expect("C", "cast A of A", "cast B of B")
	l.expect("E")
	l.mark()
	l.c.Heal()
	l.whole()
	l.c.Run(100 * ms)
	back := "view A,B,C,D,E +D,E - "
	l.expect("A", back, "cast D 1", "scast D 2", "cast D 5", "cast D 6")
	// D and E were in such a view before.
	l.expect("D", "view A,B,C,D,E + - ", "cast D 1", "scast D 2", "cast D 5", "cast D 6")
	got := slices.DeleteFunc(slices.Clone(l.a["E"].lines), func(s string) bool {
		return s == "send D 4" // has no place among casts
	})
	if len(got) != len(l.a["E"].lines)-1 {
		t.Error("no send")
	}
	l.a["E"].lines = got
	l.expect("E", "view A,B,C,D,E + - ", "cast D 1", "scast D 2", "lsend D 3", "cast D 5",
		"cast D 6")
	if v := l.a["D"].v.View(); len(v.Servers) != 5 || v.OldState != clsv.ServerNormal {
		t.Error(v)
	}
}

// TestPR02 has servers transfer for a while.
func TestPR02(t *testing.T) {
	l := newLab(t, 1, clsvtest.Config{})
	l.add("A", server(2))
	o := clsv.Options{}
	o.Quorum = 2
	l.add("c", o)
	l.whole()
	l.mark()
	x := &app{t: t, hold: true}
	xo := server(2)
	xo.Handler = x
	l.add("X", xo)
	x.v, x.m = l.a["X"].v, l.a["X"].m
	l.c.Run(time.Second)
	if v := l.a["A"].m.View(); len(v.XferServers) != 1 || !v.Primary {
		t.Fatal(v)
	}
	for _, n := range []string{"A", "c"} {
		l.expect(n)
		if _, err := l.a[n].m.TryCast([]byte("from " + n)); err != nil {
			t.Error(err)
		}
	}
	l.c.Run(time.Second)
	l.expect("A")
	if err := x.m.AskState(l.a["A"].m.Endpoint(), nil); err != nil {
		t.Error(err) // is not delayed
	}
	l.c.Run(100 * ms)
	if n := l.a["A"].asked; n != 1 {
		t.Errorf("A was asked %d times", n)
	}
	if err := x.m.XferDone(); err != nil {
		t.Fatal(err)
	}
	l.c.Run(time.Second)
	for _, who := range []*app{l.a["A"], x} {
		first := strings.HasPrefix(who.lines[0], "view ")
		if len(who.lines) != 3 || !first || len(who.views[len(who.views)-1].Servers) != 2 {
			t.Errorf("%q", who.lines)
		}
	}
}

func TestOptions(t *testing.T) {
	if _, err := prim.Wrap(&clsv.Options{}); !errors.Is(err, clsv.ErrOptions) {
		t.Error(err)
	}
}

// TestBound queues more than there is room for.
func TestBound(t *testing.T) {
	l := newLab(t, 1, clsvtest.Config{})
	o := server(2)
	o.QueueBytes = 1000
	a := l.add("A", o)
	l.c.Run(time.Second)
	if len(a.views) > 0 || len(a.every) == 0 {
		t.Fatalf("%d views, %d primary", len(a.every), len(a.views))
	}
	n := 0
	for ; n < 100; n++ {
		if _, err := a.m.TryCast(make([]byte, 100)); errors.Is(err, clsv.ErrWouldBlock) {
			break
		}
	}
	if n == 0 || n > 10 {
		t.Errorf("%d messages", n)
	}
	s, _ := a.m.Stats()
	if s.Delayed != n {
		t.Errorf("%d delayed of %d", s.Delayed, n)
	}
	l.add("B", o)
	l.whole()
	l.c.Run(100 * ms)
	if len(a.lines) != n+1 {
		t.Errorf("%q", a.lines)
	}
}

// TestLate has a view become primary while it ends: it gets its Block after all.
func TestLate(t *testing.T) {
	a := &app{t: t}
	o := clsv.Options{Handler: a}
	o.Quorum = 1
	var err error
	if a.v, err = prim.Wrap(&o); err != nil {
		t.Fatal(err)
	}
	p := o.Handler.(clsv.PrimaryObserver)
	v := func(ltime uint64) *clsv.View {
		v := &clsv.View{}
		v.ID.Ltime, v.Primary = ltime, true
		return v
	}
	for i := range uint64(3) {
		o.Handler.AcceptedView(v(i), nil)
		o.Handler.Block()
		p.PrimaryView(v(i), nil) // AcceptedView looks whether it was blocked
	}
	if len(a.views) != 3 || len(a.every) != 3 {
		t.Errorf("%d views of %d", len(a.views), len(a.every))
	}
}

// TestNoLocal: who does not get its own messages counts itself all the same.
func TestNoLocal(t *testing.T) {
	l := newLab(t, 1, clsvtest.Config{})
	for _, n := range []string{"A", "B"} {
		o := server(2)
		o.NoLocal = true
		l.add(n, o)
	}
	l.whole()
}

type talker struct{ app }

func (k *talker) ChangingView(v *clsv.View) []byte {
	k.log("changing +%s", names(v.NewMembers))
	return []byte("s")
}

func (k *talker) ProposeView(v *clsv.View, msgs [][]byte) []byte {
	return fmt.Appendf(nil, "%s of %d", v.Me.Name, len(msgs))
}

// TestExchange exchanges messages before primary views only.
func TestExchange(t *testing.T) {
	l := newLab(t, 1, clsvtest.Config{})
	talk := map[string]*talker{}
	for _, n := range []string{"A", "B", "C"} {
		k := &talker{app{t: t}}
		o := clsv.Options{Handler: k}
		o.Quorum = 2
		a := l.add(n, o)
		k.v, k.m = a.v, a.m
		talk[n] = k
		l.c.Run(500 * ms)
	}
	want := []string{"changing +A,B", "view A,B +A,B - A of 2", "changing +C",
		"view A,B,C +C - A of 3"}
	if got := talk["A"].lines; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if err := talk["A"].m.StartLeave(); err != nil {
		t.Fatal(err)
	}
	l.c.Run(time.Second)
	if a := talk["A"]; a.v.View() != nil || a.v.Inside() {
		t.Error("a view after Exit")
	}
}

// primaries looks for two primary views of one number, over all members.
type primaries struct {
	t    *testing.T
	seed uint64
	by   map[uint64]clsv.ViewID
	n    int
	few  int // views with a quorum on paper only
}

// watch adds what the members have accepted.
func (p *primaries) watch(l *lab) {
	for _, a := range l.a {
		for _, v := range a.views[a.watched:] {
			if id, ok := p.by[v.ID.Ltime]; ok && id != v.ID {
				p.t.Errorf("seed %d: primary views %v and %v", p.seed, id, v.ID)
			}
			if _, ok := p.by[v.ID.Ltime]; !ok {
				p.n++
			}
			p.by[v.ID.Ltime] = v.ID
		}
		a.watched = len(a.views)
	}
}

// TestPR04 splits groups at random: there are never two primary views of one
// number.
func TestPR04(t *testing.T) {
	done, views, few := 0, 0, 0
	for seed := uint64(1); done < *splits && !t.Failed(); seed++ {
		rnd := rand.New(rand.NewPCG(seed, 4))
		n := 3 + rnd.IntN(5)
		l := newLab(t, seed, clsvtest.Config{Check: func(o *check.Options) { o.Primary = true }})
		var all []string
		for i := range n {
			name := string(rune('A' + i))
			all = append(all, name)
			l.add(name, server(n/2+1))
		}
		l.whole()
		p := &primaries{t: t, seed: seed, by: map[uint64]clsv.ViewID{}}
		for k := range 20 {
			l.split(rnd, all, k)
			l.c.Run(time.Duration(rnd.IntN(1200)) * ms)
			p.watch(l)
			done++
		}
		l.c.Heal()
		l.whole()
		p.watch(l)
		p.agree(l)
		views, few = views+p.n, few+p.few
	}
	t.Logf("%d splits, %d primary views, %d that seemed to be", done, views, few)
}

// agree compares what those who went from one view to the next together have
// been told of the first.
func (p *primaries) agree(l *lab) {
	type step struct{ from, to clsv.ViewID }
	told := map[step]bool{}
	for name, a := range l.a {
		for i := 1; i < len(a.every); i++ {
			from := a.every[i-1]
			s := step{from.ID, a.every[i].ID}
			same := func(v *clsv.View) bool { return v.ID == from.ID }
			is := slices.ContainsFunc(a.views, same)
			if was, ok := told[s]; ok && was != is {
				p.t.Errorf("seed %d: view %v is primary for some, %s: %v", p.seed, from.ID,
					name, is)
			}
			told[s] = is
		}
	}
	p.installed(l)
}

// installed checks that a quorum has installed each primary view.
func (p *primaries) installed(l *lab) {
	by := map[clsv.ViewID]int{}
	for _, a := range l.a {
		for _, v := range a.every {
			by[v.ID]++
		}
	}
	few := 0
	for _, a := range l.a {
		for _, v := range a.views {
			if n := by[v.ID]; n < len(l.a)/2+1 {
				p.t.Errorf("seed %d: %d members have installed %v", p.seed, n, v)
			}
		}
		for _, v := range a.every {
			if v.Primary && by[v.ID] < len(l.a)/2+1 {
				few++
			}
		}
	}
	p.few += few
}

// split makes a partition of two or three parts, after the network has been
// whole or not.
func (l *lab) split(rnd *rand.Rand, all []string, k int) {
	switch rnd.IntN(3) {
	case 1:
		l.c.Heal()
		l.c.Run(time.Duration(rnd.IntN(300)) * ms)
	case 2: // when the first member has accepted the common view
		l.c.Heal()
		views := func() (n int) {
			for _, a := range l.a {
				n += len(a.every)
			}
			return n
		}
		was := views()
		l.c.Wait(300*ms, func() bool { return views() > was })
	}
	parts := make([][]string, 2+rnd.IntN(2))
	for _, a := range all {
		i := rnd.IntN(len(parts))
		parts[i] = append(parts[i], a)
	}
	l.c.Partition(parts...)
	for _, a := range all {
		_, _ = l.a[a].m.TryCast(fmt.Append(nil, k))
	}
}
