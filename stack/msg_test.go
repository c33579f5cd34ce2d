package stack_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"maestro/stack"
	"maestro/wire"
)

// piece is a message of a batch and the segment in which it ends.
type piece struct {
	kind uint8
	data string
	seq  uint64
}

// pieces takes a message or a batch apart.
func pieces(m *stack.Msg) (all []piece) {
	if m.Count == 0 {
		return []piece{{m.Kind, string(m.Data), m.Seq}}
	}
	for f := wire.Frames(m.Data); len(f) > 0; {
		kind, data, ok := f.Next()
		if !ok {
			return nil
		}
		all = append(all, piece{kind, string(data), m.SeqAt(len(m.Data) - len(f))})
	}
	return all
}

// TestCut cuts batches of random messages in segments of random length: what comes out
// in front and what is left are the messages that there were, each with its segment.
func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 300), 2, 20).Draw(t, "sizes")
		part := rapid.IntRange(1, 400).Draw(t, "part")
		skip := rapid.IntRange(0, part-1).Draw(t, "skip")
		m := &stack.Msg{From: 1, To: stack.All, Part: part, Skip: skip, Count: len(sizes)}
		var want []piece
		for i, n := range sizes {
			m.Data = binary.AppendUvarint(append(m.Data, uint8(i)), uint64(n))
			m.Data = append(m.Data, bytes.Repeat([]byte{uint8(i)}, n)...)
			m.Bytes += n
			m.Seq = 7 + uint64((skip+len(m.Data)-1)/part)
			want = append(want, piece{uint8(i), string(m.Data[len(m.Data)-n:]), m.Seq})
		}
		for m.Count > 0 {
			if m.First() != want[0].seq {
				t.Fatalf("the first ends in segment %d, not %d", m.First(), want[0].seq)
			}
			n := rapid.IntRange(1, m.Count-1).Draw(t, "n")
			front := m.Cut(n)
			got := append(pieces(&front), pieces(m)...)
			if len(got) != len(want) || front.Messages() != n || front.Seq != want[n-1].seq {
				t.Fatalf("cut %d of %d: %+v and %+v", n, len(want), front, m)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("message %d is %+v, not %+v", i, got[i], want[i])
				}
			}
			want = want[n:]
		}
	})
}
