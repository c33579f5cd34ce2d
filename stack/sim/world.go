package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"

	"maestro/stack"
)

// Options are what a World is set up with. The zero value is a perfect network
// with LAN delays.
type Options struct {
	// Link is what links do that SetLink has not set; nil is LAN().
	Link *Link
	// Corrupt delivers corrupted datagrams, which the UDP checksum would
	// normally drop.
	Corrupt bool
	// Bandwidth is what a host's interface passes in each direction, in bytes
	// a second; 0 is no limit. SendQueue is how much may wait for it before a
	// member that transmits is held up, default 208 KiB.
	Bandwidth int64
	SendQueue int
	// Overhead is what the kernel's accounting adds to each receive of a
	// socket's queue, in bytes. Default 512.
	Overhead int
	// Buffers says how received datagrams share the buffers of a pool.
	Buffers Buffers
	// Cost is the time that members' turns take, where Setup does not say.
	Cost Cost
	// Processors is how many members can be in their turns at the same time, as
	// where one machine plays all hosts; 0 is no limit.
	Processors int
	// CopyCore has core casts go to each member of the core rather than to its
	// multicast address.
	CopyCore bool
	// NoLifelines has members hear of the end of a process by probes only. Unheld is the
	// probability that an attempt at a lifeline fails, Snap, if not 0, how long one holds
	// on average before it breaks for no reason.
	NoLifelines bool
	Unheld      float64
	Snap        time.Duration
	// Filter, if set, decides about every datagram that a link would deliver.
	Filter func(p *Passing) Verdict
	// Ended, if set, hears of the end of each member: "crash", "closed", "out"
	// (left, and of no more use to others) or "replaced".
	Ended func(m *Member, why string)
	// Trace gets a readable line for all that happens.
	Trace io.Writer
	// TraceData includes the data segments and acknowledgements in the trace.
	TraceData bool
}

// Buffers says how received datagrams share the buffers of a pool.
type Buffers uint8

// The ways to share buffers.
const (
	Arena     Buffers = iota // fill a buffer, then begin another: fast
	PerTurn                  // a buffer holds the datagrams of one turn at most
	PerPacket                // a buffer each, to find uses after Drop
)

// Cost is the virtual time that a member's work takes.
type Cost struct {
	Turn     time.Duration // each turn
	Receive  time.Duration // each receive, of one datagram or of a run
	Transmit time.Duration // each transmission
	KByte    time.Duration // each 1024 bytes received or transmitted
}

// Stats counts what a World has done.
type Stats struct {
	Events     uint64
	Turns      uint64
	Sent       uint64 // datagrams transmitted
	SentBytes  uint64
	Arrived    uint64 // datagrams handed to members; a multicast counts at each
	Lost       uint64 // by random loss
	Burst      uint64 // by bursts
	Corrupted  uint64 // lost or delivered with bits flipped
	TooLong    uint64 // longer than the MTU
	Cut        uint64 // by cuts and partitions
	Filtered   uint64
	Overflow   uint64 // by full receive queues
	Nobody     uint64 // no process at the address
	Unreach    uint64 // port unreachable messages, and connections refused
	Lifelines  uint64 // that came about
	Snapped    uint64 // of these, that broke
	Duplicated uint64
	Replayed   uint64
	Late       uint64 // sent the slow way
	Crashes    uint64
	Restarts   uint64
	Pauses     uint64
}

// World is a network of hosts with members on them. It is used from one
// goroutine.
type World struct {
	opts    Options
	seed    uint64
	rand    *rand.Rand
	now     stack.Time
	agenda  agenda
	hosts   []*host
	names   map[string]*host
	addrs   map[netip.AddrPort]*host
	members []*Member // all lives, in the order of their start
	links   [][]link  // by sender and receiver
	deflt   Link
	replay  []stale
	replayN int
	free    []*flight
	column  *column
	stats   Stats
	births  uint64
	err     error // the first failure
	digest  uint64
	still   int // events since time last moved
	scratch []int32
	running *Member
	taken   []stack.Time // until when, by processor
}

// New makes a world without hosts.
func New(seed uint64, o Options) *World {
	if o.SendQueue == 0 {
		o.SendQueue = 208 << 10
	}
	if o.Overhead == 0 {
		o.Overhead = 512
	}
	w := &World{opts: o, seed: seed, rand: rand.New(rand.NewPCG(seed, 0x6d61657374726f)),
		names: map[string]*host{}, addrs: map[netip.AddrPort]*host{}, deflt: LAN()}
	if o.Link != nil {
		w.deflt = *o.Link
	}
	if o.Trace != nil {
		w.column = &column{w: o.Trace, data: o.TraceData}
	}
	w.taken = make([]stack.Time, o.Processors)
	return w
}

// processor is the one that is free first, and since when; nil without a limit.
func (w *World) processor() (p *stack.Time, free stack.Time) {
	for i := range w.taken {
		if p == nil || w.taken[i] < *p {
			p, free = &w.taken[i], w.taken[i]
		}
	}
	return p, free
}

// Seed is what the world was made from.
func (w *World) Seed() uint64 { return w.seed }

// Now is the virtual time.
func (w *World) Now() stack.Time { return w.now }

// Rand is the world's random source; drawing from it is part of the history.
func (w *World) Rand() *rand.Rand { return w.rand }

// Stats counts what has been done.
func (w *World) Stats() *Stats { return &w.stats }

// Members are all members that were ever started, in that order.
func (w *World) Members() []*Member { return w.members }

// Member is the member that runs under a name, nil if none does.
func (w *World) Member(name string) *Member {
	if h := w.names[name]; h != nil {
		return h.member
	}
	return nil
}

// Err is the first failure that the world itself has seen: a leak of buffers, a
// message that nobody sent.
func (w *World) Err() error { return w.err }

// Fail reports a failure; the first one stays.
func (w *World) Fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("sim: at %.6f s: %s", float64(w.now)/1e9, fmt.Sprintf(format, args...))
		w.note("FAIL %v", w.err)
	}
}

// Running is the member whose turn it is, nil between turns: after a panic, the
// one that it happened in.
func (w *World) Running() *Member { return w.running }

// Digest is a hash of the history so far.
func (w *World) Digest() uint64 { return w.digest }

// Mix makes numbers part of the digest.
func (w *World) Mix(xs ...uint64) {
	for _, x := range xs {
		w.digest = (w.digest ^ x) * 0x9E3779B97F4A7C15
		w.digest ^= w.digest >> 29
	}
}

// At runs fn at a time, not before now.
func (w *World) At(t stack.Time, fn func()) {
	w.agenda.push(event{at: max(t, w.now), what: call, fn: fn})
}

// After runs fn when d has passed.
func (w *World) After(d time.Duration, fn func()) { w.At(w.now.Add(d), fn) }

// maxStill is how many events may happen at one time before that is a bug of
// whoever asks for more.
const maxStill = 1_000_000

// Step handles the next event. It reports false when there is none.
func (w *World) Step() bool {
	if w.agenda.empty() {
		return false
	}
	e := w.agenda.pop()
	if w.still++; e.at > w.now {
		w.still = 0
	} else if w.still > maxStill {
		panic(fmt.Sprintf("sim: time stands still at %v", w.now))
	}
	w.now = e.at
	w.stats.Events++
	w.digest = (w.digest ^ uint64(e.at) ^ uint64(e.what)<<56) * 0x9E3779B97F4A7C15
	switch e.what {
	case call:
		e.fn()
	case wake:
		e.member.woken(e.at)
	case arrive:
		w.arrive(&e)
	case queued:
		w.enqueue(e.host, e.flight, e.off, e.end)
	}
	return true
}

// RunUntil handles all events up to a time, which it then is.
func (w *World) RunUntil(t stack.Time) {
	for w.agenda.next() <= t {
		w.Step()
	}
	w.now = max(w.now, t)
}

// RunFor lets d pass.
func (w *World) RunFor(d time.Duration) { w.RunUntil(w.now.Add(d)) }

// WaitFor lets time pass until ok, which it asks whenever time has passed, or
// until limit has passed. It reports whether ok came true.
func (w *World) WaitFor(limit time.Duration, ok func() bool) bool {
	end := w.now.Add(limit)
	for !ok() {
		next := w.agenda.next()
		if next > end {
			w.now = end
			return ok()
		}
		for w.agenda.next() == next {
			w.Step()
		}
	}
	return true
}

// Close ends all members and reports buffers that anybody still holds.
func (w *World) Close() error {
	for _, h := range w.hosts {
		if h.member != nil {
			h.member.end("closed")
		}
	}
	return w.err
}

// leak reports buffers that m holds, and its application, unless it was not asked.
func (w *World) leak(m *Member, why string) {
	n := m.Pool.Live()
	if why == "crash" {
		n -= m.Pool.Lent()
	}
	if n != 0 {
		w.Fail("%v holds %d buffers after its end", m.Self, n)
	}
}
