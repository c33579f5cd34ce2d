package wire

import "encoding/binary"

const (
	never = -1 << 62 // a segment that has not been sent again
	// whole is the length from which on a message is not split between two buffers:
	// it would have to be put together where it is received. Shorter ones leave too
	// much of buffers unused, and make short bursts.
	whole = 48 << 10
	// manyBytes is what a buffer for messages longer than a burst holds at least.
	manyBytes = 256 << 10
	// pieceBytes is what is copied at a time: from 1 MiB on the runtime would write past
	// the cache, from which it is to be transmitted.
	pieceBytes = 64 << 10
)

// segment is where the body of one sealed segment lies.
type segment struct {
	buf *Buf
	off int32
	len int32
	at  int64 // when it was last sent again, for the duplicate filter
	who int   // to whom; -1: to all
}

// Log is the send log of one stream: messages are written into it once, framed
// and packed into segments, and it is what is transmitted from, what a NAK is
// answered from, and what stability frees.
//
//	 first        sent      next
//	   |            |         |
//	---+------------+---------+- - - -
//	freed  unstable   unsent   open segment
//
// Segments lie one after the other in pooled buffers, without their headers, which
// are made when they leave. So a buffer is a piece of the stream, in which messages
// lie whole, and a run of segments leaves by one GSO send. Finding a segment costs a
// ring index; a message costs its copy.
type Log struct {
	pool  *Pool
	head  [HeaderLen]byte // of segments, but for Seq and Low
	part  int             // length of a full segment's body
	gap   int             // before each body, for its header; 0 where bodies lie in one piece
	first uint64          // oldest segment kept
	next  uint64          // the open segment
	sent  uint64          // last segment transmitted
	ring  []segment
	chunk *Buf // holds the open segment
	limit int  // how much of chunk is used; 0 without one
	off   int  // where in chunk the open segment begins
	fill  int  // its length so far, at most part
	bytes int  // sealed and not freed

	claimed int // length of the claim, -1 if none
	place   int // where in chunk its frame begins
}

// NewLog makes an empty log whose segments carry hdr's kind, sender and
// connection. seg is the length of a full segment in bytes, header included.
func NewLog(pool *Pool, hdr Header, seg int) *Log {
	l := &Log{pool: pool, part: seg - HeaderLen, first: 1, next: 1, claimed: -1,
		ring: make([]segment, 16)}
	hdr.Seq, hdr.Low = 0, 0
	hdr.Put(l.head[:])
	return l
}

// NewSpacedLog makes a log whose segments lie in its buffers as they are transmitted,
// headers included: a burst leaves from where it was written. Its messages do not lie
// whole: there is no Run and no Claim of it.
func NewSpacedLog(pool *Pool, hdr Header, seg int) *Log {
	l := NewLog(pool, hdr, seg)
	l.gap = HeaderLen
	return l
}

// turn goes on to another buffer, with room for n bytes at least.
func (l *Log) turn(n int) {
	l.Seal()
	if l.chunk != nil {
		l.chunk.Drop()
	}
	body := max(l.capacity(), (n+l.part-1)/l.part*l.part)
	l.limit = body + (body+l.part-1)/l.part*l.gap
	l.chunk, l.off = l.pool.Large(l.limit), l.gap
}

// left is how much of a message still fits the buffer.
func (l *Log) left() int {
	if l.gap == 0 || l.chunk == nil {
		return l.limit - l.off - l.fill
	}
	return max(l.limit-l.off+l.gap, 0)/(l.part+l.gap)*l.part - l.fill
}

// capacity is how much of a buffer is used but for messages that are longer: as many
// full segments as make a burst.
func (l *Log) capacity() int {
	n := min(maxBurstBytes/(HeaderLen+l.part), maxBurstSegs)
	return min(max(n, 1)*l.part, BufSize)
}

// several is how much room is made for a message that takes n bytes: where it needs a
// large buffer, for as many more like it as make few buffers and long bursts.
func (l *Log) several(n int) int {
	if n <= l.capacity() {
		return n
	}
	return (manyBytes + n - 1) / n * n
}

func (l *Log) write(data []byte) {
	if l.gap > 0 {
		l.writeSpaced(data)
		return
	}
	for len(data) > 0 {
		end := l.off + l.fill
		if end == l.limit || l.fill == 0 && l.off+l.part > l.limit {
			l.turn(0)
			continue
		}
		n := copy(l.chunk.B[end:min(l.limit, end+pieceBytes)], data)
		l.grew(n)
		data = data[n:]
	}
}

// writeSpaced leaves room for headers.
func (l *Log) writeSpaced(data []byte) {
	for len(data) > 0 {
		if l.fill == l.part {
			l.seal(l.part)
		}
		if l.fill == 0 && l.off+l.part > l.limit {
			l.turn(0)
		}
		n := copy(l.chunk.B[l.off+l.fill:l.off+l.part], data)
		l.fill += n
		data = data[n:]
	}
}

// grew notes that n bytes have been written behind the open segment's, and closes
// segments that are full while there is more.
func (l *Log) grew(n int) {
	l.fill += n
	for l.fill > l.part {
		l.seal(l.part)
	}
}

// Append writes one message, the concatenation of head and data, and returns
// the number of the segment in which it ends. The log copies; the caller keeps
// its memory.
func (l *Log) Append(kind uint8, head, data []byte) uint64 {
	n := len(head) + len(data)
	if at := l.off + l.fill; n < 0x80 && at+2+n <= l.limit &&
		(l.gap == 0 || l.fill > 0 && l.fill+2+n <= l.part) {
		// The common case: a small message with room for it.
		b := l.chunk.B[at : at+2+n]
		b[0], b[1] = kind, byte(n)
		if b = b[2:]; len(head) > 0 {
			b = b[copy(b, head):]
		}
		copy(b, data)
		if l.fill += 2 + n; l.fill > l.part {
			l.grew(0)
		}
		return l.next
	}
	var frame [FrameHeadMax]byte
	frame[0] = kind
	size := 1 + binary.PutUvarint(frame[1:], uint64(n))
	if n >= whole && l.left() < size+n {
		l.turn(l.several(size + n))
	}
	l.write(frame[:size])
	l.write(head)
	l.write(data)
	return l.next
}

// Claim returns room for a message of n bytes in the log, to be filled in by the
// caller and sent by Commit. There is one claim at a time, and nothing else may be
// appended before it is committed or taken back with Unclaim.
func (l *Log) Claim(n int) []byte {
	l.claimed = n
	size := 1 + uvarintLen(uint64(n)) + n
	if l.off+l.fill+size > l.limit {
		l.turn(l.several(size))
	}
	l.place = l.off + l.fill
	return l.chunk.B[l.place+size-n : l.place+size : l.place+size]
}

// Unclaim gives a claim back unsent.
func (l *Log) Unclaim() { l.claimed = -1 }

// Commit appends the claimed message, cut to its first n bytes, and returns the
// number of the segment in which it ends.
func (l *Log) Commit(kind uint8, n int) uint64 {
	c := l.claimed
	l.claimed = -1
	b := l.chunk.B[l.place:]
	was, head := 1+uvarintLen(uint64(c)), 1+uvarintLen(uint64(n))
	if head != was { // a shorter length moves the message
		copy(b[head:], b[was:was+n])
	}
	b[0] = kind
	binary.PutUvarint(b[1:], uint64(n))
	l.grew(head + n)
	return l.next
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
	if l.fill > 0 {
		l.seal(l.fill)
	}
}

// seal closes the open segment with its first n bytes; what follows them is the
// next one's.
func (l *Log) seal(n int) {
	if l.next-l.first >= uint64(len(l.ring)) {
		l.grow()
	}
	l.chunk.Keep()
	*l.at(l.next) = segment{buf: l.chunk, off: int32(l.off), len: int32(n), at: never}
	l.bytes += n
	l.off += n + l.gap
	l.fill -= n
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

// Body returns the body of a sealed segment that has not been freed, or nil. It is
// borrowed until the segment is freed.
func (l *Log) Body(seq uint64) []byte {
	if seq < l.first || seq >= l.next {
		return nil
	}
	s := l.at(seq)
	return s.buf.B[s.off : s.off+s.len]
}

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
		l.chunk, l.off, l.limit = nil, 0, 0
	}
}

// First is the number of the oldest segment kept.
func (l *Log) First() uint64 { return l.first }

// Open is the number of the segment in which the last message ends, sealed or
// not, 0 if there is none.
func (l *Log) Open() uint64 {
	if l.fill > 0 {
		return l.next
	}
	return l.next - 1
}

// Last is the number of the last sealed segment, 0 if there is none.
func (l *Log) Last() uint64 { return l.next - 1 }

// Sent is the number of the last segment transmitted.
func (l *Log) Sent() uint64 { return l.sent }

// Pending reports whether anything waits to be transmitted.
func (l *Log) Pending() bool { return l.sent+1 < l.next || l.fill > 0 }

// Whole reports whether a whole buffer's worth of segments, the longest burst,
// is ready to be transmitted while the next one is being filled.
func (l *Log) Whole() bool {
	n := int(l.next - 1 - l.sent)
	return n > 0 && (l.at(l.sent+1).buf != l.chunk || l.Bursts(1))
}

// Bursts reports whether as many of the longest bursts are ready to be transmitted.
func (l *Log) Bursts(n int) bool { return int(l.next-1-l.sent)*l.part >= n*l.capacity() }

// More says of what is transmitted from now on that more follows at once, or not.
func (l *Log) More(on bool) {
	l.head[3] &^= FlagMore
	if on {
		l.head[3] |= FlagMore
	}
}

// Bytes is what the log holds, sent or not, without headers.
func (l *Log) Bytes() int { return l.bytes + l.fill }

// Unsent is the number of sealed bytes that wait to be transmitted, at most.
func (l *Log) Unsent() int { return int(l.next-1-l.sent)*l.part + l.fill }
