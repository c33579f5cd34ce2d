package clsv_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
)

// What was wrong with the implementation that this one follows, each with the
// code here that keeps it from coming back. Two more are in
// defects_core_test.go.

// Data of a new view was delivered before its AcceptedView. Guard: core.Deliver,
// which holds back what comes for a view that is not entered, and core.enter.
func TestDefectDataBeforeAcceptedView(t *testing.T) {
	l := newLab(t)
	xs := l.exchangers()
	xs["A"].hook = func() { // C hears of the view message late
		l.c.World.CutOneWay("A", "C", true)
		l.c.World.After(20*ms, func() { l.c.World.CutOneWay("A", "C", false) })
	}
	l.r["B"].onView = func(*clsv.View) { l.cast("B", "first") }
	l.ok(xs["D"].m.StartJoin())
	l.settle()
	c := l.r["C"].lines
	if len(c) != 4 || !strings.HasPrefix(c[2], "view ") || c[3] != "cast B first" {
		t.Errorf("C: %q", c)
	}
}

// A merge was decided by the number of members, so that a newborn or a side full
// of clients erased the servers' state. Guard: PreferOlder.
func TestDefectMergeByHeadCount(t *testing.T) {
	l := newLab(t)
	l.add("A", server(clsv.FreeXfer))
	young := []string{"X", "c", "d", "e"}
	for _, n := range young {
		o := client
		if n == "X" {
			o = server(clsv.FreeXfer)
		}
		l.add(n, o)
	}
	l.c.Partition([]string{"A"}, young)
	l.ok(l.r["A"].m.StartJoin())
	for _, n := range young {
		l.ok(l.r[n].m.StartJoin())
	}
	l.c.Run(500 * ms)
	for range 10 {
		l.cast("A", "history")
	}
	l.c.Run(ms)
	l.c.Heal()
	l.settle()
	if v := l.r["A"].last(); names(v.Servers) != "[A]" || names(v.XferServers) != "[X]" {
		t.Error(v)
	}
}

// Deltas and old fields compared with views that the member had never accepted.
// Guard: View.compare with core.view.
func TestDefectDeltasOfSkippedViews(t *testing.T) {
	l := newLab(t)
	xs := l.exchangers()
	xs["C"].changing = func(v *clsv.View) { // the view with A and D is never accepted
		if v.RankOf(xs["A"].views[0].Me) >= 0 {
			l.c.World.After(0, func() { l.c.Crash("A") })
		}
	}
	xs["D"].m.StartJoin()
	l.settle()
	views := 0
	for _, s := range l.r["C"].lines {
		if strings.HasPrefix(s, "changing ") {
			views++
		}
	}
	v := l.r["C"].last()
	if views < 2 || names(v.Members) != "[B C D]" || names(v.NewMembers) != "[D]" ||
		names(v.DepartedMembers) != "[A]" || v.MyOldRank != 2 || v.OldCoordinator.Name != "A" {
		t.Errorf("after %d proposals %v: new %v, departed %v, old rank %d, old coordinator %v",
			views, v, v.NewMembers, v.DepartedMembers, v.MyOldRank, v.OldCoordinator)
	}
}

// A message that was queued during a flush went out in the next view, whatever
// that allowed. Guard: the safety is checked where messages leave, in
// core.release, not only in core.submit.
func TestDefectUnsafeAfterBlock(t *testing.T) {
	l := g0(t)
	l.r["A"].onBlock = func() {
		l.c.World.After(time.Microsecond, func() { l.cast("A", "generic") })
	}
	l.join("X", server(clsv.AtomicXfer))
	l.got("c")
	l.r["A"].onBlock = nil
	l.ok(l.r["X"].m.XferDone())
	l.settle()
	l.got("c", "A:generic")
}

// When the last server had gone, all who transferred took themselves for
// servers, each with another part of the state. Guard: composer.begin.
func TestDefectAllPromoteThemselves(t *testing.T) {
	l := newLab(t)
	l.normal("K", clsv.FreeXfer)
	for _, n := range []string{"X", "Y", "Z"} {
		l.join(n, server(clsv.ProtectedXfer))
	}
	l.c.Crash("K")
	l.settle()
	l.shape("X", "S=[X] T=[Y Z] C=[] type=protected server")
	for _, n := range []string{"Y", "Z"} {
		if v := l.r[n].last(); !v.StartXfer || !v.SourcesLost {
			t.Error(v)
		}
	}
}

// Servers of two partitions were all normal after a merge, with two states.
// Guard: joint.next.
func TestDefectTwoStatesAfterMerge(t *testing.T) {
	l := pq(t, clsv.FreeXfer)
	l.c.Heal()
	l.settle()
	l.shape("D", "S=[A B] T=[D E] C=[c f] type=atomic xfer")
	if v := l.r["D"].last(); !v.StartXfer || len(l.r["D"].degraded) != 1 {
		t.Error(v)
	}
}

// What was sent to a member that had just gone ended the process. Guard:
// core.addressable, core.transmitUser, core.mayAsk, core.maySend.
func TestDefectDepartures(t *testing.T) {
	l := v2(t, clsv.FreeXfer)
	a, c, k, x := l.id("A"), l.r["c"].m, l.r["K"].m, l.r["X"].m
	l.ok(x.AskState(l.id("K"), nil))
	l.c.Run(ms)
	gone := l.id("X")
	l.r["c"].onBlock = func() { // goes to the next view, in which A is not
		l.c.World.After(time.Microsecond, func() {
			_, err := c.TrySend(a, []byte("p"))
			l.ok(err)
			_, err = c.TryLsend([]byte("q"), clsv.MsgOptions{Dests: []clsv.Endpoint{a}})
			l.ok(err)
		})
	}
	l.c.Crash("A")
	l.c.Crash("X")
	l.settle()
	l.r["c"].onBlock = nil
	l.is(k.SendState(gone, nil), clsv.ErrNotMember)
	_, err := c.TrySend(a, nil)
	l.is(err, clsv.ErrNotMember)
	l.is(c.Suspect(a), clsv.ErrNotMember)
	if d := l.r["c"].dropped; len(d) != 1 || !errors.Is(d[0].Err, clsv.ErrNotMember) ||
		string(d[0].Msg) != "p" {
		t.Errorf("dropped %v", d)
	}
}

// The SendView was wrong within Block, and never set for an scast. Guard:
// core.open, which knows when Block has returned, and core.submit.
func TestDefectSendView(t *testing.T) {
	l := g0(t)
	a := l.r["A"]
	v0 := a.last().ID
	var got []clsv.SendView
	scast := func() {
		sv, err := a.m.TryScast([]byte("m"))
		l.ok(err)
		got = append(got, sv)
	}
	a.onBlock = func() {
		scast()
		l.c.World.After(time.Microsecond, scast)
	}
	a.onView = func(*clsv.View) { scast() }
	l.join("d", client)
	want := []clsv.SendView{{ID: v0}, {ID: v0, Next: true}, {ID: a.last().ID}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// The type of a view stayed at the strictest transfer until all had ended.
// Guard: roles.viewType.
func TestDefectTypeDoesNotRelax(t *testing.T) {
	l := g0(t)
	l.join("X", server(clsv.FreeXfer))
	l.join("Y", server(clsv.AtomicXfer))
	l.ok(l.r["Y"].m.XferDone())
	l.settle()
	l.shape("c", "S=[K A Y] T=[X] C=[c] type=free client")
}

// Asking for the next portion of the state from the callback that brought one
// was a deadlock. Guard: callbacks run without the lock (core.Run), and
// downcalls within them do not wait (core.stateTransfer).
func TestDefectNextPortion(t *testing.T) {
	l := v2(t, clsv.FreeXfer)
	l.r["A"].onAsk = func(o clsv.Endpoint, req []byte) { l.ok(l.r["A"].m.SendState(o, req)) }
	const n = 1000
	got := 0
	l.r["X"].onState = func(o clsv.Endpoint, _ []byte) {
		if got++; got < n {
			l.ok(l.r["X"].m.AskState(o, fmt.Append(nil, got)))
		} else {
			l.ok(l.r["X"].m.XferDone())
		}
	}
	l.ok(l.r["X"].m.AskState(l.id("A"), nil))
	l.until(func() bool { return l.r["X"].m.State() == clsv.ServerNormal })
	if got != n {
		t.Errorf("%d portions", got)
	}
}

// What belonged to a transfer that had been cancelled was taken for the one that
// followed. Guard: the transfer's id, in core.stateMessage and core.maySend.
// Package csx has the ids that applications see (TestCX11, TestCX13And14).
func TestDefectAnswerOfAnotherTransfer(t *testing.T) {
	l := pq(t, clsv.FreeXfer)
	e := l.r["E"]
	d := l.id("D")
	l.ok(e.m.AskState(d, nil))
	l.c.Run(ms)
	l.r["D"].onBlock = func() { l.ok(l.r["D"].m.SendState(l.id("E"), []byte("old"))) }
	l.c.World.After(0, l.c.Heal)
	e.onBlock = func() { l.c.Slow("E", 20*ms) } // so that the answer finds the next transfer
	l.c.Run(100 * ms)
	l.c.Slow("E", 0)
	l.settle()
	if v := e.last(); !v.StartXfer || v.IsServer(d) {
		t.Error(v)
	}
	l.is(l.r["D"].m.SendState(l.id("E"), []byte("older")), clsv.ErrNotServer)
	l.is(l.r["A"].m.SendState(l.id("E"), []byte("not asked")), clsv.ErrNotTransferring)
	l.c.Run(100 * ms)
	view := slices.IndexFunc(e.lines, func(s string) bool { return strings.HasPrefix(s, "view ") })
	for _, s := range e.lines[view:] {
		if strings.HasPrefix(s, "state ") {
			t.Errorf("E got %s after it began anew", s)
		}
	}
}

// A joiner that never called XferDone held up the group for ever, behind a queue
// without bound. Guard: core.deadline and Options.QueueBytes in core.submit.
func TestDefectEndlessTransfer(t *testing.T) {
	l := newLab(t)
	l.join("K", server(clsv.AtomicXfer))
	o := server(clsv.AtomicXfer)
	o.XferTimeout = 300 * ms
	l.join("X", o)
	o = client
	o.QueueBytes = 1000
	c := l.join("c", o)
	var err error
	for i := 0; i < 100 && err == nil; i++ {
		_, err = c.m.TryCast(make([]byte, 100))
	}
	l.is(err, clsv.ErrWouldBlock)
	l.c.Run(500 * ms)
	l.shape("X", "S=[K] T=[] C=[X c] type=none becoming")
	if s, _ := c.m.Stats(); s.QueuedMessages != 0 || len(l.r["K"].got) == 0 {
		t.Errorf("%d messages wait, K got %d", s.QueuedMessages, len(l.r["K"].got))
	}
}

// Lists and queues of a member's former life were there after it had joined
// again. Guard: each life has a core of its own (GroupMember.begin).
func TestDefectStaleAfterRejoin(t *testing.T) {
	l := g1(t, clsv.AtomicXfer)
	a := l.r["A"]
	l.cast("A", "of the former life")
	l.ok(a.m.Leave(bg))
	l.settle()
	l.mark()
	l.ok(a.m.Join(bg))
	l.settle()
	l.expect("A", "view M=[K X c d A] +M=[K X c d A] S=[K A] +S=[K A] T=[X] +T=[X] C=[c d] "+
		"+C=[c d] oco= osc= r=4/-1 sr=1/-1 server<-joining")
	l.ok(l.r["X"].m.XferDone())
	l.settle()
	l.got("c")
}
