package layers_test

import (
	"testing"

	"maestro/wire"
)

// TestBareRun gives a member datagrams that are headers alone in one run, as the kernel
// does where a probe and a heartbeat go to one member.
func TestBareRun(t *testing.T) {
	m := newSolo(t, 0)
	m.join("b", "a")
	before := *m.group.Counters()
	buf := m.pool.Get()
	b := buf.B[:0]
	for _, k := range []wire.Kind{wire.KindHeartbeat, wire.KindProbe, wire.KindProbe} {
		h := wire.Header{Kind: k, Conn: m.conn()}
		b = h.Append(b)
	}
	run := func(n, seg int) {
		m.group.Receive(&wire.Packet{From: soloAddr("b"), Buf: buf, Data: b[:n], Seg: seg})
	}
	run(len(b), wire.HeaderLen)
	c := m.group.Counters()
	if n := c.PacketsIn[wire.KindProbe] - before.PacketsIn[wire.KindProbe]; n != 2 {
		t.Errorf("%d probes", n)
	}
	if n := c.PacketsIn[wire.KindHeartbeat] - before.PacketsIn[wire.KindHeartbeat]; n != 1 {
		t.Errorf("%d heartbeats", n)
	}
	if c.Malformed != before.Malformed {
		t.Error("counted as malformed")
	}
	run(len(b)-1, wire.HeaderLen)
	run(len(b), wire.HeaderLen-1)
	if n := c.Malformed - before.Malformed; n != 2 {
		t.Errorf("%d malformed, not 2", n)
	}
	buf.Drop()
	m.group.Close()
	if n := m.pool.Live(); n != 0 {
		t.Errorf("%d buffers leaked", n)
	}
}
