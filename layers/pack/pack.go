// Package pack packs messages into segments and splits them across segments.
//
// Guarantee: messages of any size up to Config.MaxMessage come up whole, in the
// order of their stream. A stream of segments is a stream of bytes: segments
// are filled to the last byte as long as there is something to send, and leave
// when the turn ends, full or not.
//
// Needs: reliable segments, in order.
//
// Header: before each message one byte of kind and the length as a varint; the
// message follows, across as many segments as it takes. A header is not split:
// where there is no room for one, the kind wire.Pad fills the segment.
//
// Timers: none.
//
// Source: smart batching as in Disruptor and Aeron; Ensemble's pack and frag.
package pack

import (
	"encoding/binary"
	"math"

	"maestro/stack"
	"maestro/wire"
)

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "pack", Needs: stack.Reliable | stack.Stable,
		Gives: stack.Messages,
		New: func(p *stack.Port) stack.Layer {
			return &layer{Port: p, limit: p.Config().MaxMessage,
				parsers: make([]parser, 3*p.N())}
		}}
}

// parser is one stream's message in the making.
type parser struct {
	need int // bytes still to come
	kind uint8
	buf  *wire.Buf // holds data, if data is not memory of its own
	data []byte
	bad  bool
}

type layer struct {
	*stack.Port
	limit   int       // bytes of one message
	parsers []parser  // by stack.StreamOf
	arena   *wire.Buf // small split messages are put together here
	used    int
	msg     stack.Msg
}

func (l *layer) Down(m *stack.Msg) {
	switch {
	case m.To == stack.Core:
		l.CoreLog().Append(m.Kind, m.Head, m.Data)
	case m.To != stack.All:
		l.PassDown(m)
	case m.Claimed:
		l.Log().Commit(m.Kind, int(m.Seq))
	default:
		l.Log().Append(m.Kind, m.Head, m.Data)
	}
}

// Flush closes the open segments: the turn is over.
func (l *layer) Flush() {
	for _, log := range l.Logs() {
		log.Seal()
	}
}

// Up takes a segment apart.
func (l *layer) Up(m *stack.Msg) {
	p := &l.parsers[stack.StreamOf(l.N(), m.From, m.To)]
	if p.bad {
		return
	}
	b := m.Data
	l.msg = stack.Msg{From: m.From, To: m.To, Seq: m.Seq, Buf: m.Buf}
	for len(b) > 0 {
		if p.need > 0 {
			n := min(p.need, len(b))
			p.data = append(p.data, b[:n]...)
			p.need -= n
			b = b[n:]
			if p.need == 0 {
				l.whole(p, m)
			}
			continue
		}
		kind := b[0]
		if kind == wire.Pad {
			return
		}
		size, k := length(b)
		if k <= 0 || size > l.limit {
			l.spoilt(p, m)
			return
		}
		b = b[k:]
		if size <= len(b) {
			l.msg.Kind, l.msg.Data = kind, b[:size:size]
			l.PassUp(&l.msg)
			b = b[size:]
			continue
		}
		l.begin(p, kind, size)
	}
}

// length reads the length of the message whose frame b begins with, and how
// long the frame's header is, 0 if it is none.
func length(b []byte) (size, k int) {
	if len(b) > 1 && b[1] < 0x80 {
		return int(b[1]), 2
	}
	v, n := binary.Uvarint(b[1:])
	if n <= 0 || v > math.MaxInt32 {
		return 0, 0
	}
	return int(v), 1 + n
}

const (
	arenaMax = 16 << 10 // larger messages get memory of their own
	firstCap = 1 << 20  // a claimed length is believed up to here
)

// begin makes room for a message that goes on in the next segment.
func (l *layer) begin(p *parser, kind uint8, size int) {
	p.kind, p.need = kind, size
	if size > arenaMax {
		p.buf, p.data = nil, make([]byte, 0, min(size, firstCap))
		return
	}
	if l.arena == nil || l.used+size > len(l.arena.B) {
		l.dropArena()
		l.arena, l.used = l.Pool().Get(), 0
	}
	l.arena.Keep()
	p.buf = l.arena
	p.data = l.arena.B[l.used : l.used : l.used+size]
	l.used += size
}

func (l *layer) whole(p *parser, m *stack.Msg) {
	l.msg.Kind, l.msg.Data, l.msg.Buf = p.kind, p.data, p.buf
	l.PassUp(&l.msg)
	l.msg.Buf = m.Buf
	p.drop()
}

func (p *parser) drop() {
	if p.buf != nil {
		p.buf.Drop()
	}
	p.buf, p.data = nil, nil
}

// spoilt gives up a stream that does not parse: its sender is not one of us.
func (l *layer) spoilt(p *parser, m *stack.Msg) {
	p.bad = true
	l.Counters().Malformed++
	if m.From != l.Me() {
		l.Tell(stack.Suspect{Rank: m.From, Why: "malformed stream"})
	}
}

func (l *layer) dropArena() {
	if l.arena != nil {
		l.arena.Drop()
		l.arena = nil
	}
}

// Close gives back the buffers of messages that never came to their end.
func (l *layer) Close() {
	for i := range l.parsers {
		l.parsers[i].drop()
	}
	l.dropArena()
}
