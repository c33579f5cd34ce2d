package trace

import (
	"encoding/binary"

	"maestro/wire"
)

// decoder takes one record apart. After the first thing that cannot be, bad is
// set and everything else is zero.
type decoder struct {
	b   []byte
	r   *Reader
	bad bool
}

func (d *decoder) fail() {
	d.bad = true
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) fixed() uint64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	x := binary.BigEndian.Uint64(d.b)
	d.b = d.b[8:]
	return x
}

func (d *decoder) uvarint() uint64 {
	x, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) varint() int64 {
	x, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return x
}

// ref is the number of a defined endpoint.
func (d *decoder) ref() uint64 {
	n := d.uvarint()
	if n >= uint64(len(d.r.ends)) {
		d.fail()
		return 0
	}
	return n
}

func (d *decoder) end() wire.Endpoint { return d.r.ends[d.ref()] }

// list reads a list into l. Every element takes a byte at least, which bounds
// what is allocated.
func (d *decoder) list(l []wire.Endpoint) []wire.Endpoint {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	if n == 0 {
		return l[:0]
	}
	if uint64(cap(l)) < n {
		l = make([]wire.Endpoint, 0, n)
	}
	l = l[:0]
	for ; n > 0; n-- {
		l = append(l, d.end())
	}
	return l
}

// event fills e from the record.
func (d *decoder) event(e *Event) {
	r := d.r
	*e = Event{Dests: e.Dests[:0], P: r.p}
	e.Kind = Kind(d.byte())
	m := d.byte()
	if !e.Kind.Valid() || m&^(kindFields(e.Kind)|hasP) != 0 {
		d.fail()
		return
	}
	r.time += d.varint()
	e.Time = r.time
	if m&hasP != 0 {
		e.P = d.end()
		r.p = e.P
	}
	if m&hasMsg != 0 {
		o := d.ref()
		r.last[o] += uint64(d.varint())
		e.Msg = MsgID{Origin: r.ends[o], N: r.last[o]}
	}
	if m&hasAttr != 0 {
		a := d.byte()
		e.MsgKind, e.Order, e.Safety = MsgKind(a&3), Order(a>>2&7), Safety(a>>5&3)
	}
	if m&hasHash != 0 {
		e.Hash = d.fixed()
	}
	if m&hasDests != 0 {
		e.Dests = d.list(e.Dests)
	}
	if m&hasPeer != 0 {
		e.Peer = d.end()
	}
	if m&hasView != 0 {
		e.View = d.view()
	}
	if m&hasExtra != 0 {
		x := d.byte()
		e.Role, e.Xfer, e.Up = Role(x&1), Xfer(x>>1&3), x&8 != 0
		e.XferID, e.Count, e.AppState = d.uvarint(), d.uvarint(), d.fixed()
	}
}

func (d *decoder) view() *View {
	v := &View{}
	v.ID.Ltime, v.ID.Coord = d.uvarint(), d.end()
	v.Primary, v.ViewMsg, v.Lineage = d.uvarint(), d.fixed(), d.fixed()
	v.ViewType, v.State, v.OldState = Xfer(d.byte()), State(d.byte()), State(d.byte())
	f := d.byte()
	v.ClSv, v.SourcesLost, v.StartXfer =
		f&viewClSv != 0, f&viewSourcesLost != 0, f&viewStartXfer != 0
	v.ServerCoord, v.OldServerCoord = d.end(), d.end()
	v.ServerRank, v.OldServerRank = int(d.varint()), int(d.varint())
	for _, l := range v.lists() {
		*l = d.list(nil)
		if d.bad {
			return nil
		}
	}
	return v
}
