package wire

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// ErrMalformed is what every decoder returns for bytes that are not a message
// of its kind. A datagram that gives it is dropped and counted.
var ErrMalformed = errors.New("wire: malformed message")

// Limits on what a message may claim, checked before anything is allocated.
const (
	MaxMembers = 1024 // members of one view
	MaxStreams = 2 * MaxMembers
	MaxAttr    = 1 << 10 // bytes of one member's attributes
	MaxExtra   = 13 << 10
)

// writer appends fixed-order values; all integers are little-endian.
type writer []byte

func (w *writer) u8(v uint8)   { *w = append(*w, v) }
func (w *writer) u16(v uint16) { *w = binary.LittleEndian.AppendUint16(*w, v) }
func (w *writer) u32(v uint32) { *w = binary.LittleEndian.AppendUint32(*w, v) }
func (w *writer) u64(v uint64) { *w = binary.LittleEndian.AppendUint64(*w, v) }

func (w *writer) bool(v bool) {
	if v {
		w.u8(1)
	} else {
		w.u8(0)
	}
}

func (w *writer) bytes(b []byte) {
	w.u16(uint16(len(b)))
	*w = append(*w, b...)
}

func (w *writer) str(s string) {
	w.u16(uint16(len(s)))
	*w = append(*w, s...)
}

func (w *writer) endpoint(e Endpoint) {
	w.str(e.Name)
	w.u64(e.Incarnation)
}

func (w *writer) viewID(v ViewID) {
	w.u64(v.Ltime)
	w.endpoint(v.Coord)
}

// uvarint appends numbers that are mostly small.
func (w *writer) uvarint(v uint64) { *w = binary.AppendUvarint(*w, v) }

func (w *writer) addr(a netip.AddrPort) {
	w.bool(a.Addr().Is4())
	if a.Addr().Is4() {
		b := a.Addr().As4()
		*w = append(*w, b[:]...)
	} else {
		b := a.Addr().As16()
		*w = append(*w, b[:]...)
	}
	w.u16(a.Port())
}

func (w *writer) uvarints(v []uint64) {
	w.u16(uint16(len(v)))
	for _, x := range v {
		w.uvarint(x)
	}
}

func (w *writer) ranks(v []int) {
	w.u16(uint16(len(v)))
	for _, x := range v {
		w.u16(uint16(x))
	}
}

// reader takes values off the front of a message. After the first one that is
// not there or not allowed, bad stays set and every value reads as zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8 {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if v := r.take(2); v != nil {
		return binary.LittleEndian.Uint16(v)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if v := r.take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (r *reader) bool() bool {
	v := r.u8()
	if v > 1 {
		r.bad = true
	}
	return v == 1
}

// bytes copies, so that what was decoded does not pin a receive buffer.
func (r *reader) bytes(limit int) []byte {
	n := int(r.u16())
	if n > limit {
		r.bad = true
	}
	if n == 0 {
		return nil
	}
	return append([]byte(nil), r.take(n)...)
}

func (r *reader) str(limit int) string {
	n := int(r.u16())
	if n > limit {
		r.bad = true
	}
	return string(r.take(n))
}

func (r *reader) endpoint() Endpoint {
	return Endpoint{Name: r.str(MaxName), Incarnation: r.u64()}
}

func (r *reader) viewID() ViewID {
	return ViewID{Ltime: r.u64(), Coord: r.endpoint()}
}

// uvarint reads what writer.uvarint wrote: in one way only.
func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) addr() netip.AddrPort {
	var a netip.Addr
	if r.bool() {
		if v := r.take(4); v != nil {
			a = netip.AddrFrom4([4]byte(v))
		}
	} else if v := r.take(16); v != nil {
		a = netip.AddrFrom16([16]byte(v))
	}
	port := r.u16()
	if !a.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, port)
}

// count reads the length of a list whose items take at least size bytes each.
func (r *reader) count(limit, size int) int {
	n := int(r.u16())
	if n > limit || n*size > len(r.b) {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) uvarints() []uint64 {
	n := r.count(MaxStreams, 1)
	if n == 0 {
		return nil
	}
	v := make([]uint64, n)
	for i := range v {
		v[i] = r.uvarint()
	}
	return v
}

func (r *reader) ranks() []int {
	n := r.count(MaxMembers, 2)
	if n == 0 {
		return nil
	}
	v := make([]int, n)
	for i := range v {
		v[i] = int(r.u16())
		if v[i] >= MaxMembers || i > 0 && v[i] <= v[i-1] {
			r.bad = true
		}
	}
	return v
}

// end reports whether the message was well formed and used up.
func (r *reader) end() error {
	if r.bad || len(r.b) != 0 {
		return ErrMalformed
	}
	return nil
}
