package wire_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"maestro/wire"
)

func TestHeader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.Uint8Range(1, uint8(wire.KindCount)-1).Draw(t, "kind")
		h := wire.Header{Kind: wire.Kind(kind),
			Flags: rapid.Uint8().Draw(t, "flags"), Sender: rapid.Uint16().Draw(t, "sender"),
			Low: rapid.Uint16().Draw(t, "low"), Conn: rapid.Uint64().Draw(t, "conn"),
			Seq: rapid.Uint64().Draw(t, "seq")}
		b := make([]byte, wire.HeaderLen, 100)
		h.Put(b)
		var g wire.Header
		if !g.Parse(b) || g != h {
			t.Fatalf("%+v became %+v", h, g)
		}
		if g.Parse(b[:wire.HeaderLen-1]) {
			t.Fatal("a short header was taken")
		}
		for i, bad := range map[int]byte{0: 0, 1: wire.Version + 1, 2: byte(wire.KindCount)} {
			c := bytes.Clone(b)
			if c[i] = bad; g.Parse(c) {
				t.Fatalf("byte %d = %d was taken", i, bad)
			}
		}
	})
}

// The names of kinds are in traces and metrics: each has its own.
func TestKindNames(t *testing.T) {
	seen := map[string]bool{"": true, "unknown": true}
	for k := range wire.KindCount {
		if seen[k.String()] {
			t.Errorf("kind %d is called %q", k, k)
		}
		seen[k.String()] = true
	}
	if wire.KindCount.String() != "unknown" {
		t.Error("there is one kind more")
	}
}

func TestIDs(t *testing.T) {
	a, b := wire.Endpoint{Name: "a", Incarnation: 2}, wire.Endpoint{Name: "b", Incarnation: 1}
	older := wire.Endpoint{Name: "a", Incarnation: 1}
	if a.Compare(b) >= 0 || a.Compare(older) <= 0 || a.Compare(a) != 0 {
		t.Error("endpoints are ordered by name, then age")
	}
	v, w := wire.ViewID{Ltime: 1, Coord: b}, wire.ViewID{Ltime: 2, Coord: a}
	if v.Compare(w) >= 0 || v.Compare(wire.ViewID{Ltime: 1, Coord: a}) <= 0 || v.Compare(v) != 0 {
		t.Error("views are ordered by time, then coordinator")
	}
	if v.String() != "1:b#0001" || (wire.ViewID{}).String() != "-" ||
		(wire.Endpoint{}).String() != "-" {
		t.Errorf("%v %v %v", v, wire.ViewID{}, wire.Endpoint{})
	}
	if v.IsZero() || a.IsZero() || !(wire.ViewID{}).IsZero() {
		t.Error("zero is nobody")
	}
}

// Every part of what a connection is makes another id.
func TestConnID(t *testing.T) {
	view := func(ltime uint64, name string, inc uint64) wire.ViewID {
		return wire.ViewID{Ltime: ltime, Coord: wire.Endpoint{Name: name, Incarnation: inc}}
	}
	v := view(1, "a", 1)
	seen := map[uint64]bool{}
	for _, id := range []uint64{
		wire.ConnID("g", 0, v, "s"),
		wire.ConnID("h", 0, v, "s"),
		wire.ConnID("g", 1, v, "s"),
		wire.ConnID("g", 0, view(2, "a", 1), "s"),
		wire.ConnID("g", 0, view(1, "b", 1), "s"),
		wire.ConnID("g", 0, view(1, "a", 2), "s"),
		wire.ConnID("g", 0, v, "t"),
		wire.ConnID("gs", 0, v, ""),
	} {
		if seen[id] {
			t.Errorf("%x twice", id)
		}
		seen[id] = true
	}
}
