package trace

import (
	"encoding/binary"
	"errors"

	"maestro/wire"
)

// The file:
//
//	magic "mtrace"  version uint16      big endian, as every fixed-size field
//	record*         uvarint length, body
//
// The first byte of a body is a Kind, or
//
//	0     definition of the next endpoint: uvarint incarnation, name
//	255   end: the writer was closed, nothing is missing
//
// An event's body goes on with a mask of the fields that follow in this order:
// time since the last event (always), endpoint P if it is not that of the last
// event, message, attributes, hash, destinations, peer, view, extras. Endpoints
// are numbers of definitions, from 1; message numbers are differences to the
// last number of the same origin. A delivery takes 15 to 20 bytes.
const (
	magic     = "mtrace"
	version   = 1
	headerLen = len(magic) + 2

	bodyDefine = 0
	bodyEnd    = 255

	// maxRecord bounds a record, and with it what a reader has to hold.
	maxRecord = 1 << 20
)

// The bits of an event's mask.
const (
	hasP = 1 << iota
	hasMsg
	hasAttr
	hasHash
	hasDests
	hasPeer
	hasView
	hasExtra
)

// The bits of a view's flags.
const (
	viewClSv = 1 << iota
	viewSourcesLost
	viewStartXfer
)

// ErrFormat is the error of a file that is not a trace, or is damaged before
// its end.
var ErrFormat = errors.New("trace: malformed file")

// kindFields is the mask of the fields that kind k can have.
func kindFields(k Kind) byte {
	switch k {
	case Submit, Send, Deliver:
		return hasMsg | hasAttr | hasHash | hasDests | hasPeer | hasExtra
	case Drop, Stable:
		return hasMsg
	case ViewEvent:
		return hasView | hasExtra
	case Changing, Propose:
		return hasView | hasHash | hasExtra
	case Ask, AskCb, SendState, RcvState:
		return hasHash | hasPeer | hasExtra
	case Start, XferDone:
		return hasExtra
	case Link:
		return hasPeer | hasExtra
	case Heal:
		return hasDests
	}
	return 0
}

// lists are the lists of a view, in file order.
func (v *View) lists() [13]*[]wire.Endpoint {
	return [...]*[]wire.Endpoint{
		&v.Members, &v.Servers, &v.XferServers, &v.Clients, &v.Trans,
		&v.MemberChange.New, &v.MemberChange.Departed,
		&v.ServerChange.New, &v.ServerChange.Departed,
		&v.XferChange.New, &v.XferChange.Departed,
		&v.ClientChange.New, &v.ClientChange.Departed,
	}
}

// appendHeader appends the head of a file to b.
func appendHeader(b []byte) []byte {
	return binary.BigEndian.AppendUint16(append(b, magic...), version)
}
