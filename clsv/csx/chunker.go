package csx

import (
	"errors"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/s2"

	"maestro/clsv"
)

var (
	errDiffers = errors.New("csx: another state")
	errSend    = errors.New("csx: cannot be sent")
)

// chunker is the writer that an answer is written to: it skips what the
// newcomer has, and sends the rest in chunks.
type chunker struct {
	a      *answer
	skip   uint64
	off    uint64
	digest xxhash.Digest
	buf    []byte // the chunk, as far as it has come
	pack   []byte // one that is compressed
	head   []byte
	more   bool // the next chunk is there
	choice choice
	err    error // why writing has failed, whatever the state's WriteTo makes of it
}

func newChunker(a *answer) *chunker {
	c := &chunker{a: a, skip: a.ask.offset, choice: newChoice(a.m.o.Window)}
	c.choice.never = a.m.o.NoCompress
	c.digest.Reset()
	return c
}

// Write takes a piece of the state.
func (c *chunker) Write(p []byte) (int, error) {
	n := len(p)
	if c.err == nil {
		c.err = c.a.ctx.Err()
	}
	if c.err == nil && c.skip > 0 {
		k := int(min(c.skip, uint64(len(p))))
		_, _ = c.digest.Write(p[:k])
		c.skip -= uint64(k)
		c.off += uint64(k)
		p = p[k:]
		if c.skip == 0 {
			c.skipped()
		}
	}
	left := c.take(p)
	return n - len(left), c.err
}

// take takes the bytes that the newcomer wants and returns those that it cannot
// take. It keeps the last ones, a whole chunk at most, until it knows whether
// there are more. Chunks that lie in p as a whole go out from there.
func (c *chunker) take(p []byte) (left []byte) {
	size := c.a.m.o.Chunk
	for c.err == nil && len(p) > 0 {
		if len(c.buf) == 0 && len(p) > size {
			c.more = len(p) > 2*size
			if c.send(p[:size], false); c.err == nil {
				p = p[size:]
			}
			c.more = false
			continue
		}
		if len(c.buf) == size {
			c.send(c.buf, false)
			c.buf = c.buf[:0]
			continue
		}
		k := min(size-len(c.buf), len(p))
		c.grow(k)
		c.buf = append(c.buf, p[:k]...)
		p = p[k:]
	}
	return p
}

// grow makes room: no more than a chunk, and not much for a short answer.
func (c *chunker) grow(n int) {
	if len(c.buf)+n <= cap(c.buf) {
		return
	}
	b := make([]byte, len(c.buf), min(2*(len(c.buf)+n), c.a.m.o.Chunk))
	copy(b, c.buf)
	c.buf = b
}

// skipped compares what has been skipped with what the newcomer has.
func (c *chunker) skipped() {
	m := c.a.m
	m.mu.Lock()
	m.stats.Skipped += c.off
	m.mu.Unlock()
	if c.digest.Sum64() != c.a.ask.hash {
		c.err = errDiffers
	}
}

// finish sends what is left.
func (c *chunker) finish() error {
	if c.err == nil && c.skip > 0 {
		c.err = errDiffers // there is less of it here
	}
	if c.err == nil {
		c.send(c.buf, true)
	}
	return c.err
}

// send sends a chunk, when the newcomer has room for it.
func (c *chunker) send(raw []byte, last bool) {
	a := c.a
	_, _ = c.digest.Write(raw)
	p := portion{kind: stateChunk, id: a.ask.id, try: a.ask.try, last: last, cut: a.cut,
		offset: c.off, hash: c.digest.Sum64(), length: uint64(len(raw))}
	var began time.Duration
	timed := c.choice.timed()
	if timed {
		began = a.m.Now()
	}
	body := raw
	if c.choice.pack() {
		if b := c.compress(raw); len(b) < len(raw) {
			p.packed, body = true, b
		}
	}
	c.head = p.appendHead(c.head[:0])
	credit, err := a.wait()
	if c.err = err; err != nil {
		return
	}
	if err := a.m.PushState(a.ctx, a.to, clsv.Portion{Front: c.head, Data: body,
		More: c.more && credit}); err != nil {
		c.err = errors.Join(errSend, err)
		return
	}
	if timed {
		began = a.m.Now() - began
	}
	c.choice.sent(len(raw), began)
	c.off += uint64(len(raw))
	m := a.m
	m.mu.Lock()
	m.stats.BytesOut += p.length
	m.stats.WireOut += uint64(len(body))
	m.mu.Unlock()
}

// compress is a chunk compressed, in memory that is used again for the next.
func (c *chunker) compress(raw []byte) []byte {
	if n := s2.MaxEncodedLen(len(raw)); cap(c.pack) < n {
		c.pack = make([]byte, n)
	}
	if !c.choice.trial {
		return s2.Encode(c.pack[:cap(c.pack)], raw)
	}
	began := c.a.m.Now()
	b := s2.Encode(c.pack[:cap(c.pack)], raw)
	c.choice.packed(len(raw), len(b), c.a.m.Now()-began)
	return b
}

// wait waits for credit, and reports whether there is more of it.
func (a *answer) wait() (more bool, err error) {
	m := a.m
	for {
		m.mu.Lock()
		if a.sent < a.credit {
			a.sent++
			more = a.sent < a.credit
			m.mu.Unlock()
			return more, nil
		}
		if a.room == nil {
			a.room = make(chan struct{})
		}
		room := a.room
		m.mu.Unlock()
		if err := m.Wait(a.ctx, room); err != nil {
			return false, errors.Join(errSend, err)
		}
	}
}
