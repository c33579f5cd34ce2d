package trace

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"maestro/wire"
)

func ep(n string, inc uint64) wire.Endpoint { return wire.Endpoint{Name: n, Incarnation: inc} }

// sample is a trace with every kind of event and field.
func sample(n int) []Event {
	a, b := ep("a", 1<<40), ep("b", 7)
	v := &View{
		ID: wire.ViewID{Ltime: 9, Coord: a}, Members: []wire.Endpoint{a, b}, Primary: 3,
		ViewMsg: 5, ClSv: true, Servers: []wire.Endpoint{a}, XferServers: []wire.Endpoint{b},
		ViewType: AtomicXfer, ServerCoord: a, Lineage: 77, SourcesLost: true,
		Trans: []wire.Endpoint{b}, MemberChange: Change{New: []wire.Endpoint{a}},
		ServerChange: Change{Departed: []wire.Endpoint{b}}, OldServerCoord: b,
		ServerRank: -1, OldServerRank: 2, State: ServerXfer, OldState: Joining,
		StartXfer: true,
	}
	es := []Event{
		{Time: 5, P: b, Kind: Start, Role: Server, Xfer: AtomicXfer},
		{Time: 6, P: b, Kind: ViewEvent, View: v, AppState: 4},
		{Time: 7, P: b, Kind: Changing, View: v, Hash: 3},
		{Time: 7, P: b, Kind: Propose, View: v, Hash: 3, Count: 2},
		{Time: 8, P: b, Kind: Ask, Peer: a, XferID: 1, Hash: 9},
		{Time: 8, P: b, Kind: RcvState, Peer: a, XferID: 1, Hash: 9},
		{Time: 9, P: b, Kind: XferDone, XferID: 1},
		{Time: 9, P: b, Kind: Submit, Msg: MsgID{b, 1}, MsgKind: Lsend, Safety: XferSafe,
			Order: OrderSafe, Hash: 1, Dests: []wire.Endpoint{a, b}},
		{Time: 9, P: b, Kind: Send, Msg: MsgID{b, 1}, MsgKind: Pt2pt, Peer: a, Hash: 1},
		{Time: 3, P: a, Kind: Drop, Msg: MsgID{b, 1 << 63}},
		{Time: 9, P: b, Kind: Block}, {Time: 9, P: b, Kind: Exit},
		{Time: 11, P: a, Kind: Crash}, {Time: 11, P: a, Kind: Link, Peer: b, Up: true},
		{Time: 12, Kind: Heal, Dests: []wire.Endpoint{b}}, {Time: 12, P: a, Kind: Lost},
	}
	for i := range n {
		es = append(es, Event{Time: int64(1000 + 300*i), P: b, Kind: Deliver,
			Msg: MsgID{a, uint64(i)}, Safety: Generic, Hash: Hash([]byte{byte(i)})})
	}
	return es
}

func encode(t testing.TB, es []Event, closed bool) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	for i := range es {
		w.Record(&es[i])
	}
	err := w.Flush()
	if closed {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(b []byte) (es []Event, r *Reader, err error) {
	if r, err = NewReader(bytes.NewReader(b)); err != nil {
		return nil, nil, err
	}
	for {
		var e Event
		if err = r.Next(&e); err != nil {
			return es, r, err
		}
		es = append(es, e)
	}
}

func TestRoundTrip(t *testing.T) {
	want := sample(100)
	got, r, err := decode(encode(t, want, true))
	if !errors.Is(err, io.EOF) || !r.Complete() || r.Truncated() {
		t.Fatal(err, r.Complete(), r.Truncated())
	}
	if len(got) != len(want) {
		t.Fatalf("%d events of %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("event %d:\n got %+v\nwant %+v", i, got[i], want[i])
		}
		if want[i].String() == "" {
			t.Errorf("event %d prints nothing", i)
		}
	}
}

func TestLongRecord(t *testing.T) {
	var l []wire.Endpoint
	for i := range 70000 {
		l = append(l, ep("m", uint64(i%50)))
	}
	want := []Event{{Kind: Heal, Dests: l}}
	got, _, err := decode(encode(t, want, true))
	if !errors.Is(err, io.EOF) || !reflect.DeepEqual(got, want) {
		t.Fatal(err)
	}
	w := NewWriter(io.Discard)
	w.Record(&Event{Kind: Heal, Dests: slices.Repeat(l, 20)})
	if w.Flush() == nil || w.Close() == nil {
		t.Error("an event beyond the limit is not reported")
	}
}

// TestCut cuts a file at every place: what is whole is read, the cut reported.
func TestCut(t *testing.T) {
	file := encode(t, sample(20), false)
	n := 0
	for i := headerLen; i < len(file); i++ {
		got, r, err := decode(file[:i])
		if !errors.Is(err, io.EOF) || r.Complete() || len(got) < n {
			t.Fatalf("cut at %d: %v, %d events after %d", i, err, len(got), n)
		}
		n = len(got)
	}
	for i := range headerLen {
		if _, _, err := decode(file[:i]); !errors.Is(err, ErrFormat) {
			t.Errorf("header cut at %d: %v", i, err)
		}
	}
}

func TestDamage(t *testing.T) {
	file := encode(t, sample(20), true)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		b := slices.Clone(file)
		for range 1 + rng.IntN(3) {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
		if _, _, err := decode(b); !errors.Is(err, io.EOF) && !errors.Is(err, ErrFormat) {
			t.Fatal(err)
		}
	}
}

// TestKilled checks that what a view event ends is on disk without Close.
func TestKilled(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	es := sample(0)
	w.Record(&es[7])
	w.Record(&es[1])
	got, r, err := decode(b.Bytes())
	if len(got) != 2 || !errors.Is(err, io.EOF) || r.Complete() || r.Truncated() {
		t.Errorf("%d events, %v", len(got), err)
	}
}

func TestDeliverySize(t *testing.T) {
	n := 10000
	size := len(encode(t, sample(n), true)) - len(encode(t, sample(0), true))
	if per := float64(size) / float64(n); per > 24 {
		t.Errorf("a delivery takes %.1f bytes", per)
	} else {
		t.Logf("a delivery takes %.1f bytes", per)
	}
}

func TestRecordAllocs(t *testing.T) {
	w := NewWriter(io.Discard)
	e := Event{P: ep("b", 1), Kind: Deliver, Msg: MsgID{ep("a", 1), 0}, Hash: 99}
	if n := testing.AllocsPerRun(5000, func() {
		e.Msg.N++
		e.Time += 100
		w.Record(&e)
	}); n > 0 {
		t.Errorf("%v allocations for a delivery", n)
	}
}

func TestCreate(t *testing.T) {
	w, err := Create(t.TempDir() + "/x.trace")
	if err != nil {
		t.Fatal(err)
	}
	w.Record(&Event{Kind: Block})
	if err = w.Close(); err != nil {
		t.Fatal(err)
	}
	w.Record(&Event{Kind: Block})
	if err = w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err = Create(t.TempDir() + "/no/such/dir"); err == nil {
		t.Error("no error")
	}
}

func TestMerge(t *testing.T) {
	a, b := ep("a", 1), ep("b", 1)
	var la, lb, lh Log
	for i := range 10 { // b's clock is far behind a's
		la.Record(&Event{Time: int64(1000 + i), P: a, Kind: Send, Msg: MsgID{a, uint64(i)}})
		lb.Record(&Event{Time: int64(i), P: b, Kind: Deliver, Msg: MsgID{a, uint64(i)}})
	}
	lb.Record(&Event{Time: 11, P: b, Kind: Deliver, Msg: MsgID{ep("x", 1), 1}})
	lh.Record(&Event{Time: 1005, P: b, Kind: Crash})
	m, err := Merge(la.Source(), lb.Source(), Tee{&lh}[0].(*Log).Source())
	if err != nil {
		t.Fatal(err)
	}
	var got []Event
	sent := uint64(0)
	for {
		var e Event
		if err = m.Next(&e); err != nil {
			break
		}
		switch {
		case e.Kind == Send:
			sent++
		case e.Kind == Deliver && e.Msg.Origin == a && e.Msg.N >= sent:
			t.Errorf("%v before its transmission", e.Msg)
		case e.Kind == Crash && sent < 5:
			t.Errorf("crash after %d of the sends before it", sent)
		}
		got = append(got, e)
	}
	if len(got) != 22 || !errors.Is(err, io.EOF) {
		t.Errorf("%d events, %v", len(got), err)
	}
}

func TestNames(t *testing.T) {
	for k := range 256 {
		if k := Kind(k); k.Valid() == (k.String() == "?") {
			t.Errorf("kind %d: %s valid %t", k, k, k.Valid())
		}
	}
	if Scast.String() != "scast" || OrderSafe.String() != "safe" || Safe.String() != "safe" ||
		AtomicXfer.String() != "atomic" || Server.String() != "server" ||
		ServerNormal.String() != "server" || Xfer(9).String() != "?" {
		t.Error("names")
	}
}

func FuzzTraceFile(f *testing.F) {
	f.Add(encode(f, sample(5), true))
	f.Add(encode(f, sample(0), false)[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		es, _, err := decode(b)
		if err == nil {
			t.Fatal("no end")
		}
		size := 0
		for i := range es {
			_ = es[i].String()
			size += len(es[i].Dests)
		}
		if size > len(b) {
			t.Fatalf("%d destinations from %d bytes", size, len(b))
		}
		again, _, err := decode(encode(t, es, true))
		if !errors.Is(err, io.EOF) || len(again) != len(es) {
			t.Fatalf("%d events come back as %d: %v", len(es), len(again), err)
		}
	})
}

func BenchmarkWriter(b *testing.B) {
	w := NewWriter(io.Discard)
	e := Event{P: ep("b", 1), Kind: Deliver, Msg: MsgID{ep("a", 1), 0}, Hash: 99}
	for b.Loop() {
		e.Msg.N++
		e.Time += 100
		w.Record(&e)
	}
}

func BenchmarkReader(b *testing.B) {
	file := encode(b, sample(100000), true)
	for b.Loop() {
		r, _ := NewReader(bytes.NewReader(file))
		var e Event
		for r.Next(&e) == nil {
		}
	}
	b.ReportMetric(float64(b.N)*100000/b.Elapsed().Seconds(), "events/s")
}
