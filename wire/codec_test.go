package wire_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"maestro/wire"
)

var update = flag.Bool("update", false, "write testdata/codecs.txt anew")

// codec is a control message.
type codec interface {
	Append(b []byte) []byte
	Parse(b []byte) error
}

// codecs are all control messages: an empty one and an example of each.
var codecs = []struct {
	name    string
	empty   func() codec
	example codec
}{
	{"block", func() codec { return new(wire.Block) },
		&wire.Block{Round: 7, Failed: []int{1, 300}}},
	{"flushok", func() codec { return new(wire.FlushOk) }, &wire.FlushOk{Round: 2, Leaving: true,
		Exchange: true, Recv: []uint64{1, 2, 3}, Failed: []int{2}, Attr: []byte("attr")}},
	{"decision", func() codec { return new(wire.Decision) }, &wire.Decision{
		Parties: []wire.Party{exampleParty(3), exampleParty(1)},
		Next: wire.View{ID: exampleView(9), Members: exampleMembers(), Exchange: true,
			Primary: true, Extra: []byte("extra")}}},
	{"presence", func() codec { return new(wire.Presence) }, &wire.Presence{View: exampleView(4),
		From: exampleMembers()[0], Members: 2, Private: true, Weight: []byte{1, 2}, Hushed: true}},
	{"merge", func() codec { return new(wire.Merge) }, &wire.Merge{Target: exampleView(5),
		Party: exampleParty(2), Members: exampleMembers(), Ranks: []int{0, 1}, Exchange: true,
		Private: true, Extra: []byte("extra")}},
	{"viewref", func() codec { return new(wire.ViewRef) }, &wire.ViewRef{View: exampleView(4),
		Now: exampleView(5), Members: []wire.Endpoint{exampleMembers()[0].ID}}},
	{"ranks", func() codec { return new(wire.Ranks) }, &wire.Ranks{Ranks: []int{0, 5, 9}}},
	{"nak", func() codec { return new(wire.Nak) }, &wire.Nak{Stream: 3,
		Spans: []wire.Span{{From: 1, To: 1}, {From: 4, To: 99}}}},
	{"ack", func() codec { return new(wire.Ack) }, &wire.Ack{Stream: 2, Received: 9, Consumed: 8,
		Drops: 7}},
	{"mark", func() codec { return new(wire.Mark) }, &wire.Mark{Stream: 4, Sent: 9, Stable: 8,
		Core: 7, Window: 6}},
}

func exampleView(n uint64) wire.ViewID {
	return wire.ViewID{Ltime: n, Coord: wire.Endpoint{Name: "a", Incarnation: 0x0102030405060708}}
}

func exampleMembers() []wire.Member {
	return []wire.Member{
		{ID: wire.Endpoint{Name: "a", Incarnation: 1},
			Addr:    netip.MustParseAddrPort("10.0.0.1:7000"),
			RecvBuf: 212992, Attr: []byte("x")},
		{ID: wire.Endpoint{Name: "bc", Incarnation: 2},
			Addr: netip.MustParseAddrPort("[2001:db8::1]:80")},
	}
}

func exampleParty(round uint32) wire.Party {
	return wire.Party{View: exampleView(3), Round: round, By: 1, Failed: []int{2},
		Cut: []uint64{5, 6, 7}, Holder: []uint16{0, 1, 1}}
}

// The bytes of every message are fixed. If this fails, the format has changed:
// members of both versions do not understand each other, so Version has to
// change as well, and docs have to tell.
func TestGoldenBytes(t *testing.T) {
	var b strings.Builder
	h := wire.Header{Kind: wire.KindNak, Flags: 1, Sender: 2, Low: 3, Conn: 4, Seq: 5}
	raw := make([]byte, wire.HeaderLen)
	h.Put(raw)
	fmt.Fprintf(&b, "version %d\nheader\n%s", wire.Version, hex.Dump(raw))
	for _, c := range codecs {
		fmt.Fprintf(&b, "%s\n%s", c.name, hex.Dump(c.example.Append(nil)))
	}
	const name = "testdata/codecs.txt"
	if *update {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil || string(want) != b.String() {
		t.Errorf("the wire format has changed (%v):\n%s", err, b.String())
	}
}

// Whatever is cut off or added, a message is not what it was.
func TestTruncated(t *testing.T) {
	for _, c := range codecs {
		b := c.example.Append(nil)
		for n := range len(b) {
			if c.empty().Parse(b[:n]) == nil {
				t.Errorf("%s: the first %d of %d bytes are taken", c.name, n, len(b))
			}
		}
		if c.empty().Parse(append(b, 0)) == nil {
			t.Errorf("%s: one byte more is taken", c.name)
		}
	}
}

// Values that no member sends are refused.
func TestRefused(t *testing.T) {
	two := exampleMembers()
	long := wire.ViewID{Coord: wire.Endpoint{Name: strings.Repeat("x", wire.MaxName+1)}}
	uneven := wire.Party{Cut: []uint64{1}}
	for name, m := range map[string]codec{
		"ranks that do not increase": &wire.Ranks{Ranks: []int{2, 2}},
		"rank too large":             &wire.Ranks{Ranks: []int{wire.MaxMembers}},
		"span from 0":                &wire.Nak{Spans: []wire.Span{{From: 0, To: 1}}},
		"span backwards":             &wire.Nak{Spans: []wire.Span{{From: 2, To: 1}}},
		"too many spans":             &wire.Nak{Spans: make([]wire.Span, wire.MaxSpans+1)},
		"decision without parties":   &wire.Decision{},
		"merge without members":      &wire.Merge{},
		"merge without ranks":        &wire.Merge{Members: two, Ranks: []int{0}},
		"merge of no more":           &wire.Merge{Members: two, Ranks: []int{0, 1}, Of: 2},
		"cut and holders differ":     &wire.Merge{Party: uneven, Members: two, Ranks: []int{0, 1}},
		"name too long":              &wire.Presence{View: long},
		"attributes too long":        &wire.FlushOk{Attr: make([]byte, wire.MaxAttr+1)},
		"too many received":          &wire.FlushOk{Recv: make([]uint64, wire.MaxStreams+1)},
	} {
		if m.Parse(m.Append(nil)) == nil {
			t.Errorf("%s: taken", name)
		}
	}
	b := codecs[0].example.Append(nil)
	b[4] = 0xFF // a list that claims more than is there
	if codecs[0].empty().Parse(b) == nil {
		t.Error("a count without its values is taken")
	}
}

// Generators of messages.

var (
	genName = rapid.StringMatching(`[a-z]{0,64}`)
	genAddr = rapid.Custom(func(t *rapid.T) netip.AddrPort {
		port := rapid.Uint16().Draw(t, "port")
		if rapid.Bool().Draw(t, "v4") {
			a := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "addr"))
			return netip.AddrPortFrom(netip.AddrFrom4(a), port)
		}
		a := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "addr"))
		return netip.AddrPortFrom(netip.AddrFrom16(a), port)
	})
	genRanks = rapid.Custom(func(t *rapid.T) []int {
		var v []int
		for r := -1; len(v) < 20; {
			r += rapid.IntRange(1, 60).Draw(t, "step")
			if r >= wire.MaxMembers || rapid.IntRange(0, 5).Draw(t, "more") == 0 {
				break
			}
			v = append(v, r)
		}
		return v
	})
	genBytes   = rapid.SliceOfN(rapid.Byte(), 0, 100)
	genNumbers = rapid.SliceOfN(rapid.Uint64(), 0, 40)
)

func genEndpoint(t *rapid.T) wire.Endpoint {
	return wire.Endpoint{Name: genName.Draw(t, "name"), Incarnation: rapid.Uint64().Draw(t, "inc")}
}

func genView(t *rapid.T) wire.ViewID {
	return wire.ViewID{Ltime: rapid.Uint64().Draw(t, "ltime"), Coord: genEndpoint(t)}
}

func genMember(t *rapid.T) wire.Member {
	return wire.Member{ID: genEndpoint(t), Addr: genAddr.Draw(t, "addr"),
		RecvBuf: rapid.Uint32().Draw(t, "recvbuf"), Attr: genBytes.Draw(t, "attr")}
}

func genParty(t *rapid.T) wire.Party {
	p := wire.Party{View: genView(t), Round: rapid.Uint32().Draw(t, "round"),
		By: rapid.Uint16().Draw(t, "by"), Failed: genRanks.Draw(t, "failed"),
		Cut: genNumbers.Draw(t, "cut")}
	for range p.Cut {
		p.Holder = append(p.Holder, rapid.Uint16().Draw(t, "holder"))
	}
	return p
}

// fill draws the fields of a message.
func fill(t *rapid.T, c codec) {
	members := rapid.SliceOfN(rapid.Custom(genMember), 1, 5)
	b := rapid.Bool()
	switch m := c.(type) {
	case *wire.Block:
		*m = wire.Block{Round: rapid.Uint32().Draw(t, "round"), Failed: genRanks.Draw(t, "failed")}
	case *wire.FlushOk:
		*m = wire.FlushOk{Round: rapid.Uint32().Draw(t, "round"), Leaving: b.Draw(t, "leaving"),
			Exchange: b.Draw(t, "exchange"), Recv: genNumbers.Draw(t, "recv"),
			Failed: genRanks.Draw(t, "failed"), Attr: genBytes.Draw(t, "attr")}
	case *wire.Decision:
		*m = wire.Decision{Parties: rapid.SliceOfN(rapid.Custom(genParty), 1, 5).Draw(t, "parties"),
			Next: wire.View{ID: genView(t), Members: members.Draw(t, "members"),
				Exchange: b.Draw(t, "exchange"), Primary: b.Draw(t, "primary"),
				Extra: genBytes.Draw(t, "extra")}}
	case *wire.Presence:
		*m = wire.Presence{View: genView(t), From: genMember(t),
			Members: rapid.Uint16().Draw(t, "members"), Private: b.Draw(t, "private"),
			Weight: genBytes.Draw(t, "weight"), Hushed: b.Draw(t, "hushed")}
	case *wire.Merge:
		*m = wire.Merge{Target: genView(t), Party: genParty(t), Members: members.Draw(t, "members"),
			Exchange: b.Draw(t, "exchange"), Private: b.Draw(t, "private"),
			Extra: genBytes.Draw(t, "extra")}
		for r := range m.Members {
			m.Ranks = append(m.Ranks, 3*r)
		}
		if b.Draw(t, "part") {
			m.Of = uint16(len(m.Members)) + rapid.Uint16Range(1, 9).Draw(t, "of")
		}
	case *wire.ViewRef:
		*m = wire.ViewRef{View: genView(t), Now: genView(t),
			Members: rapid.SliceOfN(rapid.Custom(genEndpoint), 0, 9).Draw(t, "members")}
	case *wire.Ranks:
		m.Ranks = genRanks.Draw(t, "ranks")
	case *wire.Nak:
		m.Stream = int(rapid.Uint16().Draw(t, "stream"))
		for _, r := range genRanks.Draw(t, "spans") {
			m.Spans = append(m.Spans, wire.Span{From: uint64(r) + 1, To: uint64(r) + 9})
		}
	case *wire.Ack:
		*m = wire.Ack{Stream: int(rapid.Uint16().Draw(t, "stream")),
			Received: rapid.Uint64().Draw(t, "received"),
			Consumed: rapid.Uint64().Draw(t, "consumed"), Drops: rapid.Uint64().Draw(t, "drops")}
	case *wire.Mark:
		*m = wire.Mark{Stream: int(rapid.Uint16().Draw(t, "stream")),
			Sent:   rapid.Uint64().Draw(t, "sent"),
			Stable: rapid.Uint64().Draw(t, "stable"),
			Core:   rapid.Uint64().Draw(t, "core"),
			Window: rapid.Uint32().Draw(t, "window")}
	default:
		t.Fatalf("no generator for %T", m)
	}
}

// What is encoded is decoded to the same, behind whatever stands before it.
func TestRoundTrip(t *testing.T) {
	for _, c := range codecs {
		t.Run(c.name, rapid.MakeCheck(func(t *rapid.T) {
			sent, got := c.empty(), c.empty()
			fill(t, sent)
			b := sent.Append([]byte("prefix"))
			if !bytes.HasPrefix(b, []byte("prefix")) {
				t.Fatal("what stood there is gone")
			}
			b = b[len("prefix"):]
			if err := got.Parse(b); err != nil {
				t.Fatalf("%+v: %v", sent, err)
			}
			// Printed, nil and empty lists are the same, as they are on the wire.
			if s, g := fmt.Sprintf("%+v", sent), fmt.Sprintf("%+v", got); s != g {
				t.Fatalf("%s became %s", s, g)
			}
			if !bytes.Equal(got.Append(nil), b) {
				t.Fatal("it is not encoded in the same way again")
			}
		}))
	}
}
