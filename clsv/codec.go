package clsv

import (
	"encoding/binary"

	"maestro/wire"
)

// What this package adds to the membership protocol's messages: what a member
// says of itself (attr) and what the coordinator composed for a view (roles).
// Fixed-size integers are little endian, others uvarints.

// codecVersion begins both; a member of another version counts as a client.
const codecVersion = 2

// cursor takes values off the front of bytes. After the first one that is not
// there, bad stays set and every value reads as zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) fail() {
	c.bad = true
	c.b = nil
}

func (c *cursor) u8() byte {
	if len(c.b) == 0 {
		c.fail()
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

func (c *cursor) u64() uint64 {
	if len(c.b) < 8 {
		c.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(c.b)
	c.b = c.b[8:]
	return v
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

// list says in which of a view's three lists a member is.
type list uint8

const (
	inClients list = iota
	inXfer
	inServers
	inNone // in no view yet
)

// place is a member's place in a view.
type place struct {
	list list
	xfer Xfer // its transfer type
	// since is, in inXfer, the logical time of the view in which the transfer
	// began: the transfer's id.
	since uint64
}

// attr is what a member says of itself when a view ends.
type attr struct {
	role  Role
	place place // in the view that ends
	// done and expired say that the transfer of place is complete, or over its
	// deadline.
	done, expired bool
	// untold says that the view that ends had lost its sources, and that the
	// application will not hear of it, unless its view message is still to come.
	untold   bool
	idle     bool   // does not want to be a server for the time being
	progress uint64 // bytes of state received in this transfer
	// agreed and version say how old its state is: see Side.
	agreed, version uint64
	// kept is, of a server that has lost its place and does not know it yet,
	// since it has not accepted the view, the lineage of the state that it still
	// serves; unless the view message is still to come.
	kept uint64
}

// The bits of an attr's flags.
const (
	attrServer = 1 << iota
	attrDone
	attrExpired
	attrIdle
	attrKept
	attrUntold
)

func bit(b bool, mask byte) byte {
	if b {
		return mask
	}
	return 0
}

// append appends
//
//	version u8 | flags u8 | list + 4*xfer u8 | since | progress | agreed | version | kept
//
// the last if the flag is set.
func (a *attr) append(b []byte) []byte {
	b = append(b, codecVersion, bit(a.role == Server, attrServer)|bit(a.done, attrDone)|
		bit(a.expired, attrExpired)|bit(a.idle, attrIdle)|bit(a.kept != 0, attrKept)|
		bit(a.untold, attrUntold),
		byte(a.place.list)|byte(a.place.xfer)<<2)
	b = binary.AppendUvarint(b, a.place.since)
	b = binary.AppendUvarint(b, a.progress)
	b = binary.AppendUvarint(b, a.agreed)
	b = binary.AppendUvarint(b, a.version)
	if a.kept != 0 {
		b = binary.LittleEndian.AppendUint64(b, a.kept)
	}
	return b
}

// parse decodes what append wrote, and reports whether it could be.
func (a *attr) parse(b []byte) bool {
	c := cursor{b: b}
	v, flags, p := c.u8(), c.u8(), c.u8()
	*a = attr{done: flags&attrDone != 0, expired: flags&attrExpired != 0,
		idle: flags&attrIdle != 0, untold: flags&attrUntold != 0,
		place: place{list: list(p & 3), xfer: Xfer(p >> 2), since: c.uvarint()}}
	if flags&attrServer != 0 {
		a.role = Server
	}
	a.progress, a.agreed, a.version = c.uvarint(), c.uvarint(), c.uvarint()
	if flags&attrKept != 0 {
		a.kept = c.u64()
	}
	if c.bad || len(c.b) > 0 || v != codecVersion || a.place.xfer > AtomicXfer {
		*a = attr{}
		return false
	}
	return true
}

// roles are a view's lists, and what is known of its servers' state.
type roles struct {
	lost    bool   // sources were lost, see View.SourcesLost
	tainted bool   // the state was begun by somebody who had not got all of it
	joined  bool   // somebody joined
	merged  bool   // several views were merged
	lineage uint64 // names the state
	// agreed and version are of the state at the beginning of the view.
	agreed, version uint64
	places          []place
}

// The bits of roles' flags.
const (
	rolesLost = 1 << iota
	rolesTainted
	rolesJoined
	rolesMerged
)

// append appends
//
//	version u8 | flags u8 | lineage u64 | agreed | version | n | n * (list + 4*xfer u8)
//	| since, of each member that transfers
func (r *roles) append(b []byte) []byte {
	b = append(b, codecVersion, bit(r.lost, rolesLost)|bit(r.tainted, rolesTainted)|
		bit(r.joined, rolesJoined)|bit(r.merged, rolesMerged))
	b = binary.LittleEndian.AppendUint64(b, r.lineage)
	b = binary.AppendUvarint(b, r.agreed)
	b = binary.AppendUvarint(b, r.version)
	b = binary.AppendUvarint(b, uint64(len(r.places)))
	for _, p := range r.places {
		b = append(b, byte(p.list)|byte(p.xfer)<<2)
	}
	for _, p := range r.places {
		if p.list == inXfer {
			b = binary.AppendUvarint(b, p.since)
		}
	}
	return b
}

// parse decodes what append wrote for a view of n members, and reports whether
// it could be; if not, all are clients. With n < 0 any number will do.
func (r *roles) parse(b []byte, n int) bool {
	c := cursor{b: b}
	v, flags := c.u8(), c.u8()
	*r = roles{lost: flags&rolesLost != 0, tainted: flags&rolesTainted != 0,
		joined: flags&rolesJoined != 0, merged: flags&rolesMerged != 0,
		lineage: c.u64(), agreed: c.uvarint(), version: c.uvarint()}
	count := c.uvarint()
	if c.bad || v != codecVersion || count > wire.MaxMembers || n >= 0 && count != uint64(n) {
		*r = roles{places: make([]place, max(n, 0))}
		return false
	}
	r.places = make([]place, count)
	for i := range r.places {
		p := c.u8()
		r.places[i] = place{list: list(p & 3), xfer: Xfer(p >> 2)}
		if r.places[i].list == inNone || r.places[i].xfer > AtomicXfer {
			c.bad = true
		}
	}
	for i := range r.places {
		if r.places[i].list == inXfer {
			r.places[i].since = c.uvarint()
		}
	}
	if c.bad || len(c.b) > 0 {
		*r = roles{places: make([]place, max(n, 0))}
		return false
	}
	return true
}

// count is how many members are in a list.
func (r *roles) count(l list) int {
	n := 0
	for _, p := range r.places {
		if p.list == l {
			n++
		}
	}
	return n
}

// viewType is the strictest type of those that transfer.
func (r *roles) viewType() Xfer {
	t := NoXfer
	for _, p := range r.places {
		if p.list == inXfer {
			t = max(t, p.xfer)
		}
	}
	return t
}
