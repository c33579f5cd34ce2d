package pack_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"maestro/stack"
	"maestro/wire"
)

const mebi = 1 << 20

func pattern(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(seed + i>>6)
	}
	return b
}

// held is messages that the application has not done with.
type held struct {
	msgs []stack.Msg
	want [][]byte
}

func (h *held) take(t *testing.T, m *stack.Msg, want []byte) {
	m.Buf.Keep()
	h.msgs, h.want = append(h.msgs, *m), append(h.want, want)
	h.check(t)
}

func (h *held) check(t *testing.T) {
	for i := range h.msgs {
		if !bytes.Equal(h.msgs[i].Data, h.want[i]) {
			t.Fatalf("a held message of %d bytes has changed", len(h.want[i]))
		}
	}
}

func (h *held) drop() {
	for i := range h.msgs {
		h.msgs[i].Buf.Drop()
	}
	h.msgs, h.want = nil, nil
}

// Long messages of others, and our own that do not lie in one piece, are put together in
// buffers that come back once they are dropped, and stay as they are until then.
func TestLargeBuffersComeBack(t *testing.T) {
	e, s := newEnv(t, 2, 4*mebi)
	e.pool.Poison = true
	var h held
	var want []byte
	e.got = func(m *stack.Msg) { h.take(t, m, want) }
	seq, made := uint64(1), 0
	for round := range 12 {
		for i, size := range []int{mebi, 100_000, 2*mebi + 5, 65_536} {
			want = pattern(size, round+i)
			stream := append(binary.AppendUvarint([]byte{1}, uint64(size)), want...)
			for len(stream) > 0 {
				n := min(wire.BufSize, len(stream))
				e.run(s, round%2, seq, stream[:n], 1000)
				stream, seq = stream[n:], seq+uint64(n+999)/1000
			}
		}
		h.check(t)
		if len(h.msgs) != 4 {
			t.Fatalf("%d messages", len(h.msgs))
		}
		h.drop()
		if round == 3 {
			made = e.pool.Made()
		}
	}
	if n := e.pool.Made(); n != made {
		t.Errorf("%d buffers made after the first rounds", n-made)
	}
	if s.Close(); e.pool.Live() != 0 {
		t.Errorf("%d buffers left", e.pool.Live())
	}
}

// Long messages of our own are handed up where they lie in the send log, which may be
// freed before they are dropped.
func TestLargeOwnInPlace(t *testing.T) {
	e, s := newEnv(t, 2, 4*mebi)
	e.pool.Poison = true
	var h held
	var want []byte
	e.got = func(m *stack.Msg) { h.take(t, m, want) }
	log := s.Log()
	for round := range 3 {
		for i, size := range []int{mebi, 100_000, 65_536, 300_000} {
			want = pattern(size, round+i)
			s.Down(&stack.Msg{To: stack.All, Kind: 1, Data: want})
			s.EndTurn()
			for log.Pending() {
				_, _, first, last := log.Burst(1<<60, 0)
				m := stack.Msg{From: 0, To: stack.All, Seq: last}
				m.Data, m.Part, m.Buf = log.Run(first, last)
				e.below.PassUp(&m)
				log.Free(last)
			}
		}
		if len(h.msgs) != 4 {
			t.Fatalf("%d messages", len(h.msgs))
		}
		for _, m := range h.msgs {
			if cap(m.Data) != len(m.Data) {
				t.Error("what lies behind a message can be written")
			}
		}
		if n := e.pool.Live(); n > 5 {
			t.Errorf("%d buffers for four messages: they have been copied", n)
		}
		h.drop()
	}
	if s.Close(); e.pool.Live() != 0 {
		t.Errorf("%d buffers left", e.pool.Live())
	}
}

// What a member claims costs memory only as it comes: up to 1 MiB before, all of it
// after.
func TestForgedLength(t *testing.T) {
	e, s := newEnv(t, 2, 64*mebi)
	e.got = func(*stack.Msg) { t.Error("a message") }
	head := binary.AppendUvarint([]byte{1}, 64*mebi)
	run := pattern(wire.BufSize, 0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e.run(s, 1, 1, append(head, 1, 2, 3), 1000)
	for i := range 15 {
		e.run(s, 1, 2+66*uint64(i), run, 1000)
	}
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 2*mebi {
		t.Errorf("%d bytes for 15/16 MiB", after.TotalAlloc-before.TotalAlloc)
	}
	for i := range 20 {
		e.run(s, 1, 1000+66*uint64(i), run, 1000)
	}
	if n := e.pool.Live(); n > 2 {
		t.Errorf("%d buffers for one message", n)
	}
	if s.Close(); e.pool.Live() != 0 {
		t.Errorf("%d buffers left", e.pool.Live())
	}
}
