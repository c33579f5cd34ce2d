package sim

import (
	"net/netip"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// flight is what one transmission put on the wire: shared by all who get it.
type flight struct {
	data []byte
	seg  int
	src  *Member
	cast bool
	refs int
}

// stale is an old datagram, for replays.
type stale struct {
	flight *flight
	to     *host
}

// maxStale is how many old datagrams are kept for replays.
const maxStale = 128

// maxDatagram is what UDP takes in bytes. Longer ones the kernel refuses.
const maxDatagram = 65507

// Passing is a datagram or a run of them about to be delivered, for a filter.
type Passing struct {
	From, To string
	Kind     wire.Kind
	Data     []byte // borrowed
	Seg      int
	Multi    bool // multicast
}

// Verdict is what a filter says.
type Verdict uint8

// The verdicts.
const (
	Pass Verdict = iota
	Drop
)

func (w *World) fly(m *Member, b []byte, seg int) *flight {
	var f *flight
	if n := len(w.free); n > 0 {
		f = w.free[n-1]
		w.free = w.free[:n-1]
	} else {
		f = &flight{}
	}
	f.data = append(f.data[:0], b...)
	f.seg, f.src, f.refs = seg, m, 1
	return f
}

func (w *World) land(f *flight) {
	f.refs--
	if f.refs == 0 {
		f.src = nil
		w.free = append(w.free, f)
	}
}

// transmit is a member's Transmit.
func (w *World) transmit(m *Member, to netip.AddrPort, b []byte, seg int) {
	if min(seg, len(b)) > maxDatagram {
		w.note("%s: a datagram of %d bytes is not sent", m.Name, len(b))
		return
	}
	n := (len(b) + seg - 1) / seg
	w.stats.Sent += uint64(n)
	w.stats.SentBytes += uint64(len(b))
	f := w.fly(m, b, seg)
	core := to == CoreAddr()
	f.cast = core || !to.IsValid()
	start := w.now.Add(m.spent)
	if w.opts.Bandwidth > 0 {
		start = max(start, m.host.nicOut)
		m.host.nicOut = start.Add(w.wireTime(len(b)))
	}
	if f.cast {
		for _, h := range w.hosts {
			if h != m.host && (!core || h.listens()) {
				w.send(m.host, h, f, start)
			}
		}
	} else if h := w.addrs[to]; h != nil && h != m.host {
		w.send(m.host, h, f, start)
	}
	w.land(f)
}

// wireTime is how long n bytes take through an interface.
func (w *World) wireTime(n int) time.Duration {
	return time.Duration(int64(n) * int64(time.Second) / w.opts.Bandwidth)
}

// send puts a flight on the link between two hosts.
func (w *World) send(from, to *host, f *flight, start stack.Time) {
	l := &w.links[from.index][to.index]
	if !w.open(from, to) || f.cast && l.NoMulticast {
		w.stats.Cut += uint64((len(f.data) + f.seg - 1) / f.seg)
		w.traceDrop(from, to, f, "cut")
		return
	}
	if w.opts.Filter != nil && w.opts.Filter(&Passing{from.name, to.name, wire.Kind(f.data[2]),
		f.data, f.seg, f.cast}) == Drop {
		w.stats.Filtered++
		w.traceDrop(from, to, f, "filter")
		return
	}
	if l.plain() {
		w.schedule(l, to, f, 0, len(f.data), start, 0)
	} else {
		w.scatter(l, to, f, start)
	}
	if w.chance(l.Replay) {
		w.again(l, to, start)
	}
	if l.Replay > 0 {
		w.remember(f, to)
	}
}

// scatter decides about each datagram of a flight. If nothing happens to any,
// they stay together.
func (w *World) scatter(l *link, to *host, f *flight, start stack.Time) {
	fates := w.scratch[:0]
	whole := true
	for off := 0; off < len(f.data); off += f.seg {
		ft := w.fate(l, min(f.seg, len(f.data)-off))
		late := ft == passes && w.chance(l.Reorder)
		code := int32(ft)
		if late {
			code |= 0x100
		}
		whole = whole && code == 0
		fates = append(fates, code)
	}
	w.scratch = fates
	if whole {
		w.schedule(l, to, f, 0, len(f.data), start, 0)
		if w.chance(l.Duplicate) {
			w.stats.Duplicated++
			w.schedule(l, to, f, 0, len(f.data), start, w.delay(l))
		}
		return
	}
	for i, code := range fates {
		off := i * f.seg
		w.single(l, to, f, off, min(off+f.seg, len(f.data)), start, code)
	}
}

// single sends one datagram of a flight to its fate.
func (w *World) single(l *link, to *host, f *flight, off, end int, start stack.Time, code int32) {
	var late time.Duration
	if code&0x100 != 0 {
		w.stats.Late++
		late = l.Late
	}
	switch fate(code & 0xff) {
	case lostRandom:
		w.stats.Lost++
	case lostBurst:
		w.stats.Burst++
	case lostCorrupt:
		w.stats.Corrupted++
	case lostMTU:
		w.stats.TooLong++
	case corrupted:
		w.stats.Corrupted++
		g := w.fly(f.src, f.data[off:end], f.seg)
		g.cast = f.cast
		for range 1 + w.rand.IntN(3) {
			g.data[w.rand.IntN(len(g.data))] ^= 1 << w.rand.IntN(8)
		}
		w.schedule(l, to, g, 0, len(g.data), start, late)
		w.land(g)
	default:
		w.schedule(l, to, f, off, end, start, late)
		if w.chance(l.Duplicate) {
			w.stats.Duplicated++
			w.schedule(l, to, f, off, end, start, late+w.delay(l))
		}
		return
	}
	w.traceDrop(f.src.host, to, f, "lost")
}

// schedule has bytes off to end of a flight arrive.
func (w *World) schedule(l *link, to *host, f *flight, off, end int, start stack.Time,
	late time.Duration) {
	at := start.Add(w.delay(l) + late)
	if l.Ordered && late == 0 {
		at = max(at, stack.Time(l.last))
		l.last = int64(at)
	}
	f.refs++
	w.agenda.push(event{at: at, what: arrive, host: to, flight: f, off: int32(off),
		end: int32(end)})
}

// remember keeps a flight for replays.
func (w *World) remember(f *flight, to *host) {
	f.refs++
	s := stale{f, to}
	if len(w.replay) < maxStale {
		w.replay = append(w.replay, s)
		return
	}
	i := w.replayN % maxStale
	if w.rand.IntN(4) > 0 { // let some grow old
		i = w.rand.IntN(maxStale)
	}
	w.replayN++
	w.land(w.replay[i].flight)
	w.replay[i] = s
}

// again replays an old datagram that went to a host.
func (w *World) again(l *link, to *host, start stack.Time) {
	if len(w.replay) == 0 {
		return
	}
	s := w.replay[w.rand.IntN(len(w.replay))]
	if s.to != to && !s.flight.cast || s.flight.src.host == to {
		return
	}
	w.stats.Replayed++
	w.schedule(l, to, s.flight, 0, len(s.flight.data), start, w.delay(l))
}

// arrive is when a flight's first bit reaches a host.
func (w *World) arrive(e *event) {
	h := e.host
	if w.opts.Bandwidth == 0 {
		w.enqueue(h, e.flight, e.off, e.end)
		return
	}
	h.nicIn = max(h.nicIn, w.now).Add(w.wireTime(int(e.end - e.off)))
	w.agenda.push(event{at: h.nicIn, what: queued, host: h, flight: e.flight, off: e.off,
		end: e.end})
}

// enqueue puts datagrams into the receive queue of a host's process.
func (w *World) enqueue(h *host, f *flight, off, end int32) {
	m := h.member
	if m == nil || h.down {
		w.nobody(h, f)
		w.land(f)
		return
	}
	q := 0
	if f.cast {
		q = 1
	}
	size := int(end-off) + w.opts.Overhead
	if h.queues[q] > m.recvBuf { // as Linux does: the last one may overshoot
		w.stats.Overflow += uint64((int(end-off) + f.seg - 1) / f.seg)
		m.Overflow++
		w.traceDrop(f.src.host, h, f, "overflow")
		w.land(f)
		return
	}
	h.queues[q] += size
	m.inbox = append(m.inbox, arrival{f, off, end})
	if w.agenda.next() > w.now && m.able() {
		m.turn() // as ready would have it, without the detour
		return
	}
	m.ready()
}

// nobody answers for a host without a process.
func (w *World) nobody(h *host, f *flight) {
	w.stats.Nobody++
	src := f.src
	if h.down || f.cast || src.ended || !w.open(h, src.host) {
		return
	}
	l := &w.links[h.index][src.host.index]
	if w.fate(l, 64) != passes {
		return
	}
	w.After(w.delay(l), func() {
		if !src.ended {
			w.stats.Unreach++
			w.trace(src, "icmp unreachable %s", h.name)
			src.Do(func(g *stack.Group) { g.Unreachable(h.addr) })
		}
	})
}
