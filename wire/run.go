package wire

import "encoding/binary"

// Run is datagrams that came together, with their headers apart, so that a message
// which goes on from one datagram to the next lies in one piece.
type Run struct {
	Heads []byte // HeaderLen bytes for each datagram
	Body  []byte // Part bytes for each but the last, which may be shorter
	Part  int
}

// Split takes the headers of datagrams off, which lie one after the other in b, each
// of seg bytes but the last. The headers are appended to heads, and what is left
// closes up in b. A last datagram that is shorter than a header is left out; seg must
// be more than HeaderLen.
func Split(b []byte, seg int, heads []byte) Run {
	r := Run{Heads: heads, Part: seg - HeaderLen}
	at := 0
	for rest := b; len(rest) >= HeaderLen; rest = rest[min(seg, len(rest)):] {
		r.Heads = append(r.Heads, rest[:HeaderLen]...)
		at += copy(b[at:], rest[HeaderLen:min(seg, len(rest))])
	}
	r.Body = b[:at:at]
	return r
}

// Len is how many datagrams there are.
func (r *Run) Len() int { return len(r.Heads) / HeaderLen }

// Head is the header of a datagram.
func (r *Run) Head(i int) []byte { return r.Heads[i*HeaderLen : (i+1)*HeaderLen] }

// Bodies is what follows the headers of the datagrams from number i up to number end.
func (r *Run) Bodies(i, end int) []byte {
	return r.Body[min(i*r.Part, len(r.Body)):min(end*r.Part, len(r.Body))]
}

// Follow is how many of the datagrams after number i continue its stream, each the
// next segment of the one before, as stable as that.
func (r *Run) Follow(i int) (n int) {
	const low = 48 // bits before Header.Low
	le := binary.LittleEndian
	h := r.Head(i)
	mark, conn, seq := le.Uint64(h), le.Uint64(h[8:]), le.Uint64(h[16:])
	for i++; i < r.Len(); i++ {
		if mark>>low < 0xFFFF {
			mark += 1 << low
		}
		h, seq = r.Head(i), seq+1
		if le.Uint64(h) != mark || le.Uint64(h[8:]) != conn || le.Uint64(h[16:]) != seq {
			break
		}
		n++
	}
	return n
}
