package wire

import "encoding/binary"

// frameMax is the longest frame header: one byte of kind, a length of up to
// five bytes. A frame header is never split across segments.
const frameMax = 1 + 5

// Pad is the kind of a frame that takes the rest of its segment, in zeros: there
// was no room for another.
const Pad = 0xFF

const never = -1 << 62 // a segment that has not been sent again

// segment is where one sealed segment lies.
type segment struct {
	buf *Buf
	off int32
	len int32
	at  int64 // when it was last sent again, for the duplicate filter
	who int   // to whom; -1: to all
}

// Log is the send log of one stream: messages are written into it once, framed
// and packed into segments with their headers, and it is what is transmitted
// from, what a NAK is answered from, and what stability frees.
//
//	 first        sent      next
//	   |            |         |
//	---+------------+---------+- - - -
//	freed  unstable   unsent   open segment
//
// Segments lie one after the other in pooled buffers, so that a run of them is
// contiguous memory and leaves by one GSO send. Finding a segment costs a ring
// index; a message costs its copy.
type Log struct {
	pool  *Pool
	hdr   Header // of every segment but for Seq and Low
	seg   int    // length of a full segment, header included
	first uint64 // oldest segment kept
	next  uint64 // the open segment
	sent  uint64 // last segment transmitted
	ring  []segment
	chunk *Buf // holds the open segment
	off   int  // where in chunk it begins
	fill  int  // its length so far, header included; 0: nothing in it
	bytes int  // sealed and not freed

	claimed int    // length of the claim, -1 if none
	scratch []byte // a claim that does not fit the open segment
}

// NewLog makes an empty log whose segments carry hdr's kind, sender and
// connection. seg is the length of a full segment in bytes, header included.
func NewLog(pool *Pool, hdr Header, seg int) *Log {
	return &Log{pool: pool, hdr: hdr, seg: seg, first: 1, next: 1, claimed: -1,
		ring: make([]segment, 16)}
}

// begin makes the open segment ready for the beginning of a message of n bytes.
// None is split for the sake of a segment's last bytes: to put it together again
// costs more than they do.
func (l *Log) begin(n int) {
	least := frameMax
	if 1+uvarintLen(uint64(n))+n > l.seg-l.fill {
		least = max(least, l.seg/16)
	}
	l.room(least)
}

// room makes the open segment ready for at least n more bytes.
func (l *Log) room(n int) {
	if l.fill > 0 && l.seg-l.fill < n {
		// Segments of one length make long bursts.
		if b := l.chunk.B[l.off+l.fill : l.off+l.seg]; len(b) > 0 {
			b[0] = Pad
			clear(b[1:])
		}
		l.fill = l.seg
		l.Seal()
	}
	if l.fill > 0 {
		return
	}
	if l.chunk != nil && l.off+l.seg > len(l.chunk.B) {
		l.chunk.Drop()
		l.chunk = nil
	}
	if l.chunk == nil {
		l.chunk, l.off = l.pool.Get(), 0
	}
	l.fill = HeaderLen
}

// frame starts a message of n bytes and returns with the open segment ready for
// its first byte.
func (l *Log) frame(kind uint8, n int) {
	l.begin(n)
	b := l.chunk.B[l.off+l.fill:]
	b[0] = kind
	l.fill += 1 + binary.PutUvarint(b[1:], uint64(n))
}

func (l *Log) write(data []byte) {
	for len(data) > 0 {
		l.room(1)
		n := copy(l.chunk.B[l.off+l.fill:l.off+l.seg], data)
		l.fill += n
		data = data[n:]
	}
}

// Append writes one message, the concatenation of head and data, and returns
// the number of the segment in which it ends. The log copies; the caller keeps
// its memory.
func (l *Log) Append(kind uint8, head, data []byte) uint64 {
	if n := len(head) + len(data); n < 0x80 && l.fill > 0 && l.fill+2+n <= l.seg {
		// The common case: a small message with room for it.
		at := l.off + l.fill
		b := l.chunk.B[at : at+2+n]
		b[0], b[1] = kind, byte(n)
		if b = b[2:]; len(head) > 0 {
			b = b[copy(b, head):]
		}
		copy(b, data)
		l.fill += 2 + n
		return l.next
	}
	l.frame(kind, len(head)+len(data))
	l.write(head)
	l.write(data)
	return l.next
}

// Claim returns room for a message of n bytes, to be filled in by the caller
// and sent by Commit. There is one claim at a time, and nothing else may be
// appended before it is committed or taken back with Unclaim. The room is in
// the log itself where the message fits the open segment.
func (l *Log) Claim(n int) []byte {
	l.begin(n)
	l.claimed = n
	at := l.fill + 1 + uvarintLen(uint64(n))
	if at+n <= l.seg {
		return l.chunk.B[l.off+at : l.off+at+n : l.off+at+n]
	}
	if cap(l.scratch) < n {
		l.scratch = make([]byte, n)
	}
	return l.scratch[:n]
}

// Unclaim gives a claim back unsent.
func (l *Log) Unclaim() { l.claimed = -1 }

// Commit appends the claimed message, cut to its first n bytes, and returns the
// number of the segment in which it ends.
func (l *Log) Commit(kind uint8, n int) uint64 {
	c := l.claimed
	l.claimed = -1
	l.begin(c)
	at := l.fill + 1 + uvarintLen(uint64(c))
	if at+c > l.seg {
		return l.Append(kind, nil, l.scratch[:n])
	}
	if uvarintLen(uint64(n)) == uvarintLen(uint64(c)) {
		l.frame(kind, n)
		l.fill += n
		return l.next
	}
	// A shorter length would move the message: write it anew.
	body := append(l.scratch[:0], l.chunk.B[l.off+at:l.off+at+n]...)
	l.scratch = body[:cap(body)]
	return l.Append(kind, nil, body)
}

// Claimed reports whether a claim is open.
func (l *Log) Claimed() bool { return l.claimed >= 0 }

func uvarintLen(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}

// Seal closes the open segment, if there is anything in it.
func (l *Log) Seal() {
	if l.fill <= HeaderLen {
		l.fill = 0 // an empty claim
		return
	}
	if l.next-l.first >= uint64(len(l.ring)) {
		l.grow()
	}
	h := l.hdr
	h.Seq = l.next
	h.Put(l.chunk.B[l.off:])
	l.chunk.Keep()
	*l.at(l.next) = segment{buf: l.chunk, off: int32(l.off), len: int32(l.fill), at: never}
	l.bytes += l.fill
	l.off += l.fill
	l.fill = 0
	l.next++
}

func (l *Log) grow() {
	ring := make([]segment, 2*len(l.ring))
	for s := l.first; s < l.next; s++ {
		ring[s&uint64(len(ring)-1)] = l.ring[s&uint64(len(l.ring)-1)]
	}
	l.ring = ring
}

func (l *Log) at(seq uint64) *segment { return &l.ring[seq&uint64(len(l.ring)-1)] }

// maxBurst bounds a burst by what UDP_SEGMENT takes.
const (
	maxBurstSegs  = 64
	maxBurstBytes = 65000
)

// Burst returns the next run of sealed unsent segments up to number limit as
// one piece of memory, each of seg bytes but the last, which may be shorter,
// and marks them sent. It stamps the stability mark low into their headers.
// first and last are their numbers; b is nil when there is nothing to send.
func (l *Log) Burst(limit, low uint64) (b []byte, seg int, first, last uint64) {
	first = l.sent + 1
	if first >= l.next || first > limit {
		return nil, 0, 0, 0
	}
	s := l.at(first)
	start, end := s.off, s.off
	seg = int(s.len)
	for q := first; q < l.next && q <= limit && q-first < maxBurstSegs; q++ {
		t := l.at(q)
		apart := t.buf != s.buf || t.off != end || int(t.len) > seg
		if apart || int(end-start)+int(t.len) > maxBurstBytes {
			break
		}
		binary.LittleEndian.PutUint16(t.buf.B[t.off+6:], uint16(min(q-min(low, q), 65535)))
		end += t.len
		last = q
		if int(t.len) < seg {
			break
		}
	}
	l.sent = last
	return s.buf.B[start:end], seg, first, last
}

// Segment returns the whole datagram of a sealed segment that has not been
// freed, or nil. It is borrowed until the segment is freed.
func (l *Log) Segment(seq uint64) []byte {
	if seq < l.first || seq >= l.next {
		return nil
	}
	s := l.at(seq)
	return s.buf.B[s.off : s.off+s.len]
}

// Holder returns the buffer that a segment lies in, for those who keep it.
func (l *Log) Holder(seq uint64) *Buf { return l.at(seq).buf }

// Again tells how to send a segment again to who, who asks for it at time now:
// not when that was done less than gap ago (times in nanoseconds), to all when
// somebody else has asked for it in that time, else to who alone. It notes what
// it told.
func (l *Log) Again(seq uint64, now, gap int64, who int) (send, all bool) {
	s := l.at(seq)
	if s.at != never && now-s.at < gap {
		if s.who == who || s.who < 0 {
			return false, false
		}
		who = -1
	}
	s.at, s.who = now, who
	return true, who < 0
}

// Free gives up all segments up to number upto.
func (l *Log) Free(upto uint64) {
	for l.first <= upto && l.first <= l.sent {
		s := l.at(l.first)
		l.bytes -= int(s.len)
		s.buf.Drop()
		s.buf = nil
		l.first++
	}
}

// Close gives up everything, sent or not.
func (l *Log) Close() {
	l.fill = 0
	l.sent = l.next - 1
	l.Free(l.sent)
	if l.chunk != nil {
		l.chunk.Drop()
		l.chunk = nil
	}
}

// First is the number of the oldest segment kept.
func (l *Log) First() uint64 { return l.first }

// Open is the number of the segment in which the last message ends, sealed or
// not, 0 if there is none.
func (l *Log) Open() uint64 {
	if l.fill > HeaderLen {
		return l.next
	}
	return l.next - 1
}

// Last is the number of the last sealed segment, 0 if there is none.
func (l *Log) Last() uint64 { return l.next - 1 }

// Sent is the number of the last segment transmitted.
func (l *Log) Sent() uint64 { return l.sent }

// Pending reports whether anything waits to be transmitted.
func (l *Log) Pending() bool { return l.sent+1 < l.next || l.fill > HeaderLen }

// Whole reports whether a whole buffer's worth of segments, the longest burst,
// is ready to be transmitted while the next one is being filled.
func (l *Log) Whole() bool { return l.sent+1 < l.next && l.at(l.sent+1).buf != l.chunk }

// Bytes is what the log holds, sent or not.
func (l *Log) Bytes() int { return l.bytes + l.fill }

// Unsent is the number of sealed bytes that wait to be transmitted, at most.
func (l *Log) Unsent() int { return int(l.next-1-l.sent)*l.seg + l.fill }

// SegmentSize is the length of a full segment, header included.
func (l *Log) SegmentSize() int { return l.seg }
