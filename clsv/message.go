package clsv

import (
	"encoding/binary"
	"slices"

	"maestro/wire"
)

// A message on the stack is of one of these kinds. Those of users:
//
//	bits 0-1 Kind | bits 2-3 Safety | bit 4 numbered | bit 5 listed
//
// and in front of their bytes, if numbered, the number (uvarint) that traces
// know them by, and if listed, their destinations: count and ranks, in
// increasing order, as uvarints. The others are this package's own.
const (
	kindNumbered = 1 << 4
	kindListed   = 1 << 5
	kindUser     = 1 << 6 // those below are users' messages

	kindStateMsg = 0x40 // of an exchange, to the coordinator
	kindViewMsg  = 0x41 // of an exchange, from the coordinator
	kindAsk      = 0x42 // AskState: transfer id (uvarint), request
	kindState    = 0x43 // SendState: transfer id (uvarint), state
	kindRequest  = 0x44 // to the coordinator: make a new view

	kindInstalled = 0x45 // to all: its sender has installed the view
)

// userKind is the kind of a user's message.
func userKind(k Kind, s Safety, numbered, listed bool) uint8 {
	return uint8(k) | uint8(s)<<2 | bit(numbered, kindNumbered) | bit(listed, kindListed)
}

// appendRanks appends a list of destinations.
func appendRanks(b []byte, ranks []int) []byte {
	b = binary.AppendUvarint(b, uint64(len(ranks)))
	for _, r := range ranks {
		b = binary.AppendUvarint(b, uint64(r))
	}
	return b
}

// ranksOf finds the members of a list in a view: their ranks in increasing
// order, each once. It appends to ranks[:0].
func ranksOf(v *View, list []Endpoint, ranks []int) []int {
	ranks = ranks[:0]
	for _, e := range list {
		if r := v.RankOf(e); r >= 0 {
			ranks = append(ranks, r)
		}
	}
	slices.Sort(ranks)
	return slices.Compact(ranks)
}

// userHead is what precedes the bytes of a user's message.
type userHead struct {
	kind   Kind
	safety Safety
	number uint64 // 0 if not numbered
	mine   bool   // this member's rank is in the list
}

// parse takes the head off a message and returns the bytes behind it; ok says
// that it was well formed. Me is this member's rank.
func (h *userHead) parse(kind uint8, data []byte, me int) (body []byte, ok bool) {
	*h = userHead{kind: Kind(kind & 3), safety: Safety(kind >> 2 & 3)}
	if h.safety > XferSafe {
		return nil, false
	}
	if kind&(kindNumbered|kindListed) == 0 {
		return data, true
	}
	c := cursor{b: data}
	if kind&kindNumbered != 0 {
		h.number = c.uvarint()
	}
	if kind&kindListed != 0 {
		n := c.uvarint()
		for ; n > 0 && n <= wire.MaxMembers && !c.bad; n-- {
			if c.uvarint() == uint64(me) && !c.bad {
				h.mine = true
			}
		}
		c.bad = c.bad || n > 0
	}
	return c.b, !c.bad
}

// appendNumber appends the number that traces know a message by.
func appendNumber(b []byte, n uint64) []byte { return binary.AppendUvarint(b, n) }
