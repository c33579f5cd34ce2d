package wire

// slot is one received segment.
type slot struct {
	buf  *Buf
	body []byte // the segment without its header
}

// Window holds the segments received of one stream until they are stable:
//
//	 first       read        next          high
//	   |           |           |             |
//	---+-----------+-----------+---x--xx-----+---
//	freed  passed up   in order    with gaps
//
// Insert and Next cost a ring index each, whatever the order of arrival. The
// ring grows to the span that is in use, at most limit segments.
type Window struct {
	first uint64 // oldest segment kept
	read  uint64 // next segment to pass up
	next  uint64 // lowest segment not received
	high  uint64 // highest segment known to exist
	limit uint64
	ring  []slot
	bytes int
}

// NewWindow makes an empty window that spans at most limit segments.
func NewWindow(limit int) *Window {
	return &Window{first: 1, read: 1, next: 1, limit: uint64(limit), ring: make([]slot, 16)}
}

func (w *Window) at(seq uint64) *slot { return &w.ring[seq&uint64(len(w.ring)-1)] }

// Insert keeps the segments from number seq on whose bodies are run, part bytes each
// but the last, and returns how many of them were new. It takes references of its
// own. What is already there, freed, or beyond the limit is not kept.
func (w *Window) Insert(seq uint64, buf *Buf, run []byte, part int) (kept int) {
	for {
		n := len(run)
		if part > 0 {
			n = min(part, n)
		}
		if w.insert(seq, buf, run[:n]) {
			kept++
		}
		if run = run[n:]; len(run) == 0 {
			return kept
		}
		seq++
	}
}

func (w *Window) insert(seq uint64, buf *Buf, body []byte) bool {
	if seq < w.next || seq-w.first >= w.limit {
		return false
	}
	for seq-w.first >= uint64(len(w.ring)) {
		w.grow()
	}
	s := w.at(seq)
	if s.buf != nil {
		return false
	}
	buf.Keep()
	*s = slot{buf, body}
	w.bytes += len(body)
	if seq > w.high {
		w.high = seq
	}
	if seq != w.next {
		return true
	}
	w.next++
	for w.next <= w.high && w.at(w.next).buf != nil {
		w.next++
	}
	return true
}

func (w *Window) grow() {
	ring := make([]slot, 2*len(w.ring))
	for s := w.first; s <= w.high && s-w.first < uint64(len(w.ring)); s++ {
		ring[s&uint64(len(ring)-1)] = *w.at(s)
	}
	w.ring = ring
}

// Saw notes that the stream reaches at least to seq, and reports whether that
// was news. What lies beyond the limit is not asked for until there is room.
func (w *Window) Saw(seq uint64) bool {
	if seq <= w.high {
		return false
	}
	w.high = min(seq, w.first+w.limit-1)
	for w.high-w.first >= uint64(len(w.ring)) {
		w.grow()
	}
	return true
}

// Read returns the next segments in order up to number limit, as far as they lie in
// one piece of memory, and moves on; ok is false when there is none. Their bodies are
// run, part bytes each but the last, which is number last. They stay kept until they
// are freed.
func (w *Window) Read(limit uint64) (last uint64, buf *Buf, run []byte, part int, ok bool) {
	if w.read >= w.next || w.read > limit {
		return 0, nil, nil, 0, false
	}
	s := w.at(w.read)
	run, part = s.body, len(s.body)
	for n := part; w.read+1 < w.next && w.read < limit && n == part; w.read++ {
		t := w.at(w.read + 1)
		if n = len(t.body); n > part || !Follows(run, t.body) {
			break
		}
		run = run[:len(run)+n]
	}
	w.read++
	return w.read - 1, s.buf, run, part, true
}

// Follows reports whether b lies right behind a, in one piece with it.
func Follows(a, b []byte) bool {
	return len(b) > 0 && cap(a)-len(a) >= len(b) && &a[:len(a)+1][len(a)] == &b[0]
}

// Get returns a segment that is held, or nil.
func (w *Window) Get(seq uint64) []byte {
	if seq < w.first || seq > w.high {
		return nil
	}
	return w.at(seq).body
}

// Gaps appends the spans of missing segments up to number limit to spans, at
// most MaxSpans in all.
func (w *Window) Gaps(spans []Span, limit uint64) []Span {
	limit = min(limit, w.high)
	for s := w.next; s <= limit && len(spans) < MaxSpans; {
		if w.at(s).buf != nil {
			s++
			continue
		}
		gap := Span{From: s, To: s}
		for s++; s <= limit && w.at(s).buf == nil; s++ {
			gap.To = s
		}
		spans = append(spans, gap)
	}
	return spans
}

// Free gives up all segments up to number upto that have been passed up.
func (w *Window) Free(upto uint64) {
	for w.first <= upto && w.first < w.read {
		w.drop(w.first)
		w.first++
	}
}

func (w *Window) drop(seq uint64) {
	s := w.at(seq)
	if s.buf != nil {
		w.bytes -= len(s.body)
		s.buf.Drop()
		*s = slot{}
	}
}

// Close gives up everything.
func (w *Window) Close() {
	for s := w.first; s <= w.high; s++ {
		w.drop(s)
	}
	w.first, w.read, w.next = w.high+1, w.high+1, w.high+1
}

// Received is the number of the last segment received without a gap.
func (w *Window) Received() uint64 { return w.next - 1 }

// Passed is the number of the last segment passed up.
func (w *Window) Passed() uint64 { return w.read - 1 }

// High is the number of the highest segment known to exist.
func (w *Window) High() uint64 { return w.high }

// Open reports whether segments are known to be missing.
func (w *Window) Open() bool { return w.next <= w.high }

// Bytes is what the window holds.
func (w *Window) Bytes() int { return w.bytes }
