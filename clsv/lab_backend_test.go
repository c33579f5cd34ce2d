package clsv_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
)

// backend is where the members of a lab live. Nothing happens to them but while
// run or wait are called, or calls of members that wait.
type backend interface {
	add(name string, o clsv.Options) *clsv.Member
	// run lets time pass, wait does until ok.
	run(d time.Duration)
	wait(limit time.Duration, ok func() bool) bool
	// after runs f later, within run or wait.
	after(d time.Duration, f func())
	partition(parts ...[]string)
	heal()
	// crash ends a member's process, which tells nobody.
	crash(name string)
	// slow has each run of callbacks of a member take a time.
	slow(name string, d time.Duration)
	close() error
}

// simNet is the backend of the simulator.
type simNet struct{ *clsvtest.Cluster }

func (n simNet) add(name string, o clsv.Options) *clsv.Member  { return n.Add(name, o) }
func (n simNet) run(d time.Duration)                           { n.Run(d) }
func (n simNet) wait(limit time.Duration, ok func() bool) bool { return n.Wait(limit, ok) }
func (n simNet) after(d time.Duration, f func())               { n.World.After(d, f) }
func (n simNet) partition(parts ...[]string)                   { n.Partition(parts...) }
func (n simNet) heal()                                         { n.Heal() }
func (n simNet) crash(name string)                             { n.Crash(name) }
func (n simNet) slow(name string, d time.Duration)             { n.Slow(name, d) }
func (n simNet) close() error                                  { return n.Close() }

// newBackend is the backend that a scenario is to run on. The cluster is nil on
// real sockets.
func newBackend(t *testing.T, seed uint64, cfg clsvtest.Config) (backend, *clsvtest.Cluster) {
	if isReal(t) {
		return newRealNet(t, cfg), nil
	}
	c := clsvtest.NewConfig(seed, cfg)
	return simNet{c}, c
}

func (l *lab) run(d time.Duration)               { l.b.run(d) }
func (l *lab) after(d time.Duration, f func())   { l.b.after(d, f) }
func (l *lab) slow(name string, d time.Duration) { l.b.slow(name, d) }

func (l *lab) crash(name string) {
	l.crashed[name] = true
	l.b.crash(name)
}

// settled reports whether the named members have accepted one view that has
// exactly them in it.
func (l *lab) settled(names ...string) bool {
	var first clsv.ViewID
	for i, name := range names {
		v := l.r[name].m.View()
		if v == nil || len(v.Members) != len(names) || i > 0 && v.ID != first {
			return false
		}
		// On real sockets, the callback may be still to come.
		if last := l.r[name].last(); l.c == nil && (last == nil || last.ID != v.ID) {
			return false
		}
		first = v.ID
	}
	return true
}

// asked lets a request for the state arrive at a member.
func (l *lab) asked(name string) {
	l.run(ms)
	l.soon(func() bool {
		return slices.ContainsFunc(l.r[name].lines, func(s string) bool {
			return strings.HasPrefix(s, "ask ")
		})
	})
}

// soon reports whether ok is so: in the simulator now, on real sockets within a
// while.
func (l *lab) soon(ok func() bool) bool {
	if l.c != nil {
		return ok()
	}
	return l.b.wait(2*time.Second, ok)
}
