package rsm

import (
	"bytes"
	"testing"

	"maestro/clsv"
	"maestro/clsv/once"
)

// FuzzMessages hands a replica whatever bytes others may send.
func FuzzMessages(f *testing.F) {
	id := once.ID{Client: clsv.Endpoint{Name: "c", Incarnation: 7}, Number: 1}
	f.Add(append(id.Append([]byte{tagCommand}), byte(opApply), 'x'))
	f.Add(append(id.Append([]byte{tagCommand}), byte(opBarrier)))
	f.Add([]byte{0, tagReply, 0, 0, 0, 0, 1, 1, byte(statusOK)})
	f.Add([]byte{snapshotVersion, 1, 2, 3, 4, 5, 6, 7, 8, 0, '[', ']'})
	f.Fuzz(func(t *testing.T, b []byte) {
		j := &journal{}
		o := Options[string, string]{Machine: j}
		o.Group, o.Role = "g", clsv.Server
		r, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		h := handler[string, string]{r}
		r.have, r.table = true, once.New(once.Limits{})
		r.applied = &clsv.View{GroupView: clsv.GroupView{Primary: true}}
		h.ReceiveScast(id.Client, b)
		h.ReceiveScast(id.Client, b) // once only
		if len(j.Lines) > 1 {
			t.Error(j.Lines)
		}
		h.ReceiveSend(id.Client, b)
		if got, err := r.restore(bytes.NewReader(b)); err == nil && got.table.Bytes() > len(b) {
			t.Error("more than there was")
		}
	})
}

// values are coded by their own methods, or by functions.
func TestCodec(t *testing.T) {
	var c Codec[octet]
	if err := c.fill("x"); err != nil {
		t.Fatal(err)
	}
	b, err := c.Append([]byte("a"), octet{5})
	if v, perr := c.Parse(b[1:]); err != nil || perr != nil || v.n != 5 || b[0] != 'a' {
		t.Error(b, v, err, perr)
	}
	var d Codec[[]byte]
	_ = d.fill("x")
	b, _ = d.Append(nil, []byte("abc"))
	if v, err := d.Parse(b); string(v) != "abc" || err != nil || &v[0] == &b[0] {
		t.Error(v, err)
	}
	var e Codec[struct{}]
	_ = e.fill("x")
	b, _ = e.Append(nil, struct{}{})
	if _, err := e.Parse(b); err != nil || len(b) > 0 {
		t.Error(b, err)
	}
}

type octet struct{ n byte }

func (c octet) MarshalBinary() ([]byte, error) { return []byte{c.n}, nil }

func (c *octet) UnmarshalBinary(b []byte) error {
	c.n = b[0]
	return nil
}
