package csx

import "time"

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
	long   int           // length of a run that follows a trial
	better bool          // what the last trial said
	tried  int           // chunks that this trial has compressed
	least  time.Duration // that one of them has taken, of size bytes
	size   int
}

const (
	trialRun = 16 // chunks that count, at least; otherwise a quarter of a window
	sample   = 4  // chunks that tell how long compression itself takes
	minLong  = 8  // windows until both are tried again; longer when nothing changes
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
	c.on, c.trial, c.bytes, c.time, c.tried = on, trial, 0, 0, 0
	c.warm, c.left = c.window+2, c.window+2+max(c.window/4, trialRun)
	if !trial {
		c.warm, c.left = 0, c.long*max(c.window, trialRun)
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

// packed takes the result of compressing a chunk of a trial, and how long that
// alone has taken. If it makes the chunk hardly smaller, compression pauses. If it
// is slower than the network without it, the rest need not be tried.
func (c *choice) packed(raw, packed int, took time.Duration) {
	if packed > raw-raw/16 {
		c.rates[1] = 0
		c.back = min(max(2*c.back, 1), maxPause)
		c.pause = c.back
		c.decide(false)
		return
	}
	if c.tried == 0 || took < c.least {
		c.least, c.size = took, raw
	}
	if c.tried++; c.tried == sample && float64(c.size) < c.rates[0]*c.least.Seconds() {
		c.back = 0
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
