package request

import (
	"bytes"
	"strings"
	"testing"

	"maestro/clsv"
	"maestro/clsv/once"
)

var peer = clsv.Endpoint{Name: "p", Incarnation: 3}

func headers() []header {
	return []header{
		{number: 1},
		{number: 1 << 60, servers: true},
		{number: 2, id: once.ID{Client: peer, Number: 9, Acked: 8, Base: 7}},
		{number: 300, servers: true, id: once.ID{Client: peer, Number: 1}},
		{reply: true, number: 1},
		{reply: true, number: 300, clock: 1 << 40},
		{reply: true, number: 3, err: &Error{}},
		{reply: true, number: 3, clock: 1, err: &Error{Type: "no funds"}},
	}
}

func TestHeader(t *testing.T) {
	for _, want := range headers() {
		b := append(want.append(nil), "data"...)
		var got header
		data, ok := got.parse(b, peer)
		if !ok || string(data) != "data" {
			t.Errorf("%+v: %q %v", want, data, ok)
		}
		if !bytes.Equal(append(got.append(nil), "data"...), b) || got.id != want.id ||
			(got.err == nil) != (want.err == nil) {
			t.Errorf("%+v, want %+v", got, want)
		}
		for n := range len(b) - len("data") {
			if _, ok := got.parse(b[:n], peer); ok {
				t.Errorf("%+v: %d bytes are enough", want, n)
			}
		}
	}
	long := header{reply: true, err: &Error{Type: Type(strings.Repeat("x", 300))}}
	var got header
	if _, ok := got.parse(long.append(nil), peer); !ok || len(got.err.Type) != maxType {
		t.Errorf("%+v", got)
	}
}

// FuzzMessage has a Dispatcher in a view take any messages.
func FuzzMessage(f *testing.F) {
	for _, h := range headers() {
		f.Add(uint8(0), append(h.append([]byte(DefaultPrefix)), "data"...))
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		served := 0
		d, err := New(Options{ServeLater: func(r *Request) {
			served++
			if r.ID.Number != 0 && r.ID.Client != peer {
				t.Errorf("%+v", r.ID)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		v := &clsv.View{State: clsv.ServerNormal}
		v.Me, v.Members, v.Servers = peer, []clsv.Endpoint{peer}, []clsv.Endpoint{peer}
		d.enter(v)
		own := d.own(peer, clsv.Kind(kind%4), b)
		if own != bytes.HasPrefix(b, []byte(DefaultPrefix)) {
			t.Error("not its own")
		}
		s := d.Stats()
		if own && s.Malformed+s.Late+uint64(served) != 1 || !own && s != (Stats{}) {
			t.Errorf("%+v, served %d", s, served)
		}
		var h header
		if _, ok := h.parse(b, peer); ok && h.reply == (served > 0) && own {
			t.Error("a reply was served")
		}
	})
}
