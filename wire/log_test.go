package wire_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"maestro/wire"
)

// logModel is a Log and what is expected of it: its segments' bodies, one after
// the other, are the frames of all messages, one after the other.
type logModel struct {
	t    *rapid.T
	pool wire.Pool
	log  *wire.Log
	seg  int

	spaced bool

	stream []byte            // all frames
	ends   map[int]uint64    // where each message ends in it, and in which segment, as told
	kept   map[uint64][]byte // bodies of segments that were transmitted
	at     int               // how much of stream has been transmitted
	bounds map[uint64]int    // where in stream each transmitted segment ends
	freed  uint64
}

const logConn, logSender = 0x1122334455667788, 7

func newLogModel(t *rapid.T) *logModel {
	m := &logModel{t: t, seg: rapid.SampledFrom([]int{64, 100, 256, 1472, 9000}).Draw(t, "seg"),
		ends: map[int]uint64{}, kept: map[uint64][]byte{}, bounds: map[uint64]int{}}
	m.pool.Poison = true
	h := wire.Header{Kind: wire.KindCast, Sender: logSender, Conn: logConn}
	m.log = wire.NewLog(&m.pool, h, m.seg)
	if m.spaced = rapid.Bool().Draw(t, "spaced"); m.spaced {
		m.log = wire.NewSpacedLog(&m.pool, h, m.seg)
	}
	return m
}

// frame notes a message that the log says to have put into segment seq.
func (m *logModel) frame(kind uint8, data []byte, seq uint64) {
	m.stream = append(m.stream, kind)
	m.stream = binary.AppendUvarint(m.stream, uint64(len(data)))
	m.stream = append(m.stream, data...)
	m.ends[len(m.stream)] = seq
}

func (m *logModel) size(t *rapid.T, label string) int {
	return rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(0, 400),
		rapid.IntRange(m.seg-40, m.seg+10), rapid.IntRange(0, 40000),
		rapid.IntRange(60000, 70000)).Draw(t, label)
}

func (m *logModel) data(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(len(m.stream) + i*7)
	}
	return b
}

func (m *logModel) Append(t *rapid.T) {
	data := m.data(m.size(t, "length"))
	head := rapid.IntRange(0, len(data)).Draw(t, "head")
	kind := rapid.Uint8().Draw(t, "kind")
	m.frame(kind, data, m.log.Append(kind, data[:head], data[head:]))
}

func (m *logModel) Claim(t *rapid.T) {
	if m.spaced {
		t.Skip("not of a spaced log")
	}
	room := m.log.Claim(m.size(t, "claim"))
	if !m.log.Claimed() {
		t.Fatal("a claim is not claimed")
	}
	if rapid.IntRange(0, 4).Draw(t, "unclaim") == 0 {
		m.log.Unclaim()
		return
	}
	n := rapid.IntRange(0, len(room)).Draw(t, "commit")
	data := m.data(n)
	copy(room, data)
	m.frame(9, data, m.log.Commit(9, n))
}

func (m *logModel) Seal(*rapid.T) { m.log.Seal() }

func (m *logModel) Burst(t *rapid.T) {
	limit := m.log.Sent() + uint64(rapid.IntRange(0, 80).Draw(t, "limit"))
	low := rapid.Uint64Range(0, m.log.Sent()).Draw(t, "low")
	sent := m.log.Sent()
	b, seg, first, last := m.log.Burst(limit, low)
	if b == nil {
		if sent < limit && sent < m.log.Last() {
			t.Fatalf("nothing to send although %d is sealed", m.log.Last())
		}
		return
	}
	n := int(last - first + 1)
	switch {
	case first != sent+1 || last > limit || last != m.log.Sent() || last > m.log.Last():
		t.Fatalf("burst %d-%d of limit %d after %d", first, last, limit, sent)
	case n > 64 || len(b) > 65000:
		t.Fatalf("%d segments of %d in %d bytes", n, seg, len(b))
	}
	m.run(b, seg, first, last, low)
}

// run checks datagrams that leave.
func (m *logModel) run(b []byte, seg int, first, last, low uint64) {
	n := int(last - first + 1)
	if len(b) > n*seg || len(b) <= (n-1)*seg {
		m.t.Fatalf("%d segments of %d in %d bytes", n, seg, len(b))
	}
	all := bytes.Clone(b)
	for q := first; q <= last; q++ {
		m.segment(q, b[:min(seg, len(b))], low)
		b = b[min(seg, len(b)):]
	}
	r := wire.Split(all, seg, nil)
	if f := r.Follow(0); r.Len() != n || f != n-1 {
		m.t.Fatalf("%d of %d segments follow the first, of %d", f, r.Len(), n)
	}
	if m.spaced {
		return
	}
	run, part, _ := m.log.Run(first, last)
	if !bytes.Equal(run, r.Body) || part != r.Part {
		m.t.Fatalf("the run of %d to %d is not what was sent", first, last)
	}
}

// segment checks a datagram that leaves.
func (m *logModel) segment(seq uint64, b []byte, low uint64) {
	var h wire.Header
	behind := min(seq-min(low, seq), 65535)
	if !h.Parse(b) || len(b) > m.seg || h.Seq != seq || h.Kind != wire.KindCast ||
		h.Conn != logConn || h.Sender != logSender || uint64(h.Low) != behind {
		m.t.Fatalf("segment %d of %d bytes with header %+v", seq, len(b), h)
	}
	body := b[wire.HeaderLen:]
	if !bytes.HasPrefix(m.stream[m.at:], body) || len(body) == 0 {
		m.t.Fatalf("segment %d is not what was written", seq)
	}
	m.at += len(body)
	m.bounds[seq] = m.at
	m.kept[seq] = bytes.Clone(body)
}

func (m *logModel) Free(t *rapid.T) {
	upto := rapid.Uint64Range(0, m.log.Last()+2).Draw(t, "free")
	m.log.Free(upto)
	m.freed = max(m.freed, min(upto, m.log.Sent()))
	if m.log.First() != m.freed+1 {
		t.Fatalf("first is %d after Free(%d), sent %d", m.log.First(), upto, m.log.Sent())
	}
}

// check holds the kept segments, the sums and the promises against the model.
func (m *logModel) check(t *rapid.T) {
	if m.log.Body(m.freed) != nil || m.log.Body(m.log.Last()+1) != nil {
		t.Fatal("a segment that is not there")
	}
	for q := m.freed + 1; q <= m.log.Sent(); q++ {
		if !bytes.Equal(m.log.Body(q), m.kept[q]) {
			t.Fatalf("segment %d has changed since it was sent", q)
		}
	}
	bytes := 0
	for q := m.freed + 1; q <= m.log.Last(); q++ {
		bytes += len(m.log.Body(q))
	}
	if got := m.log.Bytes(); got < bytes || got > bytes+m.seg {
		t.Fatalf("%d bytes in segments, %d in all", bytes, got)
	}
	if !m.log.Pending() && m.at != len(m.stream) {
		t.Fatalf("nothing is pending, and %d bytes are missing", len(m.stream)-m.at)
	}
}

func (m *logModel) end(t *rapid.T) {
	m.log.Seal()
	for m.log.Pending() {
		b, seg, first, last := m.log.Burst(1<<60, 0)
		m.run(b, seg, first, last, 0)
	}
	m.check(t)
	for end, seq := range m.ends {
		if m.bounds[seq] < end || m.bounds[seq-1] >= end {
			t.Fatalf("a message ends at byte %d, not in segment %d (%d to %d)", end, seq,
				m.bounds[seq-1], m.bounds[seq])
		}
	}
	m.log.Close()
	if m.pool.Live() != 0 {
		t.Fatalf("%d buffers left", m.pool.Live())
	}
}

func TestLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newLogModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"append": m.Append, "claim": m.Claim, "seal": m.Seal, "burst": m.Burst, "free": m.Free,
			"": m.check,
		})
		m.end(t)
	})
}

// Segments that are closed together leave together.
func TestLogBurstIsLong(t *testing.T) {
	var pool wire.Pool
	l := wire.NewLog(&pool, wire.Header{Kind: wire.KindCast}, 1000)
	l.Append(0, nil, make([]byte, 100_000))
	l.Seal()
	b, seg, first, last := l.Burst(1<<60, 0)
	if len(b) < 60_000 || seg != 1000 || first != 1 || last < 60 {
		t.Errorf("burst of %d bytes, %d to %d", len(b), first, last)
	}
}

// A long message lies in one piece, whether it is written or claimed, and leaves in
// whole bursts before the next one is begun.
func TestLogLarge(t *testing.T) {
	pool := wire.Pool{Poison: true}
	l := wire.NewLog(&pool, wire.Header{Kind: wire.KindCast}, 1472)
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i >> 8)
	}
	l.Append(0, nil, []byte("before"))
	for round := range 20 {
		n := 50_000 << (round % 5)
		if n = min(n, len(data)); round%2 == 0 {
			l.Append(1, data[:10], data[10:n])
		} else {
			copy(l.Claim(n), data)
			l.Commit(1, n)
		}
		if n > 130_000 && !l.Whole() {
			t.Errorf("%d bytes are no burst", n)
		}
		var piece []byte
		l.Seal()
		for l.Pending() {
			_, _, first, last := l.Burst(1<<60, 0)
			run, _, _ := l.Run(first, last)
			if wire.Follows(piece, run) {
				piece = piece[:len(piece)+len(run)]
			} else {
				piece = run
			}
		}
		if !bytes.HasSuffix(piece, data[:n]) {
			t.Errorf("message %d of %d bytes lies in pieces", round, n)
		}
		if l.Free(l.Sent()); l.Bytes() != 0 || pool.Live() > 1 {
			t.Errorf("%d bytes, %d buffers left", l.Bytes(), pool.Live())
		}
	}
	if l.Close(); pool.Live() != 0 || pool.Made() > 8 {
		t.Errorf("%d buffers left of %d", pool.Live(), pool.Made())
	}
}

func TestLogAgain(t *testing.T) {
	var pool wire.Pool
	l := wire.NewLog(&pool, wire.Header{Kind: wire.KindCast}, 1000)
	l.Append(0, nil, nil)
	l.Seal()
	l.Burst(1, 0)
	for i, c := range []struct {
		now       int64
		who       int
		send, all bool
	}{
		{100, 1, true, false},  // the first request
		{105, 1, false, false}, // too soon
		{106, 2, true, true},   // somebody else as well
		{107, 1, false, false}, // it went to all
		{108, 3, false, false},
		{116, 1, true, false}, // time enough
	} {
		if send, all := l.Again(1, c.now, 10, c.who); send != c.send || all != c.all {
			t.Errorf("%d: %v %v", i, send, all)
		}
	}
	l.Close()
}

func TestLogAllocations(t *testing.T) {
	var pool wire.Pool
	l := wire.NewLog(&pool, wire.Header{Kind: wire.KindCast}, 1472)
	data := make([]byte, 64)
	cycle := func() {
		for range 100 {
			l.Append(1, nil, data)
			copy(l.Claim(64), data)
			l.Commit(1, 64)
		}
		l.Seal()
		for b, _, _, last := l.Burst(1<<60, 0); b != nil; b, _, _, last = l.Burst(1<<60, 0) {
			l.Free(last)
		}
	}
	cycle()
	if n := testing.AllocsPerRun(100, cycle); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
