package wire

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
)

// MaxName is the longest name of an endpoint or a group, in bytes.
const MaxName = 64

// Endpoint identifies one life of one member. A process that is started again
// under the same name gets a fresh incarnation and is a different endpoint, so
// that nothing addressed to or sent by its former life can be mistaken for it.
type Endpoint struct {
	Name        string // chosen by the user, at most MaxName bytes
	Incarnation uint64 // chosen at start; larger is later among equal names
}

// Compare orders endpoints by name and, among equal names, by age.
func (e Endpoint) Compare(o Endpoint) int {
	if c := cmp.Compare(e.Name, o.Name); c != 0 {
		return c
	}
	return cmp.Compare(e.Incarnation, o.Incarnation)
}

// IsZero reports whether e names nobody.
func (e Endpoint) IsZero() bool { return e == Endpoint{} }

// String is the name with enough of the incarnation to tell two lives apart.
func (e Endpoint) String() string {
	if e.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%s#%04x", e.Name, uint16(e.Incarnation))
}

// ViewID names a view. Ids are ordered by logical time and then by the
// coordinator that made the view; a member installs views in increasing order.
type ViewID struct {
	Ltime uint64
	Coord Endpoint
}

// Compare orders view ids lexicographically by (Ltime, Coord).
func (v ViewID) Compare(o ViewID) int {
	if c := cmp.Compare(v.Ltime, o.Ltime); c != 0 {
		return c
	}
	return v.Coord.Compare(o.Coord)
}

// IsZero reports whether v names no view.
func (v ViewID) IsZero() bool { return v == ViewID{} }

// String prints the id as logical time and coordinator.
func (v ViewID) String() string {
	if v.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%d:%s", v.Ltime, v.Coord)
}

// ConnID is what every datagram of one view of one group carries: a hash of
// group name, key epoch, view id, stack and protocol version. One comparison
// recognises a datagram of another view, another group or another version.
func ConnID(group string, keyEpoch uint32, view ViewID, stack string) uint64 {
	h := fnv.New64a()
	var b [8]byte
	num := func(x uint64) {
		binary.LittleEndian.PutUint64(b[:], x)
		h.Write(b[:])
	}
	str := func(s string) {
		num(uint64(len(s)))
		h.Write([]byte(s))
	}
	num(Version)
	str(group)
	num(uint64(keyEpoch))
	num(view.Ltime)
	str(view.Coord.Name)
	num(view.Coord.Incarnation)
	str(stack)
	return h.Sum64()
}
