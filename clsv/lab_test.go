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

// lab is a simulated group with a recorder at each member.
type lab struct {
	*testing.T
	c *clsvtest.Cluster
	r map[string]*recorder
}

const ms = time.Millisecond

func newLab(t *testing.T) *lab { return newLabOn(t, 1, clsvtest.Config{}) }

func newLabOn(t *testing.T, seed uint64, cfg clsvtest.Config) *lab {
	l := &lab{T: t, c: clsvtest.NewConfig(seed, cfg), r: map[string]*recorder{}}
	t.Cleanup(func() {
		if err := l.c.Close(); err != nil {
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
	r.m = l.c.Add(name, o)
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
		if s := r.m.State(); s != clsv.Initial && s != clsv.Leaving {
			n = append(n, name)
		}
	}
	slices.Sort(n)
	return n
}

func (l *lab) settle() {
	l.Helper()
	l.until(func() bool { return l.c.Settled(0, l.live()...) })
	l.c.Run(20 * ms)
}

func (l *lab) until(ok func() bool) {
	l.Helper()
	if !l.c.Wait(5*time.Second, ok) {
		l.Fatal("it does not happen")
	}
}

func (l *lab) ok(err error) {
	l.Helper()
	if err != nil {
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
	got := l.r[name].lines
	ok := len(got) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = got[i] == want[i] || strings.HasPrefix(want[i], "view ") && matches(got[i], want[i])
	}
	if !ok {
		l.Errorf("%s:\n\t%s\nwant\n\t%s", name, strings.Join(got, "\n\t"),
			strings.Join(want, "\n\t"))
	}
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
	if got := l.r[name].got; !slices.Equal(got, want) {
		l.Errorf("%s got %v, want %v", name, got, want)
	}
}

// shape is the lists of a member's last view.
func (l *lab) shape(name, want string) {
	l.Helper()
	v := l.r[name].m.View()
	if v == nil {
		l.Errorf("%s has no view, want %s", name, want)
		return
	}
	got := "S=" + names(v.Servers) + " T=" + names(v.XferServers) + " C=" + names(v.Clients) +
		" type=" + v.ViewType.String() + " " + v.State.String()
	if got != want {
		l.Errorf("%s is in %s, want %s", name, got, want)
	}
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
	link.Duplicate, link.Reorder = 0.02, 0.05
	return clsvtest.Config{Sim: sim.Options{Link: &link}}
}

// unchecked leaves properties of the checker out.
func unchecked(f func(o *check.Options)) clsvtest.Config { return clsvtest.Config{Check: f} }
