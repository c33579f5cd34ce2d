package sim

import (
	"time"
)

// Link is what a link does to datagrams. The zero value delivers everything at
// once and in order.
type Link struct {
	// Delay is the least time that a datagram takes, Jitter the most that is
	// added, evenly distributed.
	Delay  time.Duration
	Jitter time.Duration
	// Ordered keeps datagrams in order in spite of jitter.
	Ordered bool
	// Reorder is the probability that a datagram takes Late longer than others.
	Reorder float64
	Late    time.Duration

	// Loss is the probability that a datagram is lost.
	Loss float64
	// Burst is the probability that a datagram begins a burst of loss, and
	// BurstEnd the one that a datagram ends it: the Gilbert-Elliott model. In a
	// burst all are lost.
	Burst    float64
	BurstEnd float64

	// Duplicate is the probability that a datagram arrives twice.
	Duplicate float64
	// Replay is the probability that a datagram is followed by an old one, of
	// this link or of any other to the same host.
	Replay float64
	// Corrupt is the probability that bits of a datagram flip. The kernel's
	// checksum makes that a loss, unless Options.Corrupt.
	Corrupt float64

	// MTU is the longest datagram that passes, in bytes; 0 is no limit.
	MTU int
	// NoMulticast loses multicast datagrams only.
	NoMulticast bool
}

// LAN is a link as good networks are.
func LAN() Link {
	return Link{Delay: 50 * time.Microsecond, Jitter: 20 * time.Microsecond, Ordered: true}
}

// plain reports whether nothing can happen to a single datagram of a run.
func (l *Link) plain() bool {
	return l.Loss == 0 && l.Burst == 0 && l.Corrupt == 0 && l.Reorder == 0 && l.Duplicate == 0 &&
		l.MTU == 0
}

// link is the state of the link from one host to another.
type link struct {
	Link
	own   bool // Link was set for this link, not for all
	cut   bool
	burst bool  // within a burst of loss
	last  int64 // arrival of the last datagram, where Ordered
}

// fate is what happens to a datagram.
type fate uint8

const (
	passes fate = iota
	lostRandom
	lostBurst
	lostCorrupt
	lostMTU
	corrupted
)

// fate draws what happens to a datagram of n bytes.
func (w *World) fate(l *link, n int) fate {
	if l.MTU > 0 && n > l.MTU {
		return lostMTU
	}
	if l.burst {
		if w.chance(l.BurstEnd) {
			l.burst = false
		}
	} else if w.chance(l.Burst) {
		l.burst = true
	}
	if l.burst {
		return lostBurst
	}
	if w.chance(l.Loss) {
		return lostRandom
	}
	if w.chance(l.Corrupt) {
		if w.opts.Corrupt {
			return corrupted
		}
		return lostCorrupt
	}
	return passes
}

// chance is true with probability p. It draws only where the answer is open.
func (w *World) chance(p float64) bool {
	return p > 0 && (p >= 1 || w.rand.Float64() < p)
}

// delay draws how long a datagram takes.
func (w *World) delay(l *link) time.Duration {
	d := l.Delay
	if l.Jitter > 0 {
		d += time.Duration(w.rand.Int64N(int64(l.Jitter)))
	}
	return d
}
