// Package pack packs messages into segments and splits them across segments.
//
// Guarantee: messages of any size up to Config.MaxMessage come up whole, in the
// order of their stream; those that lie in one piece of memory as a batch. A stream
// of segments is a stream of bytes: segments are filled to the last byte as long as
// there is something to send, and leave when the turn ends, full or not.
//
// Needs: reliable segments, in order.
//
// Header: before each message one byte of kind and the length as a varint; the
// message follows. Both go on in the next segment where one ends.
//
// Timers: none.
//
// Source: smart batching as in Disruptor and Aeron; Ensemble's pack and frag.
package pack

import (
	"slices"

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
	head  [wire.FrameHeadMax]byte // the beginning of a frame's head
	heads int                     // bytes of it
	need  int                     // bytes of the message still to come
	kind  uint8
	buf   *wire.Buf // holds data
	data  []byte    // what there is of it
	lies  bool      // data lies where it was written, in our own send log
	bad   bool
}

type layer struct {
	*stack.Port
	limit   int       // bytes of one message
	parsers []parser  // by stack.StreamOf
	arena   *wire.Buf // split messages are put together here
	used    int
	in      *stack.Msg // what is being taken apart
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

// Flush closes the open segments: the turn is over, and nothing follows it at once.
func (l *layer) Flush() {
	if l.More() {
		return
	}
	for _, log := range l.Logs() {
		log.Seal()
	}
}

// Up takes a piece of a stream apart: the rest of a message that began before, whole
// messages, and the beginning of one that goes on. What is whole goes up at once.
func (l *layer) Up(m *stack.Msg) {
	p := &l.parsers[stack.StreamOf(l.N(), m.From, m.To)]
	if p.bad {
		return
	}
	l.in = m
	l.msg.From, l.msg.To, l.msg.Part = m.From, m.To, m.Part
	b := m.Data
	if p.heads > 0 {
		b = l.finish(p, b)
	}
	if p.need > 0 {
		n := min(p.need, len(b))
		l.add(p, b[:n])
		b = b[n:]
		if p.need > 0 {
			return
		}
		l.whole(p, len(m.Data)-len(b))
	}
	for len(b) > 0 && !p.bad {
		b = b[l.batch(b):]
		kind, size, head := wire.FrameHead(b)
		switch {
		case head < 0 || size > l.limit:
			l.spoilt(p)
			return
		case head == 0:
			p.heads = copy(p.head[:], b)
			return
		case size > len(b)-head:
			p.kind, p.need = kind, size
			l.add(p, b[head:])
			return
		}
		l.msg.Kind = kind // a layer's own
		l.pass(b[head:head+size:head+size], len(m.Data)-len(b)+head)
		b = b[head+size:]
	}
}

// pass passes up what lies in the segments that are being taken apart from byte at
// on.
func (l *layer) pass(data []byte, at int) {
	m := &l.msg
	m.Seq, m.Data, m.Buf = l.in.SeqAt(at+len(data)), data, l.in.Buf
	if m.Part > 0 {
		m.Skip = at % m.Part
	}
	l.PassUp(m)
}

// finish completes a frame's head of which the beginning came before, and returns
// what follows it.
func (l *layer) finish(p *parser, b []byte) []byte {
	for len(b) > 0 {
		p.head[p.heads] = b[0]
		p.heads++
		b = b[1:]
		kind, size, head := wire.FrameHead(p.head[:p.heads])
		if head == 0 {
			continue
		}
		if p.heads = 0; head < 0 || size > l.limit {
			l.spoilt(p)
			return nil
		}
		p.kind, p.need = kind, size
		if size == 0 {
			l.whole(p, len(l.in.Data)-len(b))
		}
		break
	}
	return b
}

// batch passes up the messages of the application that b begins with, as far as
// they are whole, and tells how long they are.
func (l *layer) batch(b []byte) int {
	at := len(l.in.Data) - len(b)
	end, count, heads := 0, 0, 0
	for end+1 < len(b) && b[end] < stack.FirstStackKind {
		size, head := int(b[end+1]), 2 // in place for those that are the most
		if size >= 0x80 {
			_, size, head = wire.FrameHead(b[end:])
		}
		step := head + size
		if head <= 0 || step > len(b)-end || size > l.limit {
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
	switch count {
	case 0:
		return 0
	case 1:
		l.msg.Kind = b[0]
		l.pass(b[heads:end:end], at+heads)
	default:
		l.msg.Kind, l.msg.Count, l.msg.Bytes = 0, count, end-heads
		l.pass(b[:end:end], at)
		l.msg.Count = 0
	}
	return end
}

// believed is up to where room is made for a claimed length before anything of it has
// come.
const believed = 1 << 20

// add takes some more of a message. A long one of our own is left where it lies in our send
// log, as long as its parts lie there one behind the other. What others send is copied at once:
// the buffers that it came in are more than it takes.
func (l *layer) add(p *parser, b []byte) {
	long := p.need > wire.BufSize
	p.need -= len(b)
	switch {
	case len(b) == 0:
	case p.buf == nil && long && l.in.From == l.Me() && l.in.Buf != nil:
		l.in.Buf.Keep()
		p.buf, p.data, p.lies = l.in.Buf, b, true
	case p.lies && p.buf == l.in.Buf && wire.Follows(p.data, b):
		p.data = p.data[:len(p.data)+len(b)]
	default:
		if n := len(p.data) + len(b); p.lies || n > cap(p.data) {
			l.room(p, n, n+p.need)
		}
		p.data = append(p.data, b...)
	}
}

// room makes room for a message of size bytes, of which have bytes have come: for all of
// it at once if it is short, or if so much has come that its length is to be believed. To
// grow step by step would copy what has come several times over, and the last time would
// hold the member up for longer than others wait for it.
func (l *layer) room(p *parser, have, size int) {
	if have <= believed {
		size = min(size, believed)
	}
	var buf *wire.Buf
	var room []byte
	if size > wire.BufSize {
		buf = l.Pool().Large(size)
		room = buf.B[:0:size]
	} else {
		if l.arena == nil || l.used+size > len(l.arena.B) {
			l.dropArena()
			l.arena, l.used = l.Pool().Get(), 0
		}
		l.arena.Keep()
		buf, room = l.arena, l.arena.B[l.used:l.used:l.used+size]
		l.used += size
	}
	room = append(room, p.data...)
	p.drop()
	p.buf, p.data = buf, room
}

// whole passes up the message that has been put together, which ends at byte end of
// what is being taken apart.
func (l *layer) whole(p *parser, end int) {
	m := &l.msg
	m.Kind, m.Data, m.Buf, m.Seq = p.kind, slices.Clip(p.data), p.buf, l.in.SeqAt(end)
	l.PassUp(m)
	p.drop()
}

func (p *parser) drop() {
	if p.buf != nil {
		p.buf.Drop()
	}
	p.buf, p.data, p.lies = nil, nil, false
}

// spoilt gives up a stream that does not parse: its sender is not one of us.
func (l *layer) spoilt(p *parser) {
	p.bad = true
	l.Counters().Malformed++
	if r := l.in.From; r != l.Me() {
		l.Tell(stack.Suspect{Rank: r, Why: "malformed stream"})
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
