package wire_test

import (
	"fmt"
	"net/netip"
	"testing"

	"maestro/wire"
)

// TestLargestDecision: what the bounds let into a decision is one datagram, also
// after a long life of its view, of which half has failed.
func TestLargestDecision(t *testing.T) {
	coord := wire.Endpoint{Name: "coordinator"}
	for _, streams := range []int{1, 2} { // of each member
		d := wire.Decision{Next: wire.View{ID: wire.ViewID{Coord: coord},
			Extra: make([]byte, wire.MaxExtra)}}
		n := 0
		for {
			m := wire.Member{ID: wire.Endpoint{Name: fmt.Sprint("member ", n)},
				Addr: netip.MustParseAddrPort("10.1.2.3:45678")}
			all := append(d.Next.Members, m, m)
			if n+2 > wire.MaxMembers || wire.MembersSize(all)+
				wire.PartySize(streams*(n+2), coord) > wire.MaxDecision {
				break
			}
			d.Next.Members = all
			n += 2
		}
		p := wire.Party{View: wire.ViewID{Coord: coord}}
		for s := range streams * n {
			if s < n/2 {
				p.Failed = append(p.Failed, s)
			}
			p.Cut = append(p.Cut, 1<<34) // 20 TB
			p.Holder = append(p.Holder, uint16(n-1))
		}
		d.Parties = []wire.Party{p}
		b := d.Append(nil)
		t.Logf("%d members: %d bytes", n, len(b))
		if most := 65507 - wire.HeaderLen; len(b) > most {
			t.Errorf("%d members: %d bytes, want at most %d", n, len(b), most)
		}
		var got wire.Decision
		if err := got.Parse(b); err != nil {
			t.Error(err)
		}
	}
}
