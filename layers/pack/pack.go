// Package pack packs messages into segments and splits them across segments.
//
// Guarantee: messages of any size up to Config.MaxMessage come up whole, in the
// order of their stream; those that lie in one segment as a batch, the same at
// all members. A stream of segments is a stream of bytes: segments are filled to
// the last byte as long as there is something to send, and leave when the turn
// ends, full or not.
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
	arena   *wire.Buf // split messages are put together here
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
		l.Write(m.Kind, m.Head, m.Data)
	}
}

// Write is Down for a cast, without the message.
func (l *layer) Write(kind uint8, head, data []byte) { l.Log().Append(kind, head, data) }

// Flush closes the open segments: the turn is over.
func (l *layer) Flush() {
	for _, log := range l.Logs() {
		log.Seal()
	}
}

// Up takes a segment apart: the rest of a message that began before, whole
// messages, and the beginning of one that goes on. What is whole goes up at once.
func (l *layer) Up(m *stack.Msg) {
	p := &l.parsers[stack.StreamOf(l.N(), m.From, m.To)]
	if p.bad {
		return
	}
	b := m.Data
	l.msg.From, l.msg.To, l.msg.Seq, l.msg.Buf = m.From, m.To, m.Seq, m.Buf
	if p.need > 0 {
		n := min(p.need, len(b))
		p.add(b[:n])
		b = b[n:]
		if p.need > 0 {
			return
		}
		l.whole(p, m)
	}
	for len(b) > 0 {
		b = b[l.batch(b):]
		if len(b) == 0 || b[0] == wire.Pad {
			return
		}
		kind, size, head := wire.FrameHead(b)
		if head == 0 || size > l.limit {
			l.spoilt(p, m)
			return
		}
		b = b[head:]
		if size > len(b) {
			l.begin(p, kind, size)
			p.add(b)
			return
		}
		l.msg.Kind, l.msg.Data = kind, b[:size:size] // a layer's own
		l.PassUp(&l.msg)
		b = b[size:]
	}
}

// batch passes up the messages of the application that b begins with, as far as
// they are whole, and tells how long they are.
func (l *layer) batch(b []byte) int {
	end, count, heads := 0, 0, 0
	for end+1 < len(b) && b[end] < stack.FirstStackKind {
		size, head := int(b[end+1]), 2 // in place for those that are the most
		if size >= 0x80 {
			_, size, head = wire.FrameHead(b[end:])
		}
		step := head + size
		if head == 0 || step > len(b)-end || size > l.limit {
			break
		}
		end += step
		heads += head
		count++
		// Where the next one lies need not wait for its length if that is the same.
		for head == 2 && step <= len(b)-end && int(b[end+1]) == size &&
			b[end] < stack.FirstStackKind {
			end += step
			heads += 2
			count++
		}
	}
	bytes := end - heads
	if count == 0 {
		return 0
	}
	l.msg.Kind, l.msg.Data, l.msg.Count, l.msg.Bytes = 0, b[:end:end], count, bytes
	if count == 1 {
		l.msg.Kind, l.msg.Data, l.msg.Count = b[0], b[end-bytes:end:end], 0
	}
	l.PassUp(&l.msg)
	l.msg.Count = 0
	return end
}

const (
	arenaMax = wire.BufSize // larger messages get memory of their own
	firstCap = 1 << 20      // a claimed length is believed up to here
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

// add takes some more of the message. Where so much has come that the claimed
// length is to be believed there is room for all of it at once: to grow step by
// step would copy what has come several times over, and the last time would hold
// the member up for longer than others wait for it.
func (p *parser) add(b []byte) {
	if len(p.data)+len(b) > cap(p.data) {
		p.data = append(make([]byte, 0, len(p.data)+p.need), p.data...)
	}
	p.data = append(p.data, b...)
	p.need -= len(b)
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
