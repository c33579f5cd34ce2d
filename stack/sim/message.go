package sim

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"maestro/stack"
	"maestro/stack/trace"
	"maestro/wire"
)

// A message of a Recorder:
//
//	1 length of name | name | 8 incarnation | 8 number | bytes that follow from them
//
// fixed is the length without name and filling.
const fixed = 1 + 8 + 8

// kindTest is the kind of a Recorder's messages.
const kindTest = 1

// message writes message n of the given size, or a little more if it does not
// fit that.
func message(b []byte, from wire.Endpoint, n uint64, size int) []byte {
	b = append(b[:0], byte(len(from.Name)))
	b = append(b, from.Name...)
	b = binary.LittleEndian.AppendUint64(b, from.Incarnation)
	b = binary.LittleEndian.AppendUint64(b, n)
	x := from.Incarnation ^ n*0x9E3779B97F4A7C15
	for len(b)+8 <= size {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	for len(b) < size {
		b = append(b, byte(x))
	}
	return b
}

// parse reads whose message it is.
func parse(b []byte) (trace.MsgID, bool) {
	var id trace.MsgID
	if len(b) < fixed || len(b) < fixed+int(b[0]) {
		return id, false
	}
	n := int(b[0])
	id.Origin.Name = string(b[1 : 1+n])
	id.Origin.Incarnation = binary.LittleEndian.Uint64(b[1+n:])
	id.N = binary.LittleEndian.Uint64(b[9+n:])
	return id, true
}

// hash is a fast hash of a message, never 0.
func hash(b []byte) uint64 {
	h := uint64(len(b)) * 0x9E3779B97F4A7C15
	for len(b) >= 8 {
		hi, lo := bits.Mul64(h^binary.LittleEndian.Uint64(b), 0xD6E8FEB86659FD93)
		h = hi ^ lo + 0x632BE59BD9B4E019
		b = b[8:]
	}
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	if h == 0 {
		return 1
	}
	return h
}

// Cast sends a message of about size bytes to all, now or as soon as possible.
func (r *Recorder) Cast(size int) { r.Submit(wire.Endpoint{}, size) }

// Submit sends a message to one member, or to all if to is zero, now or as soon
// as possible.
func (r *Recorder) Submit(to wire.Endpoint, size int) {
	r.number++
	r.outbox = append(r.outbox, outgoing{to: to, n: r.number, size: size})
	r.m.Do(func(*stack.Group) { r.pump() })
}

// CastCore sends a message to the core of the view, now or as soon as possible.
func (r *Recorder) CastCore(size int) {
	r.number++
	r.outbox = append(r.outbox, outgoing{core: true, n: r.number, size: size})
	r.m.Do(func(*stack.Group) { r.pump() })
}

// Queued is how many messages wait to be sent.
func (r *Recorder) Queued() int { return len(r.outbox) }

// pump sends what can be sent, in order.
func (r *Recorder) pump() {
	g := r.m.Group
	for len(r.outbox) > 0 {
		if r.Blocked || r.full || r.Gone || r.Current == nil || g.Epoch() != r.epoch {
			return
		}
		switch err := r.send(g, &r.outbox[0]); {
		case errors.Is(err, stack.ErrWouldBlock):
			r.full = true
			return
		case errors.Is(err, stack.ErrBlocked), errors.Is(err, stack.ErrNotJoined):
			return
		}
		r.outbox = r.outbox[1:]
	}
}

// send sends one message and records it.
func (r *Recorder) send(g *stack.Group, o *outgoing) error {
	rank := stack.All
	if !o.to.IsZero() {
		if rank = r.Current.RankOf(o.to); rank < 0 || rank == r.Current.Rank && !r.Self {
			return stack.ErrNotMember
		}
	}
	r.text = message(r.text, r.m.Self, o.n, o.size)
	r.event = trace.Event{Kind: trace.Send, Msg: trace.MsgID{Origin: r.m.Self, N: o.n},
		Hash: hash(r.text)}
	var err error
	switch {
	case rank != stack.All:
		r.event.MsgKind, r.event.Peer = trace.Pt2pt, o.to
		err = g.Send(rank, kindTest, r.text[:1], r.text[1:])
	case o.core:
		r.toCore(g.View())
		err = g.CastCore(kindTest, nil, r.text)
	case o.n%3 == 0:
		var room []byte
		if room, err = g.Claim(len(r.text) + 5); err == nil {
			err = g.Commit(kindTest, copy(room, r.text))
		}
	default:
		k := int(o.n) % len(r.text)
		err = g.Cast(kindTest, r.text[:k], r.text[k:])
	}
	if err == nil {
		r.Sent++
		r.record(&r.event)
	}
	return err
}

// toCore completes the record of a core cast.
func (r *Recorder) toCore(v *stack.View) {
	if v.Core == nil {
		return // it goes to all
	}
	r.event.MsgKind = trace.Lsend
	for i := range v.Members {
		if v.Core[i] {
			r.event.Dests = append(r.event.Dests, v.Members[i].ID)
		}
	}
}
