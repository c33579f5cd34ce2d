package csx

import (
	"errors"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/s2"
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
	buf    []byte // room for a head, then the chunk
	pack   []byte // the same, compressed
	head   []byte
	choice choice
	err    error // why writing has failed, whatever the state's WriteTo makes of it
}

func newChunker(a *answer) *chunker {
	c := &chunker{a: a, skip: a.ask.offset, buf: make([]byte, maxHead, maxHead+512),
		choice: newChoice(a.m.o.Window)}
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
	for c.err == nil && len(p) > 0 {
		if len(c.buf)-maxHead == c.a.m.o.Chunk {
			if c.send(false); c.err != nil {
				break
			}
		}
		k := min(c.a.m.o.Chunk+maxHead-len(c.buf), len(p))
		c.grow(k)
		c.buf = append(c.buf, p[:k]...)
		p = p[k:]
	}
	if c.err != nil {
		return n - len(p), c.err
	}
	return n, nil
}

// grow makes room: no more than a chunk, and not much for a short answer.
func (c *chunker) grow(n int) {
	if len(c.buf)+n <= cap(c.buf) {
		return
	}
	b := make([]byte, len(c.buf), min(2*(len(c.buf)+n), c.a.m.o.Chunk+maxHead))
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
		c.send(true)
	}
	return c.err
}

// send sends a chunk, when the newcomer has room for it.
func (c *chunker) send(last bool) {
	a := c.a
	raw := c.buf[maxHead:]
	_, _ = c.digest.Write(raw)
	p := portion{kind: stateChunk, id: a.ask.id, try: a.ask.try, last: last, cut: a.cut,
		offset: c.off, hash: c.digest.Sum64(), length: uint64(len(raw))}
	var began time.Duration
	timed := c.choice.timed()
	if timed {
		began = a.m.Now()
	}
	msg := c.buf
	if c.choice.pack() {
		if c.compress(raw) {
			p.packed, msg = true, c.pack
		}
		c.choice.packed(len(raw), len(msg)-maxHead)
	}
	c.head = p.appendHead(c.head[:0])
	from := maxHead - len(c.head)
	copy(msg[from:], c.head)
	if c.err = a.wait(); c.err != nil {
		return
	}
	if err := a.m.PushState(a.ctx, a.to, msg[from:]); err != nil {
		c.err = errors.Join(errSend, err)
		return
	}
	if timed {
		began = a.m.Now() - began
	}
	c.choice.sent(len(raw), began)
	c.off += uint64(len(raw))
	c.buf = c.buf[:maxHead]
	m := a.m
	m.mu.Lock()
	m.stats.BytesOut += p.length
	m.stats.WireOut += uint64(len(msg) - maxHead)
	m.mu.Unlock()
}

// compress makes c.pack of a chunk and reports whether it is worth while.
func (c *chunker) compress(raw []byte) bool {
	if n := maxHead + s2.MaxEncodedLen(len(raw)); cap(c.pack) < n {
		c.pack = make([]byte, n)
	}
	c.pack = c.pack[:cap(c.pack)]
	b := s2.Encode(c.pack[maxHead:], raw)
	c.pack = c.pack[:maxHead+len(b)]
	return len(b) < len(raw)
}

// wait waits for credit.
func (a *answer) wait() error {
	m := a.m
	for {
		m.mu.Lock()
		if a.sent < a.credit {
			a.sent++
			m.mu.Unlock()
			return nil
		}
		if a.room == nil {
			a.room = make(chan struct{})
		}
		room := a.room
		m.mu.Unlock()
		if err := m.Wait(a.ctx, room); err != nil {
			return errors.Join(errSend, err)
		}
	}
}

// choice decides whether chunks are compressed: by trying both, and comparing
// how fast the state goes out. Sending a chunk takes long when the network, or
// who reads the state, is slow; compressing one takes time too. Which is worse
// depends on both ends, on the network and on the state, and may change.
//
// It goes by runs of chunks, all of them compressed or none. In a run that is to
// be compared, the first chunks, as many as a window has, do not count: they
// wait for those of the run before.
type choice struct {
	never  bool
	on     bool // this run is compressed
	left   int  // chunks of this run
	warm   int  // chunks of it that do not count yet
	trial  bool // this run is to be compared
	pause  int  // runs until compression is tried again, if it was in vain
	back   int  // length of the last such pause
	bytes  int
	time   time.Duration
	rates  [2]float64 // of runs without and with, in bytes a second
	window int
	long   int  // length of a run that follows a trial
	better bool // what the last trial said
}

const (
	trialRun = 16 // chunks that count, at least; otherwise a window
	minLong  = 8  // trials until both are tried again; longer when nothing changes
	maxLong  = 64
	maxPause = 16 // long runs
)

func newChoice(window int) choice {
	c := choice{window: window, long: minLong}
	c.begin(false, true)
	return c
}

// begin begins a run.
func (c *choice) begin(on, trial bool) {
	c.on, c.trial, c.bytes, c.time = on, trial, 0, 0
	n := max(c.window, trialRun)
	c.warm, c.left = c.window+2, c.window+2+n
	if !trial {
		c.warm, c.left = 0, c.long*n
	}
}

// decide begins a run that a trial has decided about.
func (c *choice) decide(on bool) {
	if c.long = min(2*c.long, maxLong); c.better != on {
		c.long = minLong
	}
	c.better = on
	c.begin(on, false)
}

// pack says whether the next chunk is to be compressed.
func (c *choice) pack() bool { return c.on && !c.never }

// timed says whether it matters how long the next chunk takes.
func (c *choice) timed() bool { return c.trial && c.warm == 0 }

// packed takes the result of compressing. If it is no use, compression pauses.
func (c *choice) packed(raw, packed int) {
	if c.trial && packed > raw-raw/16 {
		c.rates[1] = 0
		c.back = min(max(2*c.back, 1), maxPause)
		c.pause = c.back
		c.decide(false)
	}
}

// sent takes the time that sending a chunk has taken, compression included, if
// it is timed.
func (c *choice) sent(raw int, took time.Duration) {
	if c.timed() {
		c.bytes += raw
		c.time += took
	}
	c.warm = max(c.warm-1, 0)
	if c.left--; c.left > 0 {
		return
	}
	if c.trial {
		c.rates[bit(c.on)] = float64(c.bytes) / max(c.time.Seconds(), 1e-9)
	}
	switch {
	case c.trial && !c.on && c.pause == 0:
		c.begin(true, true)
	case c.trial && c.on:
		c.back = 0
		c.decide(c.rates[1] > c.rates[0])
	default:
		c.pause = max(c.pause-1, 0)
		c.begin(false, c.pause == 0)
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
