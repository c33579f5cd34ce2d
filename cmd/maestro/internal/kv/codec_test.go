package kv

import (
	"bytes"
	"reflect"
	"testing"
)

func TestCodec(t *testing.T) {
	u := update{session: 7, seq: 300, ops: []op{{key: "a", value: "b"}, {sync: true},
		{del: true, key: "c"}}}
	if got, err := decodeUpdate(u.append(nil)); err != nil || !reflect.DeepEqual(*got, u) {
		t.Error(got, err)
	}
	a := ack{seq: 5, status: statusNoQuorum, results: []byte{1, 0}}
	if got, err := decodeAck(a.append(nil)); err != nil || !reflect.DeepEqual(got, a) {
		t.Error(got, err)
	}
	q := question{id: 9, what: askGet, key: "k"}
	if got, err := decodeQuestion(q.append(nil)); err != nil || got != q {
		t.Error(got, err)
	}
	r := answer{id: 9, status: statusTooLarge, body: []byte("x")}
	if got, err := decodeAnswer(r.append(nil)); err != nil || !reflect.DeepEqual(got, r) {
		t.Error(got, err)
	}
	w := want{attempt: 2, index: 1000}
	if got, err := decodeWant(w.append(nil)); err != nil || got != w {
		t.Error(got, err)
	}
	c := chunk{w, 2000, []byte("r")}
	if got, err := decodeChunk(c.append(nil)); err != nil || !reflect.DeepEqual(got, c) {
		t.Error(got, err)
	}
}

// A snapshot in portions of any size makes the same table.
func TestSnapshot(t *testing.T) {
	one := newTable()
	list, _ := load()
	for _, e := range list {
		one.set(e.Key, e.Value)
	}
	one.apply(&update{session: 1, seq: 4, ops: []op{{key: "x", value: "y"}}})
	for _, size := range []int{1, 50, 1 << 20} {
		two := newTable()
		for _, c := range one.snapshot(size) {
			if err := two.restore(c); err != nil {
				t.Fatal(err)
			}
		}
		if one.digest() != two.digest() || one.hash() != two.hash() || two.last(1).seq != 4 {
			t.Errorf("portions of %d: %v, want %v", size, two.digest(), one.digest())
		}
		if results, ok := two.apply(&update{session: 1, seq: 4}); !ok || len(results) != 1 {
			t.Error("applied twice")
		}
		if _, ok := two.apply(&update{session: 1, seq: 3}); ok {
			t.Error("older than the last")
		}
	}
}

func TestSessionsAreBounded(t *testing.T) {
	x := newTable()
	for i := range uint64(2 * maxSessions) {
		x.apply(&update{session: i + 1, seq: 1})
		x.apply(&update{session: 1, seq: i + 2}) // speaks all the time, and stays
	}
	if n := len(x.sessions); n != maxSessions || x.recent.Len() != n || x.last(1) == nil {
		t.Errorf("%d sessions", n)
	}
}

// No message makes a decoder fail otherwise than with an error, or take much
// memory.
func FuzzDecode(f *testing.F) {
	u := update{session: 7, seq: 300, ops: []op{{key: "a", value: "b"}, {sync: true},
		{del: true, key: "c"}}}
	f.Add(u.append(nil))
	x := newTable()
	x.apply(&u)
	for _, b := range x.snapshot(1 << 20) {
		f.Add(b)
	}
	f.Add([]byte{tagUpdate, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, err := decodeUpdate(b); err == nil {
			again, err := decodeUpdate(u.append(nil))
			if err != nil || !reflect.DeepEqual(u, again) {
				t.Error(u, again, err)
			}
		}
		_, _ = decodeAck(b)
		_, _ = decodeQuestion(b)
		_, _ = decodeAnswer(b)
		_, _ = decodeWant(b)
		if c, err := decodeChunk(b); err == nil && !bytes.HasSuffix(b, c.records) {
			t.Error(c)
		}
		if x := newTable(); x.restore(b) == nil && x.bytes > len(b) {
			t.Error("more than there was")
		}
	})
}
