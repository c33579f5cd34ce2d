package pack_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"maestro/layers/pack"
	"maestro/stack"
	"maestro/wire"
)

// env is what the layer stands on in these tests.
type env struct {
	t        testing.TB
	cfg      stack.Config
	pool     wire.Pool
	counters stack.Counters
	below    *below
	got      func(m *stack.Msg)
	suspects int
}

// below is the lowest layer: it passes segments up.
type below struct{ *stack.Port }

func (b *below) Receive(d *stack.Datagram) {
	b.PassUp(&stack.Msg{From: int(d.Sender), To: stack.All, Seq: d.Last(), Data: d.Body,
		Part: d.Part, Buf: d.Buf})
}
func (b *below) Down(*stack.Msg)                               {}
func (b *below) MultiControl(int, wire.Kind, uint64, []byte)   {}
func (b *below) SendControl(int, wire.Kind, uint64, []byte)    {}
func (b *below) CastForeign(wire.Kind, []byte)                 {}
func (b *below) SendForeign(netip.AddrPort, wire.Kind, []byte) {}
func (b *below) Burst(int, []byte, int)                        {}

func (e *env) Now() stack.Time                      { return 0 }
func (e *env) Rand() *rand.Rand                     { return nil }
func (e *env) Pool() *wire.Pool                     { return &e.pool }
func (e *env) Config() *stack.Config                { return &e.cfg }
func (e *env) GroupConn() uint64                    { return 0 }
func (e *env) Silence() time.Duration               { return e.cfg.Silence }
func (e *env) Pace() stack.Time                     { return 0 }
func (e *env) Ltime(least uint64) uint64            { return least }
func (e *env) Hooks() stack.Hooks                   { return nil }
func (e *env) Counters() *stack.Counters            { return &e.counters }
func (e *env) Watch(netip.AddrPort) bool            { return false }
func (e *env) Transmit(netip.AddrPort, []byte, int) {}
func (e *env) Deliver(_ *stack.Stack, m *stack.Msg) { e.got(m) }
func (e *env) Told(_ *stack.Stack, ev stack.Event) {
	if _, ok := ev.(stack.Suspect); ok {
		e.suspects++
	}
}

func newEnv(t testing.TB, members, maxMessage int) (*env, *stack.Stack) {
	e := &env{t: t, cfg: stack.Config{Segment: 256, MaxMessage: maxMessage}}
	v := &stack.View{}
	v.Members = make([]wire.Member, members)
	low := stack.Maker{Name: "below",
		Gives: stack.Reliable | stack.Stable,
		New:   func(p *stack.Port) stack.Layer { e.below = &below{p}; return e.below }}
	return e, stack.New(e, v, []stack.Maker{low, pack.Maker()})
}

// run passes segments up, in a buffer of their own as the network gives them: part
// bytes each but the last.
func (e *env) run(s *stack.Stack, from int, seq uint64, body []byte, part int) {
	buf := e.pool.Get()
	n := copy(buf.B, body)
	s.Receive(&stack.Datagram{Header: wire.Header{Sender: uint16(from), Seq: seq},
		Body: buf.B[:n:n], Part: part, Buf: buf})
	buf.Drop()
}

const maxMessage = 3000

// naive takes a whole stream apart: the messages in it, where they end, and whether
// it is spoilt.
func naive(stream []byte) (msgs [][]byte, ends []int, spoilt bool) {
	for at := 0; at < len(stream); {
		size, n := binary.Uvarint(stream[at+1:])
		switch {
		case n == 0 && len(stream)-at-1 < 5:
			return msgs, ends, false // the head goes on in segments that never came
		case n <= 0 || n > 5 || size > maxMessage:
			return msgs, ends, true
		}
		at += 1 + n
		if at+int(size) > len(stream) {
			return msgs, ends, false // as does the message
		}
		at += int(size)
		msgs, ends = append(msgs, stream[at-int(size):at]), append(ends, at)
	}
	return msgs, ends, false
}

// cut passes a stream up in runs of segments, as marks say, and notes which segment
// each byte was in.
func (e *env) cut(s *stack.Stack, stream []byte, marks uint64) (in []uint64) {
	seq := uint64(1)
	for step := 0; len(stream) > 0; step++ {
		part := 1 + int(marks>>(step*7%64)&31)
		n := min(part*(1+int(marks>>(step*11%64)&3)), len(stream))
		e.run(s, 1, seq, stream[:n], part)
		for i := range n {
			in = append(in, seq+uint64(i/part))
		}
		seq = in[len(in)-1] + 1
		stream = stream[n:]
	}
	return in
}

// FuzzPack passes up a stream in runs of segments of random lengths. What comes up is
// what a naive parser finds in the stream, with the segment that each message ends in.
func FuzzPack(f *testing.F) {
	f.Add(uint64(1<<7), []byte("\x00\x03one\x01\x05fi-ve\x02\x00"))
	f.Add(uint64(1<<3|1<<5), []byte("\x00\x05hello\x00\x02yo"))
	f.Add(uint64(1<<40), append([]byte("\x00\xd0\x0f"), make([]byte, 2000)...))
	f.Add(uint64(1<<8), []byte("\x00\x03one\xff\xff\xff\x01\x02hi"))
	f.Add(uint64(1), []byte("\xff"))
	f.Add(uint64(0), []byte("\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add(uint64(3), bytes.Repeat([]byte("\x01\x03abc"), 40))
	f.Fuzz(func(t *testing.T, marks uint64, stream []byte) {
		e, s := newEnv(t, 2, maxMessage)
		var got [][]byte
		var seqs []uint64
		e.cfg.Batches = len(stream)%2 == 0
		e.got = func(m *stack.Msg) {
			if m.Count == 0 {
				got, seqs = append(got, bytes.Clone(m.Data)), append(seqs, m.Seq)
				return
			}
			n, size := 0, 0
			for f := wire.Frames(m.Data); len(f) > 0; n++ {
				_, msg, ok := f.Next()
				if !ok {
					t.Fatalf("message %d of a batch of %d is broken", n, m.Count)
				}
				got = append(got, bytes.Clone(msg))
				seqs = append(seqs, m.SeqAt(len(m.Data)-len(f)))
				size += len(msg)
			}
			if n != m.Count || size != m.Bytes {
				t.Fatalf("batch of %d messages, %d bytes: %d, %d", n, size, m.Count, m.Bytes)
			}
			if last := seqs[len(seqs)-1]; last != m.Seq {
				t.Fatalf("a batch up to segment %d, told as of %d", last, m.Seq)
			}
		}
		in := e.cut(s, stream, marks)
		want, ends, spoilt := naive(stream)
		if spoilt != (e.suspects == 1) || len(got) != len(want) {
			t.Fatalf("%d messages, %d suspicions; %d wanted, spoilt %v", len(got), e.suspects,
				len(want), spoilt)
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) || seqs[i] != in[ends[i]-1] {
				t.Fatalf("message %d is %q of segment %d, not %q of %d", i, got[i], seqs[i],
					want[i], in[ends[i]-1])
			}
		}
		if n := e.pool.Live(); n > 2 {
			t.Fatalf("%d buffers for a message in the making", n)
		}
		s.Close()
		if n := e.pool.Live(); n != 0 {
			t.Fatalf("%d buffers left", n)
		}
	})
}

// Packing and unpacking cost no memory.
func TestAllocations(t *testing.T) {
	e, s := newEnv(t, 2, maxMessage)
	n := 0
	e.got = func(*stack.Msg) { n++ }
	data := make([]byte, 64)
	m := &stack.Msg{To: stack.All, Kind: 1, Data: data}
	down := func() {
		for range 50 {
			s.Down(m)
		}
		s.EndTurn()
		_, _, _, last := s.Log().Burst(1<<60, 0)
		s.Log().Free(last)
	}
	down()
	if a := testing.AllocsPerRun(100, down); a != 0 {
		t.Errorf("%v allocations going down", a)
	}
	buf := e.pool.Get()
	one := append([]byte{1, 64}, data...)
	body := append(append([]byte(nil), one...), one[:20]...) // and the begin of one more
	rest := append(append([]byte(nil), one[20:]...), one...)
	msg := &stack.Msg{From: 1, To: stack.All, Buf: buf}
	up := func() {
		for _, b := range [][]byte{body, rest} {
			msg.Data = b
			e.below.PassUp(msg)
		}
	}
	for range 1000 {
		up()
	}
	if a := testing.AllocsPerRun(1000, up); a != 0 {
		t.Errorf("%v allocations going up", a)
	}
	if n < 3000 {
		t.Errorf("%d messages", n)
	}
	buf.Drop()
	s.Close()
}
