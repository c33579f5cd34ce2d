package clsv

import (
	"bytes"
	"testing"
	"time"

	"maestro/stack"
)

// A request for a role that reached a member which was not the coordinator
// aborted that. Guard: core.internal.
func TestDefectRequestToNonCoordinator(t *testing.T) {
	w, cs, ms := pair(t)
	views := cs[1].stats.Views.All
	ms[0].Do(func(g *stack.Group) {
		if err := g.Send(1, kindRequest, nil, nil); err != nil {
			t.Error(err)
		}
	})
	w.RunFor(100 * time.Millisecond)
	if cs[1].over || cs[1].failure != nil || cs[1].cur.requests != 0 ||
		cs[1].stats.Views.All != views {
		t.Errorf("over %v, failure %v, %d requests, %d views", cs[1].over, cs[1].failure,
			cs[1].cur.requests, cs[1].stats.Views.All-views)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// Integers went out in the byte order of the host. Guard: codec.go.
func TestDefectByteOrder(t *testing.T) {
	r := roles{lineage: 0x0102030405060708, agreed: 9, version: 300,
		places: []place{{list: inXfer, xfer: AtomicXfer, since: 5}}}
	want := []byte{codecVersion, 0, 8, 7, 6, 5, 4, 3, 2, 1, 9, 0xac, 2, 1, 1 | 3<<2, 5}
	if got := r.append(nil); !bytes.Equal(got, want) {
		t.Errorf("roles are % x, want % x", got, want)
	}
	a := attr{role: Server, kept: 0x0102030405060708, place: place{list: inServers}}
	want = []byte{codecVersion, attrServer | attrKept, byte(inServers), 0, 0, 0, 0,
		8, 7, 6, 5, 4, 3, 2, 1}
	if got := a.append(nil); !bytes.Equal(got, want) {
		t.Errorf("attributes are % x, want % x", got, want)
	}
}
