package prim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/clsv/csx"
	"maestro/clsv/prim"
)

// journal is a server above package csx that sees primary views only.
type journal struct {
	csx.NopHandler
	t       *testing.T
	m       *csx.Member
	v       *prim.Views
	Lines   []string
	views   int
	blocked bool
	dropped [][]string // what it had when it was told that it would be lost
	got     int        // transfers of the state
}

func (j *journal) Block() { j.blocked = true }

func (j *journal) AcceptedView(v *clsv.View, _ []byte) {
	if !v.Primary || len(v.XferServers) > 0 || v.State != clsv.ServerNormal {
		j.t.Errorf("%s is shown %v", v.Me, v)
	}
	j.views++
	j.blocked = false
}

func (j *journal) ReceiveCast(_ clsv.Endpoint, msg []byte) {
	if j.views == 0 || !j.v.Inside() {
		j.t.Errorf("%s outside of primary views", msg)
	}
	j.Lines = append(j.Lines, string(msg))
}

func (j *journal) Degraded(clsv.Degraded) { j.dropped = append(j.dropped, slices.Clone(j.Lines)) }

func (j *journal) Snapshot(*clsv.View) io.WriterTo {
	b, _ := json.Marshal(j.Lines)
	return bytes.NewReader(b)
}

func (j *journal) StateTransfer(ctx context.Context, x *csx.Transfer) {
	err := x.Load(ctx, func(r io.Reader) error {
		j.Lines = nil
		return json.NewDecoder(r).Decode(&j.Lines)
	})
	if err == nil {
		j.got++
		_ = x.Done()
	}
}

// ledger is servers A, B, C, ... of package csx.
type ledger struct {
	*testing.T
	c *clsvtest.Cluster
	j map[string]*journal
}

func newLedger(t *testing.T, seed uint64, quorum int, names ...string) *ledger {
	l := &ledger{T: t, c: clsvtest.New(seed), j: map[string]*journal{}}
	t.Cleanup(func() {
		if err := l.c.Close(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	})
	for _, n := range names {
		j := &journal{t: t}
		o := csx.Options{Hold: true, Handler: j}
		o.Group, o.Name, o.Trace, o.Role, o.Xfer = "test", n, l.c, clsv.Server, clsv.FreeXfer
		o.Total, o.Quorum = true, quorum
		var err error
		if j.v, err = prim.WrapCSX(&o); err != nil {
			t.Fatal(err)
		}
		if j.m, err = csx.NewMember(o, l.c); err != nil {
			t.Fatal(err)
		}
		l.j[n] = j
		if err := j.m.StartJoin(); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// whole waits until all are in one primary view.
func (l *ledger) whole() {
	l.Helper()
	ok := l.c.Wait(10*time.Second, func() bool {
		for _, j := range l.j {
			if v := j.v.View(); v == nil || !j.v.Inside() || len(v.Members) != len(l.j) {
				return false
			}
		}
		return true
	})
	if !ok {
		l.Fatal("no primary view of all")
	}
	l.c.Run(100 * ms)
}

func (l *ledger) cast(name, msg string) clsv.SendView {
	l.Helper()
	sv, err := l.j[name].m.TryCast([]byte(msg))
	if err != nil {
		l.Error(err)
	}
	return sv
}

func (l *ledger) expect(name string, want ...string) {
	l.Helper()
	if got := l.j[name].Lines; !slices.Equal(got, want) {
		l.Errorf("%s has %q, want %q", name, got, want)
	}
}

// TestCSX has a minority try to write: it cannot, gets the state of the primary
// partition when they meet, and what it wanted to write comes then.
func TestCSX(t *testing.T) {
	l := newLedger(t, 1, 2, "A", "B", "C")
	l.whole()
	l.cast("C", "before")
	l.c.Run(100 * ms)
	was := l.j["C"].got
	l.c.Partition([]string{"A", "B"}, []string{"C"})
	l.c.Run(2 * time.Second)
	if j := l.j["C"]; j.v.Inside() || !j.blocked || j.m.View().Primary {
		t.Error("the minority is primary")
	}
	if sv := l.cast("C", "of C"); !sv.Next {
		t.Error("the minority can write")
	}
	l.cast("A", "of A")
	l.c.Run(100 * ms)
	l.expect("A", "before", "of A")
	l.expect("B", "before", "of A")
	l.expect("C", "before")
	l.c.Heal()
	l.whole()
	for n := range l.j {
		l.expect(n, "before", "of A", "of C")
	}
	if j := l.j["C"]; j.got != was+1 || len(j.dropped) != 1 {
		t.Errorf("C got the state %d times, and was told %d times that it loses its own",
			j.got-was, len(j.dropped))
	}
}

func TestCSXOptions(t *testing.T) {
	if _, err := prim.WrapCSX(&csx.Options{}); !errors.Is(err, clsv.ErrOptions) {
		t.Error(err)
	}
	o := csx.Options{}
	o.Quorum = 2
	if _, err := prim.WrapCSX(&o); err != nil || o.Handler == nil || !o.PrimaryOnly {
		t.Error(err, o)
	}
}

// TestCSXRandom splits at random while all write: in the end all have the same,
// each line of those that could be sent once, in the order of its writer.
func TestCSXRandom(t *testing.T) {
	names := []string{"A", "B", "C", "D", "E"}
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		l := newLedger(t, seed, 3, names...)
		l.whole()
		n := 0
		for range 8 {
			parts := make([][]string, 2)
			for _, name := range names {
				i := rnd.IntN(2)
				parts[i] = append(parts[i], name)
			}
			l.c.Partition(parts...)
			for range 20 {
				n++
				l.cast(names[rnd.IntN(5)], fmt.Sprint(n))
				l.c.Run(time.Duration(rnd.IntN(60)) * ms)
			}
			l.c.Heal()
			l.c.Run(time.Duration(rnd.IntN(1500)) * ms)
		}
		l.whole()
		l.equal(seed, n)
	}
}

// equal checks that all have the same lines, once, out of those up to n.
func (l *ledger) equal(seed uint64, n int) {
	l.Helper()
	first := l.j["A"].Lines
	for name, j := range l.j {
		if !slices.Equal(first, j.Lines) {
			l.Errorf("seed %d: A has %q\n%s has %q", seed, first, name, j.Lines)
		}
	}
	lines := slices.Sorted(slices.Values(first))
	// A line of the last moments before a partition may be lost with its view.
	if once := slices.Compact(slices.Clone(lines)); len(once) != len(lines) || len(once) < n*3/4 {
		l.Errorf("seed %d: %d lines, %d different, of %d", seed, len(lines), len(once), n)
	}
}

// optional is all that an application may be beside its Handler.
type optional struct {
	journal
	told int
}

func (o *optional) StateHash() uint64                             { return 7 }
func (o *optional) Replay(*clsv.View)                             { o.told++ }
func (o *optional) ChangingView(*clsv.View) []byte                { o.told++; return nil }
func (o *optional) ProposeView(*clsv.View, [][]byte) (msg []byte) { o.told++; return nil }

// TestCSXOptional: WrapCSX hides nothing of what the application is.
func TestCSXOptional(t *testing.T) {
	a := &optional{}
	o := csx.Options{Handler: a}
	o.Quorum = 1
	if _, err := prim.WrapCSX(&o); err != nil {
		t.Fatal(err)
	}
	v := &clsv.View{}
	v.Primary = true
	o.Handler.(csx.Replayer).Replay(v)
	o.Handler.(clsv.Exchanger).ChangingView(v)
	o.Handler.(clsv.Exchanger).ProposeView(v, nil)
	if h := o.Handler.(clsv.StateHasher).StateHash(); h != 7 || a.told != 3 {
		t.Error(h, a.told)
	}
	o.Handler = csx.NopHandler{}
	_, _ = prim.WrapCSX(&o)
	if _, ok := o.Handler.(clsv.Exchanger); ok {
		t.Error("exchanges messages for nobody")
	}
}
