package layers_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"maestro/layers"
	"maestro/stack"
	"maestro/wire"
)

// solo is one member, called a, whose peers are played by a test.
type solo struct {
	t     testing.TB
	group *stack.Group
	pool  wire.Pool
	now   stack.Time
	name  string // of the stack
	last  wire.ViewID

	stops   bool // it stops at once when it is asked to
	owes    bool
	ignore  bool // what is delivered
	got     map[string]uint64
	sent    map[string]uint64 // messages of our own, by view
	largest map[string]uint64 // segments that a peer has sent, by stream
	taken   []delivered
	out     int    // datagrams transmitted
	round   uint32 // of the ballot that it asked for or answered last
	casts   int    // of these, segments of our own stream
	body    []byte
}

// delivered is a message that has not been consumed yet.
type delivered struct {
	stack.Msg
	epoch uint64
}

func newSolo(t testing.TB, want stack.Props) *solo {
	m := &solo{t: t, stops: true, got: map[string]uint64{}, sent: map[string]uint64{},
		largest: map[string]uint64{}}
	name, makers := layers.For(want)
	m.name = name
	cfg := stack.Config{Group: "g", Self: soloID("a"), Addr: soloAddr("a"), StackName: name,
		Layers: makers, SendBuffer: 64 << 10, MaxMessage: 4 << 20}
	g, err := stack.NewGroup(cfg, m, m, &m.pool, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	m.group = g
	return m
}

func soloID(name string) wire.Endpoint { return wire.Endpoint{Name: name, Incarnation: 1} }

func soloAddr(name string) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, name[0]}), 7000)
}

// join has the member join, and others decide for a view of the members named.
func (m *solo) join(names ...string) {
	if err := m.group.Join(); err != nil {
		m.t.Fatal(err)
	}
	old := m.group.View().ID
	d := wire.Decision{Parties: []wire.Party{{View: old, Round: 1, Cut: []uint64{0},
		Holder: []uint16{0}}}, Next: wire.View{ID: wire.ViewID{Ltime: 3, Coord: soloID(names[0])}}}
	for _, n := range names {
		d.Next.Members = append(d.Next.Members, wire.Member{ID: soloID(n), Addr: soloAddr(n),
			RecvBuf: 208 << 10})
	}
	h := wire.Header{Kind: wire.KindDecision, Sender: 0xFFFF, Conn: m.group.GroupConn()}
	m.receive(soloAddr("z"), h, d.Append(nil))
	if v := m.group.View(); len(v.Members) != len(names) {
		m.t.Fatalf("joined %v", v)
	}
}

// conn is the connection of the current view.
func (m *solo) conn() uint64 { return wire.ConnID("g", 0, m.group.View().ID, m.name) }

// receive gives the member a datagram, and ends its turn.
func (m *solo) receive(from netip.AddrPort, h wire.Header, body []byte) {
	buf := m.pool.Get()
	h.Put(buf.B)
	n := wire.HeaderLen + copy(buf.B[wire.HeaderLen:], body)
	m.group.Receive(&wire.Packet{From: from, Buf: buf, Data: buf.B[:n], Seg: n})
	buf.Drop()
	m.turn()
}

func (m *solo) turn() {
	m.drop()
	if m.owes && m.stops {
		m.owes = false
		m.group.Stopped()
	}
	m.group.EndTurn()
}

// drop ends the use of what has been delivered, and tells the group.
func (m *solo) drop() {
	for i := range m.taken {
		t := &m.taken[i]
		m.group.Consumed(t.epoch, t.Stream, t.Seq)
		if t.Buf != nil {
			t.Buf.Drop()
		}
	}
	m.taken = m.taken[:0]
}

// advance lets the time pass that the member wants, at most to a time.
func (m *solo) advance(end stack.Time) {
	for range 1000 {
		next := m.group.Next()
		if next > end {
			break
		}
		m.now = max(m.now, next)
		m.group.Advance(m.now)
		m.turn()
	}
	m.now = end
	m.group.Advance(end)
	m.turn()
}

func (m *solo) close() {
	m.drop()
	m.group.Close()
	if n := m.pool.Live(); n != 0 {
		m.t.Fatalf("%d buffers left", n)
	}
}

// streamName names the stream of one member in one view.
func streamName(v *stack.View, from int, sends bool) string {
	return fmt.Sprint(v.ID, v.Members[from].ID, sends)
}

// letter is what the n-th message of a stream is about: everybody can tell what
// it has to be.
func letter(stream string, n uint64) []byte { return fmt.Appendf(nil, "%s/%d", stream, n) }

// segmentOf is a segment of a stream that a peer sends: one letter.
func segmentOf(stream string, seq uint64) []byte {
	b := letter(stream, seq)
	return append(binary.AppendUvarint([]byte{1}, uint64(len(b))), b...)
}

// Deliver holds what is delivered against what was sent.
func (m *solo) Deliver(epoch uint64, msg *stack.Msg) {
	if msg.Buf != nil {
		msg.Buf.Keep()
	}
	m.taken = append(m.taken, delivered{*msg, epoch})
	if m.ignore {
		return
	}
	v := m.group.View()
	s := streamName(v, msg.From, msg.To != stack.All)
	m.got[s]++
	if want := letter(s, m.got[s]); string(msg.Data) != string(want) {
		m.t.Fatalf("from %d: %q, not %q", msg.From, msg.Data, want)
	}
	most := m.largest[s]
	if msg.From == v.Rank {
		most = m.sent[s]
	}
	if m.got[s] > most {
		m.t.Fatalf("message %d of %s was never sent", m.got[s], s)
	}
}

// cast sends a letter of our own.
func (m *solo) cast() {
	v := m.group.View()
	if v == nil {
		return
	}
	s := streamName(v, v.Rank, false)
	m.sent[s]++
	if m.group.Cast(1, nil, letter(s, m.sent[s])) != nil {
		m.sent[s]--
	}
}

// View holds the view against the one before.
func (m *solo) View(_ uint64, v *stack.View) {
	m.owes, m.round = false, 0
	if v.ID.Compare(m.last) <= 0 || v.Rank < 0 || v.Members[v.Rank].ID != soloID("a") {
		m.t.Fatalf("view %v rank %d after %v", v, v.Rank, m.last)
	}
	m.last = v.ID
}

// Watch holds no lifelines.
func (m *solo) Watch(netip.AddrPort) bool { return false }

// Transmit counts.
func (m *solo) Transmit(_ netip.AddrPort, b []byte, seg int) {
	if len(b) < wire.HeaderLen || seg < wire.HeaderLen || seg > len(b) {
		m.t.Fatalf("%d bytes in segments of %d", len(b), seg)
	}
	m.out += (len(b) + seg - 1) / seg
	switch wire.Kind(b[2]) {
	case wire.KindCast:
		m.casts += (len(b) + seg - 1) / seg
	case wire.KindBlock, wire.KindFlushOk: // both begin with it
		m.round = binary.LittleEndian.Uint32(b[wire.HeaderLen:])
	}
}

func (m *solo) Stop()                      { m.owes = true }
func (m *solo) Exit(error)                 {}
func (m *solo) Writable()                  {}
func (m *solo) Note(text string)           { _ = strings.TrimSpace(text) }
func (m *solo) Attr() []byte               { return nil }
func (m *solo) Exchange() bool             { return false }
func (m *solo) Weight() []byte             { return nil }
func (m *solo) Compose(*stack.Proposal)    {}
func (m *solo) Core(*stack.View) stack.Set { return nil }

// What passes in steady state costs no memory.
func TestAllocations(t *testing.T) {
	payload := make([]byte, 64)
	t.Run("cast alone", func(t *testing.T) {
		m := newSolo(t, stack.Total)
		m.ignore = true
		m.join("a")
		allocations(t, m, func() {
			for range 100 {
				if err := m.group.Cast(1, nil, payload); err != nil {
					t.Fatal(err)
				}
			}
			m.turn()
		})
	})
	for name, want := range map[string]stack.Props{"fifo": 0, "total": stack.Total} {
		t.Run("cast "+name, func(t *testing.T) {
			m := newSolo(t, want)
			m.ignore = true
			m.join("a", "b")
			ack := wire.Ack{Stream: 0}
			h := wire.Header{Kind: wire.KindAck, Sender: 1, Conn: m.conn()}
			allocations(t, m, func() {
				for range 50 {
					if err := m.group.Cast(1, nil, payload); err != nil {
						t.Fatal(err)
					}
				}
				m.turn()
				ack.Received, ack.Consumed = uint64(m.casts), uint64(m.casts)
				m.body = ack.Append(m.body[:0])
				m.receive(soloAddr("b"), h, m.body)
			})
		})
		t.Run("receive "+name, func(t *testing.T) {
			m := newSolo(t, want)
			m.ignore = true
			m.join("b", "a")
			h := wire.Header{Kind: wire.KindCast, Sender: 0, Conn: m.conn()}
			body := append([]byte{1, 64}, payload...)
			order := append([]byte{stack.KindOrder, 6}, 0, 0, 1, 0, 0, 0)
			allocations(t, m, func() {
				for range 50 {
					h.Seq++
					h.Low = 3
					m.receive(soloAddr("b"), h, body)
					if want == stack.Total {
						h.Seq++
						m.receive(soloAddr("b"), h, order)
					}
				}
			})
		})
	}
}

func allocations(t *testing.T, m *solo, cycle func()) {
	t.Helper()
	for range 200 {
		cycle()
	}
	in, out := m.group.Counters().MessagesIn, m.out
	if n := testing.AllocsPerRun(200, cycle); n != 0 {
		t.Errorf("%v allocations in a cycle", n)
	}
	if m.group.Counters().MessagesIn == in {
		t.Errorf("nothing was delivered, %d datagrams sent", m.out-out)
	}
	m.close()
}
