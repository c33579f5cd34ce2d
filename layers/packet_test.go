package layers_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"maestro/layers"
	"maestro/stack"
	"maestro/stack/sim"
	"maestro/wire"
)

// recorded is what real members have sent each other in a simulated history: the
// first few datagrams of each kind.
func recorded(f *testing.F) [][]byte {
	name, makers := layers.For(0)
	link := sim.LAN()
	link.Loss = 0.05
	w := sim.New(7, sim.Options{Link: &link})
	var all [][]byte
	var count [wire.KindCount]int
	record := func(_ netip.AddrPort, b []byte, seg int) {
		k := wire.Kind(b[2])
		if count[k]++; count[k] <= 5 {
			all = append(all, bytes.Clone(b[:min(seg, len(b), 400)]))
		}
	}
	var ms []*sim.Member
	var rs []*sim.Recorder
	for _, who := range []string{"a", "b", "c"} {
		r := &sim.Recorder{}
		m, err := w.Add(who, stack.Config{Group: "g", StackName: name, Layers: makers}, r)
		if err != nil {
			f.Fatal(err)
		}
		m.OnTransmit = record
		ms, rs = append(ms, m), append(rs, r)
		m.Join()
	}
	for range 30 {
		w.RunFor(20 * time.Millisecond)
		for i := range rs {
			rs[i].Cast(100)
			if to := (i + 1) % 3; rs[i].Current != nil && rs[i].Current.RankOf(ms[to].Self) >= 0 {
				rs[i].Submit(ms[to].Self, 50)
			}
		}
	}
	ms[1].Leave()
	w.RunFor(100 * time.Millisecond)
	ms[0].Crash()
	w.RunFor(200 * time.Millisecond)
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	return all
}

// FuzzPacket sends a member of a view of three whole datagrams, as they stand:
// each is a byte that says who sends it, its length in two bytes, and its bytes.
// Those that belong to a view are sent in the member's own.
func FuzzPacket(f *testing.F) {
	var some []byte
	for i, b := range recorded(f) {
		one := append(binary.LittleEndian.AppendUint16([]byte{byte(i)}, uint16(len(b))), b...)
		f.Add(one)
		if some = append(some, one...); i%7 == 6 {
			f.Add(some)
			some = nil
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p := program(in)
		m := newSolo(t, 0)
		m.ignore = true
		m.join("b", "a", "c")
		for steps := 0; len(p) > 0 && steps < maxSteps; steps++ {
			from := p.next()
			n := min(int(p.next())|int(p.next())<<8, len(p), 1472)
			b := bytes.Clone(p[:n])
			p = p[n:]
			v := m.group.View()
			var h wire.Header
			if !h.Parse(b) {
				continue
			}
			if h.Conn != m.group.GroupConn() {
				h.Conn, h.Sender = m.conn(), uint16(from)%uint16(len(v.Members))
			}
			m.receive(v.Members[int(from)%len(v.Members)].Addr, h, b[wire.HeaderLen:])
			m.advance(m.now.Add(100 * time.Microsecond))
		}
		m.advance(m.now.Add(300 * time.Millisecond))
		m.close()
	})
}
