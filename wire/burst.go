package wire

import "encoding/binary"

// maxBurst bounds a burst by what UDP_SEGMENT takes.
const (
	maxBurstSegs  = 64
	maxBurstBytes = 65000
)

// Burst returns the next run of sealed unsent segments up to number limit as
// one piece of memory, each of seg bytes but the last, which may be shorter,
// and marks them sent. Their headers carry the stability mark low. first and last are
// their numbers; b is nil when there is nothing to send. It is good until the next
// Burst of a log of the same pool.
func (l *Log) Burst(limit, low uint64) (b []byte, seg int, first, last uint64) {
	first = l.sent + 1
	if first >= l.next || first > limit {
		return nil, 0, 0, 0
	}
	if l.gap > 0 {
		b, seg, last = l.spaced(first, limit, low)
		return b, seg, first, last
	}
	s := l.at(first)
	end := s.off
	b = l.pool.scratch()
	for q := first; q < l.next && q <= limit && q-first < maxBurstSegs; q++ {
		t := l.at(q)
		apart := t.buf != s.buf || t.off != end || t.len > s.len
		if apart || len(b)+HeaderLen+int(t.len) > maxBurstBytes && last > 0 {
			break
		}
		// Copied once more, but from cache to cache, which costs less than to have the
		// kernel gather headers and bodies.
		b = append(l.header(b, q, low), t.buf.B[t.off:t.off+t.len]...)
		end += t.len
		last = q
		if t.len < s.len {
			break
		}
	}
	l.sent = last
	return b, HeaderLen + int(s.len), first, last
}

// spaced is Burst of a spaced log: all that is left to do are the headers.
func (l *Log) spaced(first, limit, low uint64) (b []byte, seg int, last uint64) {
	s := l.at(first)
	begin, end := int(s.off)-HeaderLen, int(s.off)
	for q := first; q < l.next && q <= limit && q-first < maxBurstSegs; q++ {
		t := l.at(q)
		apart := t.buf != s.buf || int(t.off) != end || t.len > s.len
		if apart || int(t.off+t.len)-begin > maxBurstBytes && last > 0 {
			break
		}
		l.header(t.buf.B[t.off-HeaderLen:t.off-HeaderLen], q, low)
		end = int(t.off+t.len) + HeaderLen
		last = q
		if t.len < s.len {
			break
		}
	}
	l.sent = last
	return s.buf.B[begin : end-HeaderLen], HeaderLen + int(s.len), last
}

// header appends a segment's header.
func (l *Log) header(b []byte, seq, low uint64) []byte {
	b = append(b, l.head[:]...)
	h := b[len(b)-HeaderLen:]
	binary.LittleEndian.PutUint16(h[6:], uint16(min(seq-min(low, seq), 65535)))
	binary.LittleEndian.PutUint64(h[16:], seq)
	return b
}

// Run returns the bodies of segments that left in one burst, one after the other,
// part bytes each but the last, and the buffer that they lie in, in which the next ones may
// lie right behind them. They are borrowed until the segments are freed.
func (l *Log) Run(first, last uint64) (run []byte, part int, buf *Buf) {
	s, t := l.at(first), l.at(last)
	return s.buf.B[s.off : t.off+t.len], int(s.len), s.buf
}
