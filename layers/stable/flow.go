package stable

import (
	"math"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// The window is what a sender has out at a time. It begins small and grows as long
// as that is consumed briskly, and is at least a quarter of the window, since less
// tells nothing of it: by as much again, or once it has been too much, by an eighth
// of the most. It halves when it takes sluggish or longer, so that a slow application
// never has much more than that in front of it: who leaves, and who waits for what
// comes after, would have to wait for it. Bytes say nothing of that, as some handlers
// take as long for ten as others for a million.
const (
	beginWindow = 32 // segments
	leastWindow = 8
	brisk       = 60 * time.Millisecond
	sluggish    = 250 * time.Millisecond
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
	probe   uint64     // how long this segment waits to be consumed is measured
	probeAt stack.Time // when all had received it, Never before
	telling bool       // so much was out then that it tells something of the window
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
			l.shrink()
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
	if stable >= f.probe && f.probeAt == stack.Never {
		f.probeAt = l.Now()
	}
	if slowest > f.slowest {
		f.slowest, f.moved = slowest, l.Now()
		l.adapt(f)
	}
	// Receivers free what we call stable. Once a member has failed, in our eyes
	// but perhaps not in theirs, it may go on with some of them and need it.
	if stable > f.stable && !l.ending {
		f.stable = stable
		f.log.Free(stable)
	}
}

// adapt changes the window when it is known how long the end of one has waited
// for applications. How long the network took says nothing of them.
func (l *layer) adapt(f *flow) {
	if f.probe == 0 || f.slowest < f.probe {
		return
	}
	f.probe = 0
	switch took := l.Now().Sub(f.probeAt); {
	case took >= sluggish:
		l.shrink()
	case took <= brisk && l.window < l.most && f.telling:
		more := l.window
		if l.shrunk {
			more = min(more, l.most/8+1)
		}
		l.window = min(l.most, l.window+more)
	}
}

// shrink halves the window.
func (l *layer) shrink() {
	l.shrunk = true
	l.window = max(l.window/2, min(l.share, leastWindow))
}

// out is how many segments are out, of all streams.
func (l *layer) out() (n uint64) {
	for k := range l.flows {
		n += l.flows[k].log.Sent() - l.flows[k].slowest
	}
	return n
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

// setWindow finds what the senders have to share: half of the smallest receive
// buffer, as the other half is the kernel's own.
func (l *layer) setWindow() {
	smallest := uint32(math.MaxUint32)
	for i := range l.View().Members {
		smallest = min(smallest, l.View().Members[i].RecvBuf)
	}
	l.all = uint64(smallest) / 2
	l.share = l.part(l.N() - 1)
	l.most, l.window = l.share, min(l.share, beginWindow)
	l.told = l.window
	for s := range l.heard {
		l.heard[s].window = l.window
	}
}

// tellWindow announces a window that has become another. Receivers acknowledge each
// quarter of what they know: half of it is the most that they may be wrong by.
func (l *layer) tellWindow() {
	if l.window < 2*l.told && l.told < 2*l.window || l.N() == 1 {
		return
	}
	l.told = l.window
	for k := range l.flows {
		l.mark(&l.flows[k])
	}
}

// part is the window, in segments, of one of so many senders.
func (l *layer) part(senders int) uint64 {
	bytes := min(max(l.all/uint64(max(senders, 1)), minWindow), maxWindow)
	return max(bytes/uint64(l.Config().Segment), 4)
}

// divide counts those that send, among whom the receivers' buffers are divided.
func (l *layer) divide() {
	senders := 0
	since := l.Now().Add(-active)
	for s := range l.heard {
		h := &l.heard[s]
		if r := l.reach.Recv[s]; r > h.seen {
			h.seen, h.at = r, l.Now()
		}
		if h.seen > 0 && h.at > since {
			senders++
		}
	}
	if senders != l.senders {
		l.senders = senders
		l.most = l.part(min(senders, l.N()-1))
		l.window = min(l.window, l.most)
	}
}
