package wire

// BufSize is the capacity of a pooled buffer: the largest datagram, or the
// largest run of datagrams that one GSO send or one GRO receive can carry.
const BufSize = 64 << 10

// Buf is a reference-counted buffer of a Pool. Whoever is handed a Buf borrows
// it for the call; who wants it longer calls Keep, and later Drop exactly once.
// The count is a plain integer: one event loop owns a pool and all its buffers.
type Buf struct {
	B    []byte // always BufSize long
	refs int
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

// Pool is a free list of buffers for one event loop. The zero value is ready.
type Pool struct {
	// Poison makes a freed buffer's bytes garbage, so that a use after Drop
	// shows as corrupt data in tests.
	Poison bool

	free  []*Buf
	live  int
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

// maxFree bounds what an idle pool keeps: 64 MiB.
const maxFree = 1024

// Get returns a buffer with one reference, owned by the caller. Its bytes are
// not cleared.
func (p *Pool) Get() *Buf {
	p.live++
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free[n-1] = nil
		p.free = p.free[:n-1]
		b.refs = 1
		return b
	}
	p.made++
	return &Buf{B: make([]byte, BufSize), refs: 1, pool: p}
}

func (p *Pool) put(b *Buf) {
	p.live--
	if p.Poison {
		b.B[0] = 0xDB
		for i := 1; i < len(b.B); i *= 2 {
			copy(b.B[i:], b.B[:i])
		}
	}
	if len(p.free) < maxFree {
		p.free = append(p.free, b)
	}
}

// Live is the number of buffers that somebody holds; at rest it must fall back
// to where it started.
func (p *Pool) Live() int { return p.live }

// Made is the number of buffers ever allocated.
func (p *Pool) Made() int { return p.made }
