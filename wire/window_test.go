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
	first uint64 // oldest kept
	read  uint64 // next to pass up
	high  uint64
}

func newWindowModel(limit int) *windowModel {
	m := &windowModel{win: wire.NewWindow(limit), limit: uint64(limit), held: map[uint64]string{},
		first: 1, read: 1}
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

func (m *windowModel) insert(seq uint64) error {
	want := seq >= m.next() && seq-m.first < m.limit && m.held[seq] == ""
	buf := m.pool.Get()
	body := buf.B[:copy(buf.B, fmt.Sprint("segment ", seq))]
	got := m.win.Insert(seq, buf, body)
	buf.Drop()
	if want {
		m.held[seq] = string(body)
		m.high = max(m.high, seq)
	}
	if got != want {
		return fmt.Errorf("Insert(%d) = %v", seq, got)
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
		seq, buf, body, ok := m.win.Read(limit)
		if ok != want || ok && (seq != m.read || string(body) != m.held[seq] || buf == nil) {
			return fmt.Errorf("Read(%d) = %d %q %v, next is %d", limit, seq, body, ok, m.read)
		}
		if !ok {
			return nil
		}
		m.read++
	}
}

func (m *windowModel) free(upto uint64) {
	m.win.Free(upto)
	for m.first <= upto && m.first < m.read {
		delete(m.held, m.first)
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
	if n := m.pool.Live(); n != len(m.held) {
		return fmt.Errorf("%d buffers for %d segments", n, len(m.held))
	}
	return nil
}

func (m *windowModel) close() error {
	m.win.Close()
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
		t.Repeat(map[string]func(*rapid.T){
			"insert": do(m.insert), "insert again": do(m.insert), "saw": do(m.saw),
			"read": do(m.readUpTo), "": do(m.check),
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
			w.Insert(seq^1, buf, buf.B[:10]) // in pairs, the wrong way round
			spans = w.Gaps(spans[:0], seq)
			buf.Drop()
			for {
				if _, _, _, ok := w.Read(1 << 60); !ok {
					break
				}
			}
		}
		w.Free(w.Passed())
	}
	buf := pool.Get()
	w.Insert(1, buf, nil) // so that pairs begin at an even number
	buf.Drop()
	seq = 1
	cycle()
	if n := testing.AllocsPerRun(100, cycle); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
