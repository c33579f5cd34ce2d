package clsv_test

import (
	"testing"
	"time"

	"maestro/clsv"
)

// What random runs have found, as scenarios.

// TestLostInSkippedView has the view that tells of lost sources fail before
// anybody accepts it: the next one tells instead.
func TestLostInSkippedView(t *testing.T) {
	l := newLab(t)
	l.normal("K", clsv.FreeXfer)
	x := l.exchange("X", "", "", server(clsv.FreeXfer))
	l.ok(x.m.StartJoin())
	l.settle()
	l.join("Y", server(clsv.FreeXfer))
	l.join("c", client)
	l.mark()
	x.changing = func(v *clsv.View) {
		if len(v.Members) == 3 {
			l.c.World.After(0, func() { l.c.Crash("c") })
		}
	}
	l.c.Crash("K")
	l.settle()
	l.expect("X", "block", x.lines[1], x.lines[2], x.lines[3], "view M=[X Y] -M=[K c] S=[X] "+
		"+S=[X] -S=[K] T=[Y] -T=[X] -C=[c] type=free server<-xfer sourcesLost sc=X osc=K")
	l.expect("Y", "block", "degraded "+clsv.ErrSourcesLost.Error(), "view M=[X Y] -M=[K c] S=[X] "+
		"+S=[X] -S=[K] T=[Y] -T=[X] -C=[c] xfer<-xfer startXfer sourcesLost")
}

// TestDoneTooLate has XferDone and AskState come when the view that begins the
// transfer again is about to be accepted: they are not about the new transfer.
func TestDoneTooLate(t *testing.T) {
	l := pq(t, clsv.FreeXfer)
	e := l.r["E"]
	l.c.Slow("E", 50*time.Millisecond)
	l.c.Heal()
	l.until(func() bool { return e.m.View().IsServer(l.id("A")) })
	if e.last().IsServer(l.id("A")) {
		t.Fatal("E has been told")
	}
	l.is(e.m.XferDone(), clsv.ErrNotInTransfer)
	l.is(e.m.AskState(l.id("A"), nil), clsv.ErrNotInTransfer)
	l.c.Slow("E", 0)
	l.until(func() bool { return e.last().IsServer(l.id("A")) })
	if v := e.last(); v.State != clsv.ServerXfer || !v.StartXfer {
		t.Error(v)
	}
	l.ok(e.m.XferDone())
}
