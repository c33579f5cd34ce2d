package wire

import "math/bits"

// BufSize is the capacity of a pooled buffer: the largest datagram, or the
// largest run of datagrams that one GSO send or one GRO receive can carry.
const BufSize = 64 << 10

// Buf is a reference-counted buffer of a Pool. Whoever is handed a Buf borrows
// it for the call; who wants it longer calls Keep, and later Drop exactly once.
// The count is a plain integer: one event loop owns a pool and all its buffers.
type Buf struct {
	B    []byte // BufSize long, or more of one of Pool.Large
	refs int
	lent int // references that the application has
	pool *Pool
}

// Keep takes one more reference.
func (b *Buf) Keep() {
	if b.refs <= 0 {
		panic("wire: Keep of a free buffer")
	}
	b.refs++
}

// Drop gives one reference back; the last one returns the buffer to its pool.
// It panics when there is none to give back: that is a bug of the caller, and a
// buffer freed twice would be two messages in one place.
func (b *Buf) Drop() {
	b.refs--
	if b.refs > 0 {
		return
	}
	if b.refs < 0 {
		panic("wire: Drop of a free buffer")
	}
	b.pool.put(b)
}

// Lend is Keep for an application, which gives it back by Return, or not if its
// process ends before.
func (b *Buf) Lend() {
	b.Keep()
	if b.lent++; b.lent == 1 {
		b.pool.lent++
	}
}

// Return gives a reference back that was taken by Lend.
func (b *Buf) Return() {
	if b.lent--; b.lent == 0 {
		b.pool.lent--
	}
	b.Drop()
}

// Pool is a free list of buffers for one event loop. The zero value is ready.
type Pool struct {
	// Poison makes a freed buffer's bytes garbage, so that a use after Drop
	// shows as corrupt data in tests.
	Poison bool

	free  []*Buf
	large map[int][]*Buf // by length, those longer than BufSize
	idle  int            // bytes of them
	live  int
	lent  int
	made  int
	stage []byte
}

// scratch is room for one burst, empty; there is one for all of the pool's users.
func (p *Pool) scratch() []byte {
	if p.stage == nil {
		p.stage = make([]byte, 0, BufSize)
	}
	return p.stage
}

const (
	maxFree  = 1024     // buffers that an idle pool keeps: 64 MiB
	maxLarge = 32 << 20 // bytes of large ones beside them
)

// Get returns a buffer with one reference, owned by the caller. Its bytes are
// not cleared.
func (p *Pool) Get() *Buf {
	n := len(p.free)
	if n == 0 {
		return p.make(BufSize)
	}
	b := p.free[n-1]
	p.free[n-1] = nil
	p.free = p.free[:n-1]
	return p.out(b)
}

// Large is Get of a buffer that is at least n bytes long, and not much longer: lengths
// come in steps of a quarter at most, so that those given back fit what comes next.
func (p *Pool) Large(n int) *Buf {
	if n <= BufSize {
		return p.Get()
	}
	if n <= maxLarge {
		step := 1 << (bits.Len(uint(n-1)) - 3)
		n = (n + step - 1) &^ (step - 1)
	}
	same := p.large[n]
	if len(same) == 0 {
		return p.make(n)
	}
	b := same[len(same)-1]
	same[len(same)-1] = nil
	p.large[n] = same[:len(same)-1]
	p.idle -= n
	return p.out(b)
}

func (p *Pool) out(b *Buf) *Buf {
	p.live++
	b.refs = 1
	return b
}

func (p *Pool) make(n int) *Buf {
	p.made++
	return p.out(&Buf{B: make([]byte, n), pool: p})
}

func (p *Pool) put(b *Buf) {
	p.live--
	if p.Poison {
		b.B[0] = 0xDB
		for i := 1; i < len(b.B); i *= 2 {
			copy(b.B[i:], b.B[:i])
		}
	}
	switch n := len(b.B); {
	case n > BufSize:
		p.putLarge(b, n)
	case len(p.free) < maxFree:
		p.free = append(p.free, b)
	}
}

// putLarge keeps a large buffer. Where that would be too much the others go: their
// lengths may be of messages that do not come any more.
func (p *Pool) putLarge(b *Buf, n int) {
	if n > maxLarge {
		return
	}
	if p.large == nil || p.idle+n > maxLarge {
		p.large, p.idle = map[int][]*Buf{}, 0
	}
	p.large[n] = append(p.large[n], b)
	p.idle += n
}

// Live is the number of buffers that somebody holds; at rest it must fall back
// to where it started.
func (p *Pool) Live() int { return p.live }

// Lent is how many of them applications have.
func (p *Pool) Lent() int { return p.lent }

// Made is the number of buffers ever allocated.
func (p *Pool) Made() int { return p.made }
