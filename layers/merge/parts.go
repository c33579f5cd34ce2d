package merge

import (
	"slices"

	"maestro/stack"
	"maestro/wire"
)

const (
	maxPart  = 60_000 // bytes of a request that are one datagram
	maxParts = 4      // requests that are put together at a time
)

// split encodes a request as one datagram, or as several where members have so much to
// say of themselves that it would not fit.
func split(m *wire.Merge) [][]byte {
	b := m.Append(nil)
	if len(b) <= maxPart || len(m.Members) == 1 {
		return [][]byte{b}
	}
	first, second := *m, *m
	first.Of = max(m.Of, uint16(len(m.Members)))
	second.Of = first.Of
	k := len(m.Members) / 2
	first.Members, second.Members = m.Members[:k], m.Members[k:]
	first.Ranks, second.Ranks = m.Ranks[:k], m.Ranks[k:]
	return append(split(&first), split(&second)...)
}

// partial is a request of which parts have come.
type partial struct {
	wire.Merge
	from stack.Datagram
}

// whole puts the parts of a request together. It returns nil while some are missing:
// all are sent again.
func (l *layer) whole(d *stack.Datagram, m *wire.Merge) *wire.Merge {
	if m.Of == 0 {
		return m
	}
	at := slices.IndexFunc(l.partial, func(p *partial) bool {
		return p.Party.View == m.Party.View && p.Party.Round == m.Party.Round &&
			p.Of == m.Of && p.from.From == d.From
	})
	if at < 0 {
		if len(l.partial) == maxParts { // the oldest is the least likely to be completed
			l.partial = slices.Delete(l.partial, 0, 1)
		}
		at = len(l.partial)
		l.partial = append(l.partial, &partial{Merge: *m, from: stack.Datagram{From: d.From}})
		l.partial[at].Members, l.partial[at].Ranks = nil, nil
	}
	p := l.partial[at]
	for i, r := range m.Ranks {
		if k, found := slices.BinarySearch(p.Ranks, r); !found {
			p.Ranks = slices.Insert(p.Ranks, k, r)
			p.Members = slices.Insert(p.Members, k, m.Members[i])
		}
	}
	if len(p.Members) < int(p.Of) {
		return nil
	}
	l.partial = slices.Delete(l.partial, at, at+1)
	p.Of = 0
	return &p.Merge
}
