package csx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/s2"

	"maestro/clsv"
)

// request is one request of this member: for a portion of the state (got is
// set, chunks are put together here), or for all of it (whole: a Stream reads
// the chunks). All with m.mu held.
type request struct {
	x     *Transfer
	id    uint64
	whole bool
	body  []byte

	source clsv.Endpoint
	try    uint64 // counts sources asked
	credit uint64 // chunks that the source may send in this try
	told   uint64 // and knows of
	came   uint64 // chunks that have come in this try

	cut  uint64 // of what has come
	off  uint64 // bytes that have come, with this hash
	hash uint64
	last bool // all has come

	// Of a Stream:
	queue   queue
	spoiled []*clsv.Retained // to be released without the lock
	handed  bool             // the reader has seen something of it
	restart bool             // and what it has seen is void
	more    chan struct{}
	err     error

	// Of a portion:
	got    func([]byte, error)
	reply  []byte
	digest xxhash.Digest
}

// slot is a chunk that has come. Its bytes stay where they were received.
type slot struct {
	kept   *clsv.Retained
	data   []byte
	packed bool
	length int
	hash   uint64
	last   bool
}

// queue is chunks in the order in which they have come.
type queue struct {
	slots []slot
	head  int
}

func (q *queue) len() int { return len(q.slots) - q.head }

func (q *queue) push(s slot) { q.slots = append(q.slots, s) }

func (q *queue) pop() slot {
	s := q.slots[q.head]
	q.slots[q.head] = slot{}
	if q.head++; q.head == len(q.slots) {
		q.slots, q.head = q.slots[:0], 0
	} else if q.head > 64 && 2*q.head > len(q.slots) { // one that never runs empty
		q.slots, q.head = slices.Delete(q.slots, 0, q.head), 0
	}
	return s
}

var errCorrupt = errors.New("csx: corrupt chunk")

func newRequest(x *Transfer, body []byte) *request {
	r := &request{x: x, body: body}
	r.digest.Reset()
	r.hash = r.digest.Sum64()
	return r
}

// ask makes the letter that has the source begin, or another go on.
func (r *request) ask() []letter {
	r.source = r.x.source
	r.try++
	r.came = 0
	r.credit = uint64(max(r.x.m.o.Window-r.queue.len(), 0))
	r.told = r.credit
	if r.source.IsZero() {
		return nil
	}
	a := ask{kind: askOpen, id: r.id, try: r.try, whole: r.whole, start: r.x.start, cut: r.cut,
		offset: r.off, hash: r.hash, credit: r.credit, request: r.body}
	return []letter{{r.source, a.append(nil)}}
}

// grant allows one more chunk, and tells when that is worth it.
func (r *request) grant() []letter {
	r.credit++
	if r.last || r.source.IsZero() || r.credit-r.told < uint64(max(r.x.m.o.Window/4, 1)) {
		return nil
	}
	r.told = r.credit
	a := ask{kind: askMore, id: r.id, try: r.try, credit: r.credit}
	return []letter{{r.source, a.append(nil)}}
}

// finish ends the request and returns what is to be called without the lock.
func (r *request) finish(err error) func() {
	delete(r.x.reqs, r.id)
	if r.got != nil {
		got, reply := r.got, r.reply
		if err != nil {
			reply = nil
		}
		r.got = nil
		return func() { got(reply, err) }
	}
	r.err = err
	r.drop()
	r.signal()
	return nil
}

// stop gives the request up.
func (r *request) stop() {
	m := r.x.m
	m.mu.Lock()
	if r.x.reqs[r.id] != r {
		m.mu.Unlock()
		return
	}
	delete(r.x.reqs, r.id)
	r.got, r.err = nil, ErrDone
	over := r.last || r.source.IsZero()
	l := letter{r.source, (&ask{kind: askStop, id: r.id, try: r.try}).append(nil)}
	m.mu.Unlock()
	if !over {
		r.x.post([]letter{l})
	}
}

// signal wakes the reader.
func (r *request) signal() {
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
}

// again begins the request from its beginning.
func (r *request) again() []letter {
	r.x.m.stats.Restarted++
	r.digest.Reset()
	r.cut, r.off, r.hash, r.last = 0, 0, r.digest.Sum64(), false
	r.reply = nil
	r.drop()
	if r.whole {
		r.x.cut = 0
	}
	if r.handed {
		r.restart, r.handed = true, false
		r.signal()
	}
	return r.ask()
}

// back goes back to a point that is certain, and asks another source.
func (r *request) back(off, hash uint64) []letter {
	r.x.m.stats.Corrupt++
	r.x.shift++
	r.x.source = clsv.Endpoint{}
	r.x.choose()
	r.off, r.hash, r.last = off, hash, false
	r.drop()
	return r.ask()
}

func (r *request) drop() {
	for r.queue.len() > 0 {
		r.spoiled = append(r.spoiled, r.queue.pop().kept)
	}
}

// clean releases what has been dropped. It is called without m.mu.
func (r *request) clean() {
	m := r.x.m
	m.mu.Lock()
	old := r.spoiled
	r.spoiled = nil
	m.mu.Unlock()
	for _, k := range old {
		k.Release()
	}
}

// RcvState takes a portion.
func (a adapter) RcvState(origin clsv.Endpoint, state []byte) {
	m := a.m
	var p portion
	if !p.parse(state) {
		m.count(&m.stats.Malformed)
		return
	}
	m.mu.Lock()
	x := m.xfer
	var r *request
	if x != nil {
		r = x.reqs[p.id]
	}
	if r == nil || r.source != origin || r.try != p.try {
		m.stats.Late++
		m.mu.Unlock()
		return
	}
	whole := r.whole
	m.mu.Unlock()
	var kept *clsv.Retained
	if whole && p.kind == stateChunk {
		kept = m.Retain(p.body)
	}
	m.mu.Lock()
	if x.reqs[p.id] != r || r.source != origin || r.try != p.try { // meanwhile
		m.stats.Late++
		m.mu.Unlock()
		kept.Release()
		return
	}
	out, f := r.take(&p, &kept)
	m.mu.Unlock()
	kept.Release()
	r.clean()
	x.post(out)
	if f != nil {
		f()
	}
}

func (m *Member) count(n *uint64) {
	m.mu.Lock()
	*n++
	m.mu.Unlock()
}

// take takes a portion of this request and try. It may keep kept.
func (r *request) take(p *portion, kept **clsv.Retained) (out []letter, ended func()) {
	s := &r.x.m.stats
	switch p.kind {
	case stateAgain:
		return r.again(), nil
	case stateError:
		return nil, r.finish(fmt.Errorf("%w: %s", ErrRemote, p.body))
	}
	switch {
	case r.last || p.offset != r.off || r.off > 0 && p.cut != r.cut:
		s.Duplicate++
		return nil, nil
	case r.came >= r.credit:
		s.Malformed++
		return nil, nil
	}
	s.BytesIn += p.length
	s.WireIn += uint64(len(p.body))
	r.came++
	r.cut, r.off, r.hash, r.last = p.cut, r.off+p.length, p.hash, p.last
	if r.whole {
		r.x.cut = p.cut
		r.queue.push(slot{*kept, (*kept).Data, p.packed, int(p.length), p.hash, p.last})
		*kept = nil
		r.signal() // the reader
		return nil, nil
	}
	return r.collect(p)
}

// collect adds a chunk to the reply.
func (r *request) collect(p *portion) (out []letter, ended func()) {
	m := r.x.m
	if r.off > uint64(m.o.MaxReply) {
		l := letter{r.source, (&ask{kind: askStop, id: r.id, try: r.try}).append(nil)}
		return []letter{l}, r.finish(ErrTooLarge)
	}
	before, sum := len(r.reply), r.digest
	b, err := unpack(nil, p.body, p.packed, int(p.length))
	if err == nil {
		r.reply = append(r.reply, b...)
		_, _ = r.digest.Write(b)
		if r.digest.Sum64() != p.hash {
			err = errCorrupt
		}
	}
	if err != nil {
		r.reply, r.digest = r.reply[:before], sum
		return r.back(uint64(before), sum.Sum64()), nil
	}
	if p.last {
		return nil, r.finish(nil)
	}
	return r.grant(), nil
}

// unpack returns the bytes of a chunk; buf may be used for them.
func unpack(buf, data []byte, packed bool, length int) ([]byte, error) {
	if !packed {
		return data, nil
	}
	if n, err := s2.DecodedLen(data); err != nil || n != length {
		return nil, errCorrupt
	}
	b, err := s2.Decode(buf[:cap(buf)], data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	return b, nil
}
