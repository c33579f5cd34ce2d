package layers_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// program is the input of a fuzz target, read byte by byte; behind its end
// there are zeros.
type program []byte

func (p *program) next() byte {
	if len(*p) == 0 {
		return 0
	}
	b := (*p)[0]
	*p = (*p)[1:]
	return b
}

// below is a number from 0 to n-1.
func (p *program) below(n int) int { return int(p.next()) % n }

// ranks is a set of ranks out of n.
func (p *program) ranks(n int) []int {
	var v []int
	bits := p.next()
	for r := range min(n, 8) {
		if bits&(1<<r) != 0 {
			v = append(v, r)
		}
	}
	return v
}

func (p *program) numbers(n int) []uint64 {
	v := make([]uint64, n)
	for i := range v {
		v[i] = uint64(p.below(8))
	}
	return v
}

// view makes an id near that of the current view.
func (p *program) view(v *stack.View) wire.ViewID {
	id := v.ID
	switch p.below(8) {
	case 1:
		id.Ltime += uint64(p.below(4))
	case 2:
		id.Coord = soloID(p.name())
	case 3:
		id = wire.ViewID{Ltime: uint64(p.below(8)), Coord: soloID(p.name())}
	}
	return id
}

func (p *program) name() string { return string(rune('a' + p.below(6))) }

// later makes an id after that of the current view, most times.
func (p *program) later(v *stack.View) wire.ViewID {
	id := p.view(v)
	id.Ltime += uint64(p.below(3))
	return id
}

// members is most of those of a view, and some others.
func (p *program) members(v *stack.View) []wire.Member {
	out := stack.SetOf(len(v.Members), p.ranks(len(v.Members)))
	var all []wire.Member
	for r, m := range v.Members {
		if !out[r] {
			all = append(all, m)
		}
	}
	for range max(0, p.below(6)-3) {
		name := p.name()
		all = append(all, wire.Member{ID: soloID(name), Addr: soloAddr(name), RecvBuf: 208 << 10})
	}
	return all
}

func (p *program) party(m *solo) wire.Party {
	v := m.group.View()
	n := len(v.Members)
	if p.below(16) == 15 {
		n++
	}
	q := wire.Party{View: p.view(v), Round: p.round(m), By: uint16(p.below(n)),
		Failed: p.ranks(n), Cut: p.numbers(n), Holder: make([]uint16, n)}
	for i := range q.Holder {
		q.Holder[i] = uint16(p.below(n))
	}
	return q
}

// round is near that of the ballot that the member is about.
func (p *program) round(m *solo) uint32 { return m.round + uint32(p.below(4))%3 }

// message makes a control message of a kind that makes sense, more or less.
func (p *program) message(k wire.Kind, m *solo) []byte {
	v := m.group.View()
	n := len(v.Members)
	switch k {
	case wire.KindNak, wire.KindSendNak:
		c := wire.Nak{Stream: p.below(n + 1)}
		for range p.below(3) + 1 {
			from := uint64(p.below(10)) + 1
			c.Spans = append(c.Spans, wire.Span{From: from, To: from + uint64(p.below(5))})
		}
		return c.Append(nil)
	case wire.KindAnnounce, wire.KindSendMark:
		c := wire.Mark{Sent: uint64(p.below(40)), Stable: uint64(p.below(40))}
		return c.Append(nil)
	case wire.KindAck, wire.KindSendAck:
		c := wire.Ack{Stream: p.below(n), Received: uint64(p.below(10)),
			Consumed: uint64(p.below(10)), Drops: uint64(p.below(10))}
		return c.Append(nil)
	case wire.KindSuspect:
		c := wire.Ranks{Ranks: p.ranks(n)}
		return c.Append(nil)
	case wire.KindBlock:
		c := wire.Block{Round: p.round(m), Failed: p.ranks(n)}
		return c.Append(nil)
	case wire.KindFlushOk:
		c := wire.FlushOk{Round: p.round(m), Recv: p.numbers(n), Failed: p.ranks(n),
			Leaving: p.below(8) == 7, Exchange: p.below(8) == 7}
		return c.Append(nil)
	}
	return p.foreign(k, m)
}

// foreign makes a message outside of views.
func (p *program) foreign(k wire.Kind, m *solo) []byte {
	v := m.group.View()
	switch k {
	case wire.KindDecision:
		c := wire.Decision{Parties: []wire.Party{p.party(m)},
			Next: wire.View{ID: p.later(v), Members: p.members(v)}}
		if p.below(4) == 3 {
			c.Parties = append(c.Parties, p.party(m))
		}
		return c.Append(nil)
	case wire.KindPresence:
		from := p.name()
		c := wire.Presence{View: p.view(v), Members: uint16(p.below(4)), Private: p.below(3) == 2,
			From: wire.Member{ID: soloID(from), Addr: soloAddr(from)}, Hushed: p.below(2) == 0}
		return c.Append(nil)
	case wire.KindMerge:
		c := wire.Merge{Target: v.ID, Party: p.party(m), Private: p.below(3) == 2}
		for r := range 1 + p.below(2) {
			name := p.name()
			c.Members = append(c.Members, wire.Member{ID: soloID(name), Addr: soloAddr(name)})
			c.Ranks = append(c.Ranks, r)
		}
		return c.Append(nil)
	case wire.KindDecided, wire.KindMergeDeny, wire.KindQuery, wire.KindExcluded:
		c := wire.ViewRef{View: p.view(v), Now: p.later(v)}
		for _, x := range p.members(v) {
			c.Members = append(c.Members, x.ID)
		}
		if p.below(2) == 0 {
			c.Members = c.Members[:min(1, len(c.Members))]
		}
		return c.Append(nil)
	}
	return nil
}

// data sends a segment of a peer's stream: always the same one for a number.
func (p *program) data(m *solo, k wire.Kind, peer int) {
	v := m.group.View()
	h := wire.Header{Kind: k, Sender: uint16(peer), Conn: m.conn()}
	origin := peer
	if k == wire.KindRepair {
		origin = p.below(len(v.Members))
		h.Low = uint16(origin)
	}
	s := streamName(v, origin, k == wire.KindSend)
	h.Seq = uint64(p.below(24)) + 1
	if p.below(2) == 0 {
		h.Seq = m.got[s] + 1 // the one that is waited for
	}
	if k == wire.KindCast {
		h.Low = uint16(h.Seq) - uint16(p.below(int(h.Seq)))
	}
	if origin != v.Rank {
		m.largest[s] = max(m.largest[s], h.Seq)
	}
	m.receive(v.Members[peer].Addr, h, segmentOf(s, h.Seq))
}

// datagram sends the member something from a peer.
func (p *program) datagram(m *solo) {
	switch k := wire.Kind(p.below(int(wire.KindCount)-1) + 1); k {
	case wire.KindCast, wire.KindRepair, wire.KindSend:
		p.data(m, k, p.below(len(m.group.View().Members)))
	default:
		p.control(m, k)
	}
}

// control sends the member a control message from a peer.
func (p *program) control(m *solo, k wire.Kind) {
	v := m.group.View()
	peer := p.below(len(v.Members))
	from := v.Members[peer].Addr
	h := wire.Header{Kind: k, Sender: uint16(peer), Conn: m.conn(), Seq: uint64(p.below(2))}
	if k >= wire.KindDecision {
		h.Sender, h.Conn = 0xFFFF, m.group.GroupConn()
		if p.below(3) == 0 {
			from = soloAddr(p.name())
		}
	}
	m.receive(from, h, p.message(k, m))
}

// step runs one command.
func (p *program) step(m *solo) {
	switch p.below(8) {
	default:
		p.datagram(m)
	case 4: // the view change
		kinds := []wire.Kind{wire.KindBlock, wire.KindFlushOk, wire.KindDecision, wire.KindMerge}
		p.control(m, kinds[p.below(len(kinds))])
	case 5:
		m.advance(m.now.Add(time.Duration(1) << p.below(28)))
	case 6:
		m.cast()
		m.turn()
	case 7:
		switch b := p.below(16); {
		case b < 8:
			m.stops = b < 5
		case b < 10:
			m.group.Unreachable(soloAddr(p.name()))
			m.group.Lifeline(soloAddr(p.name()), p.below(2) == 0)
		case b < 11:
			_ = m.group.Leave()
		case b < 13:
			m.group.RequestView("wanted")
		default:
			m.group.Suspect(p.below(4), "suspected")
		}
		m.turn()
	}
	if n := m.pool.Live(); n > maxLive {
		m.t.Fatalf("%d buffers are held", n)
	}
	if next := m.group.Next(); next <= m.now && !m.group.Out() {
		m.advance(m.now)
		if m.group.Next() <= m.now {
			m.t.Fatalf("it wants to be woken at %d, and it is %d", m.group.Next(), m.now)
		}
	}
}

const (
	maxSteps = 300
	// maxLive is what windows of some streams, logs and the stash may hold.
	maxLive = 256 + 200
)

// FuzzStack plays the peers of a member of a view of three: they send what the
// program says, sense or not. The member must not panic, not hold more than it
// may, deliver each stream in order and nothing that was not sent, and install
// views in increasing order.
func FuzzStack(f *testing.F) {
	f.Add([]byte("\x00casts of b\x00\x00\x01\x01\x00\x00\x00\x01\x01\x01\x00\x00"))
	f.Add([]byte{1, 0, 0, 1, 0, 1, 0, 2, 2, 2, 1, 20, 0, 13, 1, 1, 0, 1, 22, 0, 14, 1, 1, 2, 3})
	f.Add([]byte{2, 2, 0, 4, 1, 0, 3, 3, 1, 25, 4, 15, 1, 9, 0, 0, 1, 1, 3, 9, 1, 1, 27, 3, 10})
	f.Fuzz(func(t *testing.T, in []byte) { program(in).play(t) })
}

// play runs a program against a member of a view of three.
func (p program) play(t testing.TB) {
	var want stack.Props
	names := []string{"a", "b", "c"}
	switch p.below(6) {
	case 1:
		names = []string{"b", "a", "c"}
	case 2:
		names = []string{"b", "c", "a"}
	case 3:
		want = stack.Total
	}
	m := newSolo(t, want)
	m.ignore = want != 0 // what it takes to be ordered is another target's
	m.join(names...)
	for steps := 0; len(p) > 0 && steps < maxSteps; steps++ {
		p.step(m)
	}
	m.close()
}

var programs = flag.Int("programs", 1000, "how many random programs TestPrograms runs")

// Programs by chance reach other places than those that a fuzzer breeds.
func TestPrograms(t *testing.T) {
	for seed := range uint64(*programs) {
		r := rand.New(rand.NewPCG(seed, 0))
		p := make(program, 1000)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) { p.play(t) })
	}
}

// FuzzGroup sends a member datagrams of any kind, connection, sender, address
// and body, in the states before, between and in views.
func FuzzGroup(f *testing.F) {
	f.Add([]byte{0, 1, 16, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{1, 1, 18, 5, 40, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 'b'})
	f.Add([]byte{2, 0, 1, 1, 30, 1, 4, 'a', 'b', 'c', 'd', 1, 9, 2, 17, 1, 3, 1, 2, 3})
	f.Fuzz(func(t *testing.T, in []byte) {
		p := program(in)
		m := newSolo(t, 0)
		m.ignore = true
		switch p.below(4) {
		case 0:
			m.join("b", "a", "c")
		case 1:
			if err := m.group.Join(); err != nil {
				t.Fatal(err)
			}
		case 2:
			if err := m.group.Join(); err != nil {
				t.Fatal(err)
			}
			m.advance(stack.Time(200 * time.Millisecond)) // it founds its group
		}
		for steps := 0; len(p) > 0 && steps < maxSteps; steps++ {
			p.raw(m)
		}
		m.close()
	})
}

// raw sends a datagram of which only the connection may make sense.
func (p *program) raw(m *solo) {
	h := wire.Header{Kind: wire.Kind(p.next()), Sender: uint16(p.below(4)),
		Conn: m.group.GroupConn()}
	from := soloAddr(p.name())
	switch v := m.group.View(); p.below(6) {
	case 0:
		m.advance(m.now.Add(time.Duration(1) << p.below(28)))
		return
	case 1:
		h.Conn = 0xABCD
	case 2, 3:
		if v != nil {
			h.Conn = m.conn()
			from = v.Members[int(h.Sender)%len(v.Members)].Addr
		}
	case 4:
		if v != nil { // something that makes sense, with a byte changed
			h.Kind %= wire.KindCount
			body := p.message(h.Kind, m)
			if len(body) > 0 {
				body[p.below(len(body))] ^= p.next()
			}
			m.receive(from, h, body)
			return
		}
	case 5:
		from = netip.AddrPortFrom(from.Addr(), 1)
	}
	h.Seq, h.Low = uint64(p.next()), uint16(p.next())
	n := min(p.below(64), len(*p))
	body := (*p)[:n]
	*p = (*p)[n:]
	m.receive(from, h, body)
}
