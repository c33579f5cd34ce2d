package stable

import (
	"maestro/stack"
	"maestro/wire"
	"time"
)

// peer is what we know of one receiver of a stream of ours.
type peer struct {
	received uint64
	consumed uint64
}

// least is the smallest of numbers that only grow, and how many are that small:
// most of what grows is not the last of the smallest, and costs nothing.
type least struct {
	value uint64
	count int
}

func (m *least) take(v uint64) {
	switch {
	case m.count == 0 || v < m.value:
		m.value, m.count = v, 1
	case v == m.value:
		m.count++
	}
}

// grown notes that one of the numbers has grown from v, and reports whether the
// smallest has to be looked for again.
func (m *least) grown(v uint64) bool {
	if v != m.value {
		return false
	}
	m.count--
	return m.count == 0
}

// flow is one of our own streams.
type flow struct {
	log     *wire.Log
	stream  int
	to      int    // stack.All or stack.Core
	peers   []peer // by rank
	away    []bool // by rank: it does not get this stream, or it is this member
	got     least  // what live receivers have received
	used    least  // and consumed
	sent    uint64 // as of the last announcement timer
	stable  uint64 // all live receivers have the stream up to here
	told    uint64 // stable, as announced
	slowest uint64 // all live receivers have consumed up to here
	moved   stack.Time
	wait    time.Duration
	at      stack.Time // of the next announcement
}

// acked takes what a receiver says of a stream of ours.
func (l *layer) acked(f *flow, from int, a *wire.Ack) {
	p := &f.peers[from]
	before := *p
	p.received = max(p.received, a.Received)
	p.consumed = max(p.consumed, a.Consumed)
	got := p.received > before.received && f.got.grown(before.received)
	used := p.consumed > before.consumed && f.used.grown(before.consumed)
	if got || used {
		l.survey(f)
	}
	if a.Drops > l.drops[from] {
		if l.known[from] {
			l.window = max(l.window/2, min(l.most, 8))
		}
		l.drops[from] = a.Drops
	}
	l.known[from] = true
	l.progress(f)
}

// survey looks at all receivers for the slowest.
func (l *layer) survey(f *flow) {
	f.got, f.used = least{}, least{}
	for r := range f.peers {
		if !l.failed[r] && !f.away[r] {
			f.got.take(f.peers[r].received)
			f.used.take(f.peers[r].consumed)
		}
	}
}

// progress frees and opens as far as the slowest receiver allows.
func (l *layer) progress(f *flow) {
	stable, slowest := f.log.Sent(), f.log.Sent()
	if f.got.count > 0 {
		stable = min(stable, f.got.value)
		if slowest = min(slowest, f.used.value); l.closing {
			slowest = stable
		}
	}
	if !l.Config().NoLocal && !l.closing && l.Hears(f.stream) {
		slowest = min(slowest, l.mine(f))
	}
	if slowest > f.slowest {
		if l.window < l.most && slowest/l.window > f.slowest/l.window {
			l.window = min(l.most, l.window+l.most/8+1)
		}
		f.slowest, f.moved = slowest, l.Now()
	}
	// Receivers free what we call stable. Once a member has failed, in our eyes
	// but perhaps not in theirs, it may go on with some of them and need it.
	if stable > f.stable && !l.ending {
		f.stable = stable
		f.log.Free(stable)
	}
}

func (l *layer) progressAll() {
	for k := range l.flows {
		l.progress(&l.flows[k])
	}
}

// limit is how far a stream may be transmitted. What is out of the others counts
// against the window too, up to three quarters of it.
func (l *layer) limit(f *flow) uint64 {
	window := l.window
	for k := range l.flows {
		if o := &l.flows[k]; o != f {
			window -= min(o.log.Sent()-o.slowest, l.window*3/4)
		}
	}
	// While stability is frozen the span must not outgrow the receivers'
	// windows; what is left at the end still has to fit.
	span := uint64(maxSpan)
	if l.closing {
		span = 2*maxSpan - 1
	}
	return min(f.slowest+window, f.stable+span)
}
