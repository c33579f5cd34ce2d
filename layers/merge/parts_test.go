package merge

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"

	"maestro/stack"
	"maestro/wire"
)

// TestParts puts a request together that is longer than a datagram, from parts that
// come twice and in another order.
func TestParts(t *testing.T) {
	m := &wire.Merge{Party: wire.Party{View: wire.ViewID{Ltime: 3, Coord: wire.Endpoint{Name: "a"}},
		Cut: make([]uint64, 300), Holder: make([]uint16, 300)}, Extra: []byte("x")}
	for i := range 300 {
		m.Members = append(m.Members, wire.Member{ID: wire.Endpoint{Name: fmt.Sprint("m", i)},
			Addr: netip.MustParseAddrPort("10.0.0.1:7"), Attr: make([]byte, wire.MaxAttr-i)})
		m.Ranks = append(m.Ranks, i)
	}
	parts := split(m)
	if len(parts) < 5 {
		t.Fatalf("%d parts", len(parts))
	}
	l, d := &layer{}, &stack.Datagram{From: m.Members[0].Addr}
	var got *wire.Merge
	for round := range 2 {
		for i := range parts {
			b := parts[(i*3+1)%len(parts)]
			if len(b) > maxPart {
				t.Fatalf("a part of %d bytes", len(b))
			}
			if round == 0 && i == 2 {
				continue // lost
			}
			var p wire.Merge
			if err := p.Parse(b); err != nil {
				t.Fatal(err)
			}
			if whole := l.whole(d, &p); whole != nil {
				got = whole
			}
		}
		if (got != nil) != (round == 1) {
			t.Fatalf("round %d: %v", round, got != nil)
		}
	}
	if !reflect.DeepEqual(got, m) {
		t.Errorf("got %d members, ranks %v", len(got.Members), got.Ranks)
	}
	for i := range 2 * maxParts { // of requests that are never complete few are kept
		m.Party.Round = uint32(i + 7)
		var p wire.Merge
		if err := p.Parse(split(m)[0]); err != nil {
			t.Fatal(err)
		}
		l.whole(d, &p)
	}
	if len(l.partial) != maxParts {
		t.Errorf("%d incomplete requests are kept", len(l.partial))
	}
}
