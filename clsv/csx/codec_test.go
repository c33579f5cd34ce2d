package csx

import (
	"bytes"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

func TestCodec(t *testing.T) {
	for _, a := range []ask{{kind: askOpen, id: 7, try: 300, whole: true, start: 9, cut: 10,
		offset: 1 << 40, hash: 12, credit: 8, request: []byte{}},
		{kind: askOpen, request: []byte("x")}, {kind: askMore, id: 1, try: 2, credit: 3},
		{kind: askStop, id: 1, try: 2}} {
		var got ask
		if !got.parse(a.append(nil)) || !reflect.DeepEqual(got, a) {
			t.Errorf("%+v, want %+v", got, a)
		}
	}
	for _, p := range []portion{{kind: stateChunk, id: 7, try: 300, last: true, cut: 10,
		offset: 1 << 40, hash: 12, length: 1, body: []byte("x")},
		{kind: stateChunk, packed: true, length: 100, body: []byte("x")},
		{kind: stateAgain, id: 1, try: 2}, {kind: stateError, body: []byte("no")}} {
		b := p.appendHead(nil)
		if len(b) > maxHead {
			t.Error("head of", len(b))
		}
		var got portion
		if !got.parse(append(b, p.body...)) || !reflect.DeepEqual(got, p) {
			t.Errorf("%+v, want %+v", got, p)
		}
	}
}

// Whatever comes, decoders stay within what is there.
func FuzzParse(f *testing.F) {
	a := ask{kind: askOpen, id: 7, try: 300, whole: true, start: 9, credit: 8, request: []byte("r")}
	f.Add(a.append(nil))
	p := portion{kind: stateChunk, id: 7, try: 3, last: true, cut: 10, length: 1, hash: 3}
	f.Add(append(p.appendHead(nil), 'x'))
	p.packed, p.length = true, 1<<20
	f.Add(append(p.appendHead(nil), "\x80\x80\x40abc"...))
	f.Add([]byte{stateError, 1, 1, 'n', 'o'})
	f.Fuzz(func(t *testing.T, b []byte) {
		var a, c ask
		if a.parse(b) && (!c.parse(a.append(nil)) || !reflect.DeepEqual(a, c)) {
			t.Errorf("%+v, %+v", a, c)
		}
		var p, q portion
		if !p.parse(b) {
			return
		}
		if !q.parse(append(p.appendHead(nil), p.body...)) || !reflect.DeepEqual(p, q) {
			t.Errorf("%+v, %+v", p, q)
		}
		if got, err := unpack(nil, p.body, p.packed, int(p.length)); p.kind == stateChunk &&
			err == nil && len(got) != int(p.length) {
			t.Errorf("%d bytes of %d", len(got), p.length)
		}
	})
}

// pipe models a sender: chunks are made, perhaps compressed, and go out through
// a queue of a window at the rate of the wire. It returns the time that they
// take.
func pipe(c *choice, chunks, size int, wire, pack, ratio float64) time.Duration {
	var now, free float64 // when the sender, and the wire, are free
	var queue []float64
	for range chunks {
		began := now
		n := float64(size)
		if c.pack() {
			took := n / pack
			now += took
			n /= ratio
			if c.trial {
				c.packed(size, int(n), time.Duration(took*1e9))
			}
		}
		if len(queue) == c.window {
			now = max(now, queue[0])
			queue = queue[1:]
		}
		free = max(free, now) + n/wire
		queue = append(queue, free)
		c.sent(size, time.Duration((now-began)*1e9)+50)
	}
	return time.Duration(max(free, now) * 1e9)
}

// Compression is used where it makes the state go faster, and hardly tried
// where it does not.
func TestChoice(t *testing.T) {
	const chunks, size = 10_000, DefaultChunk
	for _, x := range []struct{ wire, pack, ratio, least float64 }{
		{117e6, 1.4e9, 2.4, 2.0},    // 1 Gbit/s: 2.4 times as fast
		{10e6, 1.4e9, 5, 3.9},       // slower
		{3e9, 1.4e9, 2.4, 0.98},     // a fast machine: not worth it
		{1.25e9, 1.4e9, 1.01, 0.95}, // random bytes
		{10e6, 1.4e9, 0.999, 0.95},
	} {
		raw, c := newChoice(DefaultWindow), newChoice(DefaultWindow)
		raw.never = true
		gain := float64(pipe(&raw, chunks, size, x.wire, x.pack, x.ratio)) /
			float64(pipe(&c, chunks, size, x.wire, x.pack, x.ratio))
		t.Logf("%+v: %.2f times as fast", x, gain)
		if gain < x.least {
			t.Errorf("%+v: %.2f times as fast", x, gain)
		}
	}
}

// A copy with bytes before it is written from the beginning each time.
func TestPrefixed(t *testing.T) {
	data := state(5000, 1)
	for _, snap := range []io.WriterTo{bytes.NewReader(data), bytes.NewBuffer(nil), nil,
		sized{bytes.NewReader(data)}} {
		for range 2 {
			var b bytes.Buffer
			n, err := Prefixed([]byte("head"), snap).WriteTo(&b)
			if snap == nil {
				data = nil
			}
			if _, ok := snap.(*bytes.Buffer); ok {
				if b.String() != "head" {
					t.Error(b.String())
				}
				continue
			}
			want := append([]byte("head"), data...)
			if err != nil || !bytes.Equal(b.Bytes(), want) && snap != nil || int(n) != b.Len() {
				t.Errorf("%T: %d bytes, %v", snap, b.Len(), err)
			}
		}
		data = state(5000, 1)
	}
}

// sized is a section of something.
type sized struct{ *bytes.Reader }

func (s sized) WriteTo(io.Writer) (int64, error) { panic("not this") }

// A writer of many small and large pieces gives the same chunks.
func TestPieces(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	data := state(30_000, 1)
	var b bytes.Buffer
	w := From(&dribble{data, rnd})
	n, err := w.WriteTo(&b)
	if err != nil || n != int64(len(data)) || !bytes.Equal(b.Bytes(), data) {
		t.Error(n, err)
	}
}

type dribble struct {
	left []byte
	rnd  *rand.Rand
}

func (d *dribble) Read(p []byte) (int, error) {
	if len(d.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, d.left[:min(1+d.rnd.IntN(999), len(d.left))])
	d.left = d.left[n:]
	return n, nil
}
