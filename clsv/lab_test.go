package clsv_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/stack/check"
	"maestro/stack/sim"
)

// lab is a group with a recorder at each member, in the simulator or on real
// sockets.
type lab struct {
	*testing.T
	b backend
	c *clsvtest.Cluster // the simulator, nil on real sockets
	r map[string]*recorder
	// crashed are the members that crash has ended.
	crashed map[string]bool
}

const ms = time.Millisecond

func newLab(t *testing.T) *lab { return newLabOn(t, 1, clsvtest.Config{}) }

func newLabOn(t *testing.T, seed uint64, cfg clsvtest.Config) *lab {
	l := &lab{T: t, r: map[string]*recorder{}, crashed: map[string]bool{}}
	l.b, l.c = newBackend(t, seed, cfg)
	t.Cleanup(func() {
		for _, r := range l.r {
			r.hooks = hooks{} // members are about to leave
		}
		if err := l.b.close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			l.print()
		}
	})
	return l
}

func (l *lab) print() {
	var who []string
	for n := range l.r {
		who = append(who, n)
	}
	slices.Sort(who)
	for _, n := range who {
		l.Logf("%s:\n\t%s", n, strings.Join(l.r[n].lines, "\n\t"))
	}
}

func server(x clsv.Xfer) clsv.Options { return clsv.Options{Role: clsv.Server, Xfer: x} }

var client = clsv.Options{}

// add makes a member that does not join yet.
func (l *lab) add(name string, o clsv.Options) *recorder {
	r := &recorder{}
	if o.Handler == nil {
		o.Handler = r
	}
	l.r[name] = r
	r.m = l.b.add(name, o)
	return r
}

// start makes a member that begins to join.
func (l *lab) start(name string, o clsv.Options) *recorder {
	r := l.add(name, o)
	l.ok(r.m.StartJoin())
	return r
}

// join makes a member and waits until it and all who live have one view.
func (l *lab) join(name string, o clsv.Options) *recorder {
	l.Helper()
	r := l.start(name, o)
	l.settle()
	return r
}

// normal makes a server and has it complete its transfer.
func (l *lab) normal(name string, x clsv.Xfer) *recorder {
	l.Helper()
	r := l.join(name, server(x))
	if r.m.State() == clsv.ServerXfer {
		l.ok(r.m.XferDone())
		l.until(func() bool { return r.m.State() == clsv.ServerNormal })
	}
	l.settle()
	return r
}

// live are the members that have joined and not left or crashed.
func (l *lab) live() []string {
	var n []string
	for name, r := range l.r {
		if s := r.m.State(); s != clsv.Initial && s != clsv.Leaving && !l.crashed[name] {
			n = append(n, name)
		}
	}
	slices.Sort(n)
	return n
}

func (l *lab) settle() {
	l.Helper()
	l.until(func() bool { return l.settled(l.live()...) })
	l.run(20 * ms)
}

func (l *lab) until(ok func() bool) {
	l.Helper()
	if !l.b.wait(5*time.Second, ok) {
		l.Fatal("it does not happen")
	}
}

func (l *lab) ok(err error) {
	l.Helper()
	if n, real := l.b.(*realNet); err != nil && real && n.busy {
		l.Error(err) // not on the test's goroutine
	} else if err != nil {
		l.Fatal(err)
	}
}

func (l *lab) is(err, want error) {
	l.Helper()
	if !errors.Is(err, want) {
		l.Errorf("error %v, want %v", err, want)
	}
}

// mark forgets what has been recorded.
func (l *lab) mark() {
	for _, r := range l.r {
		r.lines, r.got = nil, nil
	}
}

// expect compares what a member has recorded since mark. Lines that begin with
// view are compared as far as the expectation goes.
func (l *lab) expect(name string, want ...string) {
	l.Helper()
	if !l.soon(func() bool { return l.r[name].recorded(want) }) {
		l.Errorf("%s:\n\t%s\nwant\n\t%s", name, strings.Join(l.r[name].lines, "\n\t"),
			strings.Join(want, "\n\t"))
	}
}

// recorded reports whether the lines are as expected.
func (r *recorder) recorded(want []string) bool {
	got := r.lines
	ok := len(got) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = got[i] == want[i] || strings.HasPrefix(want[i], "view ") && matches(got[i], want[i])
	}
	return ok
}

// matches reports whether a line has all words of an expectation, and no list
// or flag that the expectation has not.
func matches(line, want string) bool {
	pad := func(s string) []string { return fields(s) }
	for _, w := range pad(want) {
		if !slices.Contains(pad(line), w) {
			return false
		}
	}
	for _, w := range pad(line) {
		key, _, _ := strings.Cut(w, "=")
		list := slices.Contains(listWords, key)
		if list && !slices.Contains(pad(want), w) {
			return false
		}
	}
	return true
}

var listWords = strings.Fields("M +M -M S +S -S T +T -T C +C -C startXfer sourcesLost")

// fields splits at spaces outside of brackets.
func fields(s string) []string {
	var f []string
	depth, from := 0, 0
	for i, c := range s + " " {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == ' ' && depth == 0:
			if i > from {
				f = append(f, s[from:i])
			}
			from = i + 1
		}
	}
	return f
}

// views is how many views a member has accepted since mark.
func (l *lab) views(name string) int {
	n := 0
	for _, s := range l.r[name].lines {
		if strings.HasPrefix(s, "view ") {
			n++
		}
	}
	return n
}

func (l *lab) got(name string, want ...string) {
	l.Helper()
	if !l.soon(func() bool { return slices.Equal(l.r[name].got, want) }) {
		l.Errorf("%s got %v, want %v", name, l.r[name].got, want)
	}
}

// shape is the lists of a member's last view.
func (l *lab) shape(name, want string) {
	l.Helper()
	got := ""
	if !l.soon(func() bool { got = shape(l.r[name].m.View()); return got == want }) {
		l.Errorf("%s is in %s, want %s", name, got, want)
	}
}

func shape(v *clsv.View) string {
	if v == nil {
		return "no view"
	}
	return "S=" + names(v.Servers) + " T=" + names(v.XferServers) + " C=" + names(v.Clients) +
		" type=" + v.ViewType.String() + " " + v.State.String()
}

func (l *lab) id(name string) clsv.Endpoint { return l.r[name].m.Endpoint() }

func (l *lab) cast(name, msg string, o ...clsv.MsgOptions) clsv.SendView {
	l.Helper()
	sv, err := l.r[name].m.TryCast([]byte(msg), o...)
	l.ok(err)
	return sv
}

// lossy is a network with faults.
func lossy(seed uint64) clsvtest.Config {
	link := sim.LAN()
	link.Loss = 0.01 * float64(1+seed%20)
	link.Ordered, link.Duplicate = false, 0.02
	link.Reorder, link.Late = 0.05, 300*time.Microsecond
	return clsvtest.Config{Sim: sim.Options{Link: &link}}
}

// unchecked leaves properties of the checker out.
func unchecked(f func(o *check.Options)) clsvtest.Config { return clsvtest.Config{Check: f} }
