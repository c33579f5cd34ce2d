package udp

import (
	"net/netip"

	"maestro/wire"
)

// smallRecv is the length in bytes below which what was received is copied into
// the arena, so that a message that is kept does not pin a whole buffer.
const smallRecv = 16 << 10

// arena is the buffer that small packets share. Each packet given out holds one
// reference, the arena itself one more until the buffer is full.
type arena struct {
	buf *wire.Buf
	off int // always a multiple of 8
}

// put copies b and gives the copy with a reference to its buffer. b must not be
// longer than wire.BufSize.
func (a *arena) put(pool *wire.Pool, b []byte) (*wire.Buf, []byte) {
	if a.buf == nil || len(a.buf.B)-a.off < len(b) {
		a.release()
		a.buf, a.off = pool.Get(), 0
	}
	data := a.buf.B[a.off : a.off+len(b) : a.off+len(b)]
	copy(data, b)
	a.off = min((a.off+len(b)+7)&^7, len(a.buf.B))
	a.buf.Keep()
	return a.buf, data
}

// release gives the arena's own reference back.
func (a *arena) release() {
	if a.buf != nil {
		a.buf.Drop()
		a.buf = nil
	}
}

// refused is the addresses that answered with ICMP port unreachable and that the
// loop has not asked for yet: a short queue without repetitions. When it is full
// the newest are forgotten; the next probe brings them back.
type refused struct {
	q []netip.AddrPort
}

const maxRefused = 256

func (r *refused) push(a netip.AddrPort) {
	if len(r.q) == maxRefused {
		return
	}
	for _, x := range r.q {
		if x == a {
			return
		}
	}
	r.q = append(r.q, a)
}

func (r *refused) pop() (netip.AddrPort, bool) {
	if len(r.q) == 0 {
		return netip.AddrPort{}, false
	}
	a := r.q[0]
	r.q = r.q[:copy(r.q, r.q[1:])]
	return a, true
}
