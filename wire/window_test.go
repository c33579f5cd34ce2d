package wire_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"maestro/wire"
)

// windowModel is a Window and a naive one: a map.
type windowModel struct {
	pool  wire.Pool
	win   *wire.Window
	limit uint64
	held  map[uint64]string
	bufs  map[uint64]*wire.Buf
	arena *wire.Buf // what runs are cut from, one after the other
	used  int
	first uint64 // oldest kept
	read  uint64 // next to pass up
	high  uint64
}

func newWindowModel(limit int) *windowModel {
	m := &windowModel{win: wire.NewWindow(limit), limit: uint64(limit), held: map[uint64]string{},
		bufs: map[uint64]*wire.Buf{}, first: 1, read: 1}
	m.pool.Poison = true
	return m
}

// next is the lowest number that is missing.
func (m *windowModel) next() uint64 {
	n := m.first
	for m.held[n] != "" {
		n++
	}
	return n
}

// room is n bytes of the arena.
func (m *windowModel) room(n int) []byte {
	if m.arena == nil || m.used+n > len(m.arena.B) {
		m.dropArena()
		m.arena, m.used = m.pool.Get(), 0
	}
	m.used += n
	return m.arena.B[m.used-n : m.used]
}

func (m *windowModel) dropArena() {
	if m.arena != nil {
		m.arena.Drop()
	}
	m.arena = nil
}

// insert inserts n segments of part bytes each, but the last of one less.
func (m *windowModel) insert(seq uint64, n, part int) error {
	run := m.room(n*part - 1)
	kept := 0
	for i := range n {
		body := run[i*part : min((i+1)*part, len(run))]
		q := seq + uint64(i)
		for k := range body {
			body[k] = byte(q*31) + byte(k*7)
		}
		if q >= m.next() && q-m.first < m.limit && m.held[q] == "" {
			m.held[q] = string(body)
			m.bufs[q] = m.arena
			m.high = max(m.high, q)
			kept++
		}
	}
	if got := m.win.Insert(seq, m.arena, run, part); got != kept {
		return fmt.Errorf("Insert(%d, %d) = %d, not %d", seq, n, got, kept)
	}
	return nil
}

func (m *windowModel) saw(seq uint64) error {
	want := seq > m.high
	if want {
		m.high = min(seq, m.first+m.limit-1)
	}
	if got := m.win.Saw(seq); got != want {
		return fmt.Errorf("Saw(%d) = %v", seq, got)
	}
	return nil
}

func (m *windowModel) readUpTo(limit uint64) error {
	for {
		want := m.read < m.next() && m.read <= limit
		last, buf, run, part, ok := m.win.Read(limit)
		if ok != want || ok && (last < m.read || last > limit || last >= m.next() || buf == nil) {
			return fmt.Errorf("Read(%d) = %d %v, next is %d", limit, last, ok, m.read)
		}
		if !ok {
			return nil
		}
		for ; m.read <= last; m.read++ {
			n := min(part, len(run))
			if string(run[:n]) != m.held[m.read] || buf != m.bufs[m.read] {
				return fmt.Errorf("segment %d of a run to %d is %x", m.read, last, run[:n])
			}
			run = run[n:]
		}
		if len(run) > 0 {
			return fmt.Errorf("%d bytes more than %d segments", len(run), last)
		}
	}
}

func (m *windowModel) free(upto uint64) {
	m.win.Free(upto)
	for m.first <= upto && m.first < m.read {
		delete(m.held, m.first)
		delete(m.bufs, m.first)
		m.first++
	}
}

// gaps is what is missing up to limit.
func (m *windowModel) gaps(limit uint64) []wire.Span {
	var spans []wire.Span
	for s := m.next(); s <= min(limit, m.high) && len(spans) <= wire.MaxSpans; s++ {
		if m.held[s] != "" {
			continue
		}
		if n := len(spans); n > 0 && spans[n-1].To == s-1 {
			spans[n-1].To = s
		} else {
			spans = append(spans, wire.Span{From: s, To: s})
		}
	}
	return spans[:min(len(spans), wire.MaxSpans)]
}

func (m *windowModel) check(limit uint64) error {
	w := m.win
	bytes := 0
	for seq, body := range m.held {
		bytes += len(body)
		if got := w.Get(seq); string(got) != body {
			return fmt.Errorf("Get(%d) = %q", seq, got)
		}
	}
	if w.Get(m.first-1) != nil || w.Get(m.high+1) != nil || w.Get(m.next()) != nil {
		return fmt.Errorf("Get of what is not there")
	}
	got, want := fmt.Sprint(w.Received(), w.Passed(), w.High(), w.Open(), w.Bytes()),
		fmt.Sprint(m.next()-1, m.read-1, m.high, m.next() <= m.high, bytes)
	if got != want {
		return fmt.Errorf("window says %s, model %s", got, want)
	}
	if got, want := fmt.Sprint(w.Gaps(nil, limit)), fmt.Sprint(m.gaps(limit)); got != want {
		return fmt.Errorf("gaps up to %d are %s, not %s", limit, want, got)
	}
	bufs := map[*wire.Buf]bool{m.arena: true}
	for _, b := range m.bufs {
		bufs[b] = true
	}
	delete(bufs, nil)
	if n := m.pool.Live(); n != len(bufs) {
		return fmt.Errorf("%d buffers, not %d", n, len(bufs))
	}
	return nil
}

func (m *windowModel) close() error {
	m.win.Close()
	m.dropArena()
	if n := m.pool.Live(); n != 0 {
		return fmt.Errorf("%d buffers left", n)
	}
	return nil
}

func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newWindowModel(rapid.SampledFrom([]int{1, 7, 40, 300}).Draw(t, "limit"))
		seq := func(t *rapid.T) uint64 {
			return rapid.OneOf(rapid.Uint64Range(m.next(), m.next()+3),
				rapid.Uint64Range(1, m.first+m.limit+3)).Draw(t, "seq")
		}
		do := func(f func(uint64) error) func(*rapid.T) {
			return func(t *rapid.T) {
				if err := f(seq(t)); err != nil {
					t.Fatal(err)
				}
			}
		}
		insert := func(t *rapid.T) {
			n := rapid.IntRange(1, 12).Draw(t, "segments")
			part := rapid.IntRange(2, 9).Draw(t, "part")
			if err := m.insert(seq(t), n, part); err != nil {
				t.Fatal(err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"insert": insert, "insert again": insert, "saw": do(m.saw),
			"new arena": func(*rapid.T) { m.dropArena() },
			"read":      do(m.readUpTo), "": do(m.check),
			"free": func(t *rapid.T) { m.free(seq(t)) },
		})
		if err := m.close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWindowAllocations(t *testing.T) {
	var pool wire.Pool
	w := wire.NewWindow(1 << 10)
	var spans []wire.Span
	seq := uint64(0)
	cycle := func() {
		for range 64 {
			buf := pool.Get()
			seq++
			w.Insert(seq^1, buf, buf.B[:10], 10) // in pairs, the wrong way round
			spans = w.Gaps(spans[:0], seq)
			buf.Drop()
			for {
				if _, _, _, _, ok := w.Read(1 << 60); !ok {
					break
				}
			}
		}
		w.Free(w.Passed())
	}
	buf := pool.Get()
	w.Insert(1, buf, nil, 0) // so that pairs begin at an even number
	buf.Drop()
	seq = 1
	cycle()
	if n := testing.AllocsPerRun(100, cycle); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
