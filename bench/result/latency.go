package result

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range and the precision of a Latency: values outside the range are
// counted as its ends.
const (
	maxLatency = time.Minute
	digits     = 3 // significant figures: an error of at most 0.1 %
)

// Latency is a histogram of durations. It must be made by NewLatency, and is
// used by one goroutine at a time.
type Latency struct{ h *hdrhistogram.Histogram }

// NewLatency makes an empty histogram.
func NewLatency() *Latency {
	return &Latency{hdrhistogram.New(1, int64(maxLatency), digits)}
}

// Record adds a duration. It allocates nothing.
func (l *Latency) Record(d time.Duration) {
	_ = l.h.RecordValue(int64(min(max(d, 1), maxLatency)))
}

// Reset forgets everything.
func (l *Latency) Reset() { l.h.Reset() }

// Count is the number of durations.
func (l *Latency) Count() int64 { return l.h.TotalCount() }

// At is the duration that a part of all, such as 0.99, does not exceed.
func (l *Latency) At(q float64) time.Duration {
	return time.Duration(l.h.ValueAtQuantile(q * 100))
}

// Mean is the mean in nanoseconds.
func (l *Latency) Mean() float64 { return l.h.Mean() }

// Micros is At in microseconds, as points have it.
func (l *Latency) Micros(q float64) float64 { return float64(l.At(q)) / 1e3 }

// Merge adds what another one has.
func (l *Latency) Merge(o *Latency) { l.h.Merge(o.h) }

// MarshalText writes the compressed V2 encoding, in base64.
func (l *Latency) MarshalText() ([]byte, error) {
	b, err := l.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	return b, nil
}

// UnmarshalText reads what MarshalText has written.
func (l *Latency) UnmarshalText(b []byte) error {
	h, err := hdrhistogram.Decode(b)
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	l.h = h
	return nil
}
