package wire

import "encoding/binary"

// Version is the version of the wire protocol. Datagrams of another version
// are dropped and counted.
const Version = 4

// Magic is the first byte of every datagram.
const Magic = 0x4D

// HeaderLen is the length of the clear header of every datagram, in bytes.
const HeaderLen = 24

// TagLen is the room that an authenticated group's datagrams keep at their end
// for the authentication tag (FlagSealed).
const TagLen = 16

// FlagSealed says that the datagram ends in an authentication tag.
const FlagSealed = 1 << 0

// FlagMore says of a segment that more of its stream follows at once, and that the window
// is wide: whoever receives it may take its time to look for the rest.
const FlagMore = 1 << 1

// Kind says what a datagram carries.
type Kind uint8

// The kinds of datagrams. Data and control share one header.
const (
	KindNone     Kind = iota
	KindCast          // a segment of the sender's multicast stream
	KindCore          // a segment of the sender's core stream
	KindRepair        // a multicast segment sent again, possibly by another holder
	KindNak           // the gaps of one multicast stream
	KindAnnounce      // how far the sender's multicast stream goes
	KindAck           // how far a receiver has got in one multicast stream
	KindSend          // a segment of a point-to-point stream
	KindSendNak       // the gaps of a point-to-point stream
	KindSendAck       // how far a point-to-point stream has been received
	KindSendMark      // how far a point-to-point stream goes
	KindHeartbeat
	KindProbe
	KindSuspect
	KindLeave
	KindBlock
	KindFlushOk
	KindDecision
	KindDecided
	KindPresence
	KindMerge
	KindMergeDeny
	KindQuery
	KindExcluded
	KindCount
)

var kindNames = [KindCount]string{
	"none", "cast", "core", "repair", "nak", "announce", "ack", "send", "sendnak", "sendack",
	"sendmark", "heartbeat", "probe", "suspect", "leave", "block", "flushok", "decision",
	"decided", "presence", "merge", "mergedeny", "query", "excluded",
}

// Segments reports whether datagrams of the kind are the segments of one stream, in
// the order of Seq.
func (k Kind) Segments() bool { return k == KindCast || k == KindCore || k == KindSend }

// Within reports whether datagrams of the kind are for members of the sender's view
// only, and for no stranger.
func (k Kind) Within() bool { return k < KindDecision }

// String is the kind's name as it appears in traces and metrics.
func (k Kind) String() string {
	if k < KindCount {
		return kindNames[k]
	}
	return "unknown"
}

// Header is the clear header of a datagram:
//
//	 0      1        2     3      4        6      8            16           24
//	+------+--------+-----+------+--------+------+------------+------------+---
//	| 0x4D | version| kind| flags| sender |  low |   conn id  |     seq    | body
//	+------+--------+-----+------+--------+------+------------+------------+---
//
// All integers are little-endian. Sender is the sender's rank in the view that
// the connection id names. Low is, in a segment of a multicast stream, how far
// behind Seq the stream is stable (65535: that far or farther), and in one that
// is sent again the number of its stream.
//
// Multicast streams of a view of n members are numbered: s < n is the stream of
// rank s to all, n + s its stream to the view's core.
type Header struct {
	Kind   Kind
	Flags  uint8
	Sender uint16
	Low    uint16
	Conn   uint64
	Seq    uint64
}

// Put writes the header into the first HeaderLen bytes of b.
func (h *Header) Put(b []byte) {
	_ = b[HeaderLen-1]
	b[0] = Magic
	b[1] = Version
	b[2] = byte(h.Kind)
	b[3] = h.Flags
	binary.LittleEndian.PutUint16(b[4:], h.Sender)
	binary.LittleEndian.PutUint16(b[6:], h.Low)
	binary.LittleEndian.PutUint64(b[8:], h.Conn)
	binary.LittleEndian.PutUint64(b[16:], h.Seq)
}

// Append appends the header to b.
func (h *Header) Append(b []byte) []byte {
	var head [HeaderLen]byte
	h.Put(head[:])
	return append(b, head[:]...)
}

// MoreOf reads FlagMore of a datagram that has not been looked at, and reports whether it
// claims to be a segment of a stream.
func MoreOf(b []byte) (more, stream bool) {
	if len(b) < HeaderLen || b[0] != Magic {
		return false, false
	}
	k := Kind(b[2])
	return b[3]&FlagMore != 0, k.Segments()
}

// ConnOf is the connection id of a datagram that begins with a header.
func ConnOf(b []byte) uint64 { return binary.LittleEndian.Uint64(b[8:]) }

// Parse reads a header from the start of a datagram. It reports false when the
// datagram is too short, or not of this protocol and version.
func (h *Header) Parse(b []byte) bool {
	if len(b) < HeaderLen || b[0] != Magic || b[1] != Version {
		return false
	}
	h.Kind = Kind(b[2])
	h.Flags = b[3]
	h.Sender = binary.LittleEndian.Uint16(b[4:])
	h.Low = binary.LittleEndian.Uint16(b[6:])
	h.Conn = binary.LittleEndian.Uint64(b[8:])
	h.Seq = binary.LittleEndian.Uint64(b[16:])
	return h.Kind > KindNone && h.Kind < KindCount
}
