package trace

import (
	"errors"
	"io"

	"maestro/wire"
)

// Source gives events one by one, io.EOF at the end. Reader is one.
type Source interface {
	Next(e *Event) error
}

// Source gives back the events of the log.
func (l *Log) Source() Source { return &logSource{l.Events} }

type logSource struct{ rest []Event }

func (s *logSource) Next(e *Event) error {
	if len(s.rest) == 0 {
		return io.EOF
	}
	*e = s.rest[0].Clone()
	s.rest = s.rest[1:]
	return nil
}

// Merger makes one trace of several, each of one process or more: the order of
// every source is kept, no delivery comes before the transmission of its
// message if that is in any source, and among what is left the earliest event
// is next. Clocks that differ therefore reorder harness events at most.
type Merger struct {
	src   []Source
	head  []Event
	live  []bool
	owner map[wire.Endpoint]int // the source that has an endpoint's events
	sent  map[sentPage]uint64   // bit set of the messages sent
}

// sentPage names 64 neighbouring message numbers of one origin.
type sentPage struct {
	origin wire.Endpoint
	page   uint64
}

// Merge starts merging.
func Merge(src ...Source) (*Merger, error) {
	m := &Merger{
		src: src, head: make([]Event, len(src)), live: make([]bool, len(src)),
		owner: map[wire.Endpoint]int{}, sent: map[sentPage]uint64{},
	}
	for i := range src {
		if err := m.pull(i); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// pull reads the next event of source i.
func (m *Merger) pull(i int) error {
	err := m.src[i].Next(&m.head[i])
	m.live[i] = err == nil
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if e := &m.head[i]; m.live[i] && !e.Kind.Harness() {
		m.owner[e.P] = i
	}
	return nil
}

// Next gives the next event of the merged trace.
func (m *Merger) Next(e *Event) error {
	best, held := -1, -1
	for i := range m.src {
		if !m.live[i] {
			continue
		}
		pick := &best
		if m.waits(i) {
			pick = &held
		}
		if *pick < 0 || m.head[i].Time < m.head[*pick].Time {
			*pick = i
		}
	}
	if best < 0 {
		best = held // a message that nobody sent
	}
	if best < 0 {
		return io.EOF
	}
	*e = m.head[best].Clone()
	if e.Kind == Send {
		m.sent[page(e.Msg)] |= 1 << (e.Msg.N % 64)
	}
	return m.pull(best)
}

// waits reports whether the head of source i is a delivery whose transmission
// may still come from another source.
func (m *Merger) waits(i int) bool {
	e := &m.head[i]
	if e.Kind != Deliver || m.sent[page(e.Msg)]>>(e.Msg.N%64)&1 != 0 {
		return false
	}
	o, known := m.owner[e.Msg.Origin]
	return !known || o != i && m.live[o]
}

func page(m MsgID) sentPage { return sentPage{m.Origin, m.N / 64} }
