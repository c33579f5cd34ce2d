package kv

import (
	"bytes"
	"reflect"
	"testing"
)

func TestCodec(t *testing.T) {
	for _, o := range []op{{key: "a", value: "b"}, {del: true, key: "c"}, {}} {
		b, _ := appendOp(nil, o)
		if got, err := parseOp(b); err != nil || got != o {
			t.Error(got, err)
		}
	}
	for _, was := range []bool{true, false} {
		b, _ := appendBool(nil, was)
		if got, err := parseBool(b); err != nil || got != was {
			t.Error(got, err)
		}
	}
	q := question{id: 9, what: askGet, key: "k"}
	if got, err := decodeQuestion(q.append(nil)); err != nil || got != q {
		t.Error(got, err)
	}
	r := answer{id: 9, status: statusTooLarge, body: []byte("x")}
	if got, err := decodeAnswer(r.append(nil)); err != nil || !reflect.DeepEqual(got, r) {
		t.Error(got, err)
	}
}

// A snapshot makes the same table; one that ends too early is an error, and what
// came is kept.
func TestSnapshot(t *testing.T) {
	one := newTable()
	list, _ := load()
	for _, e := range list {
		one.set(e.Key, e.Value)
	}
	var b bytes.Buffer
	if _, err := one.snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	for n := range b.Len() + 1 {
		two := newTable()
		_, err := two.restore(bytes.NewReader(b.Bytes()[:n]))
		if whole := one.digest() == two.digest() && one.hash() == two.hash(); whole &&
			err != nil || n == b.Len() && !whole || err == nil && two.bytes+2*len(two.data) != n {
			t.Errorf("%d bytes: %v, %v", n, two.digest(), err)
		}
	}
}

// No message makes a decoder fail otherwise than with an error, or take much
// memory.
func FuzzDecode(f *testing.F) {
	for _, o := range []op{{key: "a", value: "b"}, {del: true, key: "c"}} {
		b, _ := appendOp(nil, o)
		f.Add(b)
	}
	var b bytes.Buffer
	_, _ = snapshot{"a": "b", "c": ""}.WriteTo(&b)
	f.Add(b.Bytes())
	f.Add([]byte{1, 'x', 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := parseOp(b); err == nil {
			again, _ := appendOp(nil, o)
			if p, err := parseOp(again); err != nil || p != o {
				t.Error(o, p, err)
			}
		}
		_, _ = parseBool(b)
		_, _ = decodeQuestion(b)
		_, _ = decodeAnswer(b)
		x := newTable()
		if n, _ := x.restore(bytes.NewReader(b)); n > len(b) {
			t.Error("more than there was")
		}
	})
}
