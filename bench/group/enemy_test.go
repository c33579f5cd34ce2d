//go:build linux

package group

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"maestro/internal/netlab"
	"maestro/layers"
	"maestro/wire"
)

// enemy is a host that is no member: it listens to the group and sends whatever
// may do harm.
type enemy struct {
	testing.TB
	lab     *netlab.Lab
	at      int
	fd      int
	rnd     *rand.Rand
	group   netip.AddrPort
	targets []*unix.SockaddrInet4 // the members' sockets and the group
	heard   [][]byte              // datagrams of the members, without those below
	loud    [][]byte              // presences and decisions
	view    wire.ViewID           // of the group
	conn    uint64                // of what belongs to no view
	other   uint64                // the same of another group
	dark    bool                  // members that are made up are at hosts that do not exist
	sent    map[string]int
	buf     []byte
}

func newEnemy(c *cluster, at int) *enemy {
	c.Helper()
	name, _ := layers.For(0)
	e := &enemy{TB: c.TB, lab: c.lab, at: at, rnd: rand.New(rand.NewPCG(1, 2)),
		group: netip.MustParseAddrPort("239.255.70.71:17071"),
		conn:  wire.ConnID("bench", 0, wire.ViewID{}, name),
		other: wire.ConnID("others", 0, wire.ViewID{}, name), sent: map[string]int{}}
	var err error
	c.lab.InNS(at, func() { e.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0) })
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { unix.Close(e.fd) })
	return e
}

// listen overhears the group for a while.
func (e *enemy) listen(d time.Duration) {
	e.Helper()
	var conn *net.UDPConn
	var err error
	e.lab.InNS(e.at, func() {
		var eth *net.Interface
		if eth, err = net.InterfaceByName("eth0"); err == nil {
			conn, err = net.ListenMulticastUDP("udp4", eth, net.UDPAddrFromAddrPort(e.group))
		}
	})
	if err != nil {
		e.Fatal(err)
	}
	defer conn.Close()
	from := map[netip.AddrPort]bool{e.group: true}
	_ = conn.SetReadDeadline(time.Now().Add(d))
	for b := make([]byte, 1<<16); ; {
		n, a, err := conn.ReadFromUDPAddrPort(b)
		if err != nil {
			break
		}
		from[netip.AddrPortFrom(a.Addr().Unmap(), a.Port())] = true
		e.keep(append([]byte(nil), b[:n]...))
	}
	for a := range from {
		e.targets = append(e.targets,
			&unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())})
	}
	if len(from) < 3 || len(e.heard) < 10 || e.view.IsZero() {
		e.Fatalf("heard %d datagrams from %d members", len(e.heard), len(from)-1)
	}
}

func (e *enemy) keep(b []byte) {
	var h wire.Header
	if !h.Parse(b) {
		return
	}
	if h.Conn != e.conn {
		if len(e.heard) < 1000 {
			e.heard = append(e.heard, b)
		}
		return
	}
	e.loud = append(e.loud, b)
	var p wire.Presence
	if h.Kind == wire.KindPresence && p.Parse(b[wire.HeaderLen:]) == nil {
		e.view = p.View
	}
}

// send sends count datagrams of one length as one burst. Nobody is told when the
// kernel has no room.
func (e *enemy) send(class string, b []byte, seg int) {
	to := e.targets[e.rnd.IntN(len(e.targets))]
	var ctl []byte
	if seg < len(b) {
		ctl = make([]byte, unix.CmsgSpace(2))
		binary.NativeEndian.PutUint64(ctl, uint64(unix.CmsgLen(2)))
		binary.NativeEndian.PutUint32(ctl[8:], unix.SOL_UDP)
		binary.NativeEndian.PutUint32(ctl[12:], unix.UDP_SEGMENT)
		binary.NativeEndian.PutUint16(ctl[16:], uint16(seg))
	}
	if _, err := unix.SendmsgN(e.fd, b, ctl, to, 0); err == nil {
		e.sent[class] += (len(b) + seg - 1) / seg
	}
}

// many makes a burst of datagrams of one length.
func (e *enemy) many(class string, seg int, fill func(b []byte)) {
	seg = min(max(seg, 1), 1472)
	n := min(40, 60000/seg)
	if cap(e.buf) < n*seg {
		e.buf = make([]byte, 0, 64<<10)
	}
	b := e.buf[:n*seg]
	for i := range n {
		fill(b[i*seg : (i+1)*seg])
	}
	e.send(class, b, seg)
}

func (e *enemy) noise(b []byte) {
	for i := 0; i < len(b); i += 8 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], e.rnd.Uint64())
		copy(b[i:], w[:])
	}
}

// garbage is one burst of what no member can have sent.
func (e *enemy) garbage() {
	real := e.heard[e.rnd.IntN(len(e.heard))]
	switch e.rnd.IntN(6) {
	case 0:
		for range 8 {
			n := e.rnd.IntN(1472) + 1
			if e.rnd.IntN(50) == 0 {
				n = e.rnd.IntN(60000) + 1
			}
			b := make([]byte, n)
			e.noise(b)
			e.send("random", b, n)
		}
	case 1:
		e.many("truncated", e.rnd.IntN(len(real)), func(b []byte) { copy(b, real) })
	case 2:
		e.many("flipped", len(real), func(b []byte) {
			copy(b, real)
			for range e.rnd.IntN(8) + 1 {
				b[e.rnd.IntN(len(b))] ^= 1 << e.rnd.IntN(8)
			}
		})
	case 3:
		e.many("group garbage", wire.HeaderLen+e.rnd.IntN(200), func(b []byte) {
			e.noise(b)
			k := wire.KindDecision + wire.Kind(e.rnd.IntN(int(wire.KindCount-wire.KindDecision)))
			h := wire.Header{Kind: k, Sender: 0xFFFF, Conn: e.conn}
			h.Put(b)
		})
	case 4:
		var h wire.Header
		h.Parse(real)
		e.many("view garbage", wire.HeaderLen+e.rnd.IntN(1400), func(b []byte) {
			e.noise(b)
			x := wire.Header{Kind: 1 + wire.Kind(e.rnd.IntN(int(wire.KindCount)-1)),
				Sender: uint16(e.rnd.IntN(4)), Low: uint16(e.rnd.Uint32()), Conn: h.Conn,
				Seq: h.Seq + uint64(e.rnd.IntN(100))}
			x.Put(b)
		})
	case 5:
		e.strange()
	}
}

// strange is well formed, and of no concern to the group.
func (e *enemy) strange() {
	ref := wire.ViewRef{View: e.nowhere(), Now: e.nowhere(),
		Members: []wire.Endpoint{e.nobody().ID}}
	d := wire.Decision{Parties: []wire.Party{e.party()}, Next: wire.View{ID: e.nowhere(),
		Members: []wire.Member{e.nobody()}}}
	switch e.rnd.IntN(6) {
	case 0:
		e.foreign("strange", e.conn, wire.KindQuery, ref.Append(nil))
	case 1:
		e.foreign("strange", e.conn, wire.KindExcluded, ref.Append(nil))
	case 2:
		e.foreign("strange", e.conn, wire.KindDecided, ref.Append(nil))
	case 3:
		e.foreign("strange", e.conn, wire.KindDecision, d.Append(nil))
	case 4:
		e.foreign("strange", e.other, wire.KindPresence, e.presence())
	case 5:
		e.foreign("strange", e.other, wire.KindMerge, e.merge())
	}
}

// forged is what another member of the group could send.
func (e *enemy) forged() {
	switch e.rnd.IntN(4) {
	case 0:
		e.foreign("forged", e.conn, wire.KindPresence, e.presence())
	case 1:
		e.foreign("forged", e.conn, wire.KindMerge, e.merge())
	case 2:
		ref := wire.ViewRef{View: e.view, Now: e.nowhere(),
			Members: []wire.Endpoint{e.nobody().ID, e.nobody().ID}}
		e.foreign("forged", e.conn, wire.KindExcluded, ref.Append(nil))
	case 3:
		ref := wire.ViewRef{View: e.nowhere(), Now: e.view,
			Members: []wire.Endpoint{e.nobody().ID}}
		e.foreign("forged", e.conn, wire.KindDecided+wire.Kind(e.rnd.IntN(5)), ref.Append(nil))
	}
}

func (e *enemy) foreign(class string, conn uint64, k wire.Kind, body []byte) {
	e.many(class, wire.HeaderLen+len(body), func(b []byte) {
		h := wire.Header{Kind: k, Sender: 0xFFFF, Conn: conn}
		h.Put(b)
		copy(b[wire.HeaderLen:], body)
	})
}

func (e *enemy) nobody() wire.Member {
	n := e.rnd.Uint64() >> 1
	ip := e.lab.Addr(e.at)
	if e.dark {
		ip = netip.AddrFrom4([4]byte{10, 77, 0, byte(100 + n%100)})
	}
	return wire.Member{ID: wire.Endpoint{Name: fmt.Sprint("x", n%1000), Incarnation: n},
		Addr: netip.AddrPortFrom(ip, uint16(n>>8|1024)), RecvBuf: uint32(n)}
}

func (e *enemy) nowhere() wire.ViewID {
	return wire.ViewID{Ltime: e.rnd.Uint64N(1000), Coord: e.nobody().ID}
}

func (e *enemy) party() wire.Party {
	return wire.Party{View: e.nowhere(), Round: e.rnd.Uint32N(9), By: uint16(e.rnd.IntN(3)),
		Cut: []uint64{e.rnd.Uint64(), 1}, Holder: []uint16{0, uint16(e.rnd.Uint32())}}
}

func (e *enemy) presence() []byte {
	p := wire.Presence{View: e.nowhere(), From: e.nobody(), Members: uint16(e.rnd.Uint32()),
		Private: e.rnd.IntN(2) == 0, Hushed: e.rnd.IntN(2) == 0}
	if e.rnd.IntN(2) == 0 {
		p.Weight = []byte{byte(e.rnd.Uint32())}
	}
	return p.Append(nil)
}

func (e *enemy) merge() []byte {
	m := wire.Merge{Target: e.view, Party: e.party(), Exchange: e.rnd.IntN(2) == 0,
		Private: e.rnd.IntN(2) == 0}
	for r := range 1 + e.rnd.IntN(3) {
		m.Members = append(m.Members, e.nobody())
		m.Ranks = append(m.Ranks, r)
	}
	return m.Append(nil)
}

// flood does something at full rate.
func (e *enemy) flood(d time.Duration, what func()) {
	began := time.Now()
	for time.Since(began) < d {
		what()
	}
	total := 0
	for _, n := range e.sent {
		total += n
	}
	e.Logf("%d hostile datagrams, %.0f/s: %v", total, float64(total)/d.Seconds(), e.sent)
}
