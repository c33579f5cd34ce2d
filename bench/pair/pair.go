// Package pair is members of one group in one goroutine, joined by memory: what
// the stack costs without sockets, system calls and other goroutines.
package pair

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"maestro/layers"
	"maestro/stack"
	"maestro/wire"
)

// Pair is a group of two members or more. It is used by one goroutine.
type Pair struct {
	Members []*Member
	now     stack.Time
}

// Member is one member, and its own application: it looks at each message and
// has done with it at the end of the turn.
type Member struct {
	Group *stack.Group
	// Delivered is the number of messages, Datagrams and Bytes what has been
	// transmitted, headers included.
	Delivered, Datagrams, Bytes uint64

	pair    *Pair
	addr    netip.AddrPort
	pool    wire.Pool
	inbox   []arrival
	sum     uint64 // of first bytes, so that reading them cannot be left out
	epoch   uint64
	taken   []taken // by stream
	touched []int   // streams of which something has been taken
	stopped bool
}

// arrival is a run of datagrams on its way.
type arrival struct {
	from netip.AddrPort
	buf  *wire.Buf
	n    int
	seg  int
}

// taken is how far a stream has been taken.
type taken struct {
	epoch uint64
	seq   uint64
	any   bool
}

// formTime is how much virtual time members get to form a view.
const formTime = stack.Time(5 * time.Second)

// New forms a group of n members with a stack.
func New(n int, want stack.Props) (*Pair, error) {
	p := &Pair{}
	name, makers := layers.For(want)
	for i := range n {
		m := &Member{pair: p, taken: make([]taken, 3*n)}
		m.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 7000)
		g, err := stack.NewGroup(stack.Config{Group: "pair", Addr: m.addr, StackName: name,
			Self:   wire.Endpoint{Name: fmt.Sprint("m", i), Incarnation: 1},
			Layers: makers, Bootstrap: i == 0, RecvBuf: 32 << 20, Batches: true}, m, m, &m.pool,
			rand.New(rand.NewPCG(1, uint64(i))))
		if err != nil {
			return nil, err
		}
		m.Group = g
		p.Members = append(p.Members, m)
		if err := g.Join(); err != nil {
			return nil, err
		}
		if !p.until(func() bool { return p.formed(i + 1) }) {
			return nil, fmt.Errorf("pair: %d members have not formed a view: %s", i+1, g.Dump())
		}
	}
	return p, nil
}

func (p *Pair) formed(n int) bool {
	for _, m := range p.Members {
		if v := m.Group.View(); v == nil || v.Private || len(v.Members) != n {
			return false
		}
	}
	return true
}

// until lets time pass until ok.
func (p *Pair) until(ok func() bool) bool {
	for end := p.now + formTime; p.now < end; {
		for _, m := range p.Members {
			m.Turn()
		}
		if ok() {
			return true
		}
		p.Pass(100 * time.Microsecond)
	}
	return false
}

// Pass lets virtual time pass.
func (p *Pair) Pass(d time.Duration) { p.now = p.now.Add(d) }

// Close gives everything back, and reports buffers that somebody still holds.
func (p *Pair) Close() error {
	for _, m := range p.Members {
		for _, a := range m.inbox {
			a.buf.Drop()
		}
		m.inbox = nil
		m.Group.Close()
		if n := m.pool.Live(); n != 0 {
			return fmt.Errorf("pair: %d buffers left", n)
		}
	}
	return nil
}

// Turn takes what has come, and sends what follows.
func (m *Member) Turn() {
	m.Group.Advance(m.pair.now)
	m.Receive()
	m.End()
}

// Receive takes what has come.
func (m *Member) Receive() {
	for i := range m.inbox {
		a := &m.inbox[i]
		m.Group.Receive(&wire.Packet{From: a.from, Buf: a.buf, Data: a.buf.B[:a.n], Seg: a.seg})
		a.buf.Drop()
		*a = arrival{}
	}
	m.inbox = m.inbox[:0]
}

// End has done with what has been delivered, and ends the turn. What sending
// delivers to the sender itself is done with as well.
func (m *Member) End() {
	m.consume()
	if m.stopped {
		m.stopped = false
		m.Group.Stopped()
	}
	m.Group.EndTurn()
	if m.consume() {
		m.Group.EndTurn()
	}
}

func (m *Member) consume() (any bool) {
	for _, stream := range m.touched {
		t := &m.taken[stream]
		m.Group.Consumed(t.epoch, stream, t.seq)
		t.any = false
		any = true
	}
	m.touched = m.touched[:0]
	return any
}

// Transmit copies datagrams to the others, as a kernel would.
func (m *Member) Transmit(to netip.AddrPort, b []byte, seg int) {
	m.Datagrams += uint64((len(b) + seg - 1) / seg)
	m.Bytes += uint64(len(b))
	for _, o := range m.pair.Members {
		if o == m || to.IsValid() && to != o.addr {
			continue
		}
		buf := o.pool.Get()
		n := copy(buf.B, b)
		o.inbox = append(o.inbox, arrival{m.addr, buf, n, seg})
	}
}

// Watch holds no lifelines.
func (*Member) Watch(netip.AddrPort) bool { return false }

// Deliver looks at a message, or at each of a batch.
func (m *Member) Deliver(epoch uint64, msg *stack.Msg) {
	if msg.Count == 0 {
		m.look(msg.Data)
	} else {
		for all := wire.Frames(msg.Data); ; {
			_, data, ok := all.Next()
			if !ok {
				break
			}
			m.look(data)
		}
	}
	t := &m.taken[msg.Stream]
	if !t.any {
		m.touched = append(m.touched, msg.Stream)
	}
	*t = taken{epoch, msg.Seq, true}
}

func (m *Member) look(data []byte) {
	m.Delivered++
	if len(data) > 0 {
		m.sum += uint64(data[0])
	}
}

// View, Stop and the others make a Member the application of its group.

// View notes the view.
func (m *Member) View(epoch uint64, _ *stack.View) { m.epoch = epoch }

// Stop notes that the view is about to end.
func (m *Member) Stop() { m.stopped = true }

// Exit is of no interest here.
func (m *Member) Exit(error) {}

// Writable is of no interest here.
func (m *Member) Writable() {}

// Note is of no interest here.
func (m *Member) Note(string) {}

// Attr is empty.
func (m *Member) Attr() []byte { return nil }

// Exchange is not wanted.
func (m *Member) Exchange() bool { return false }

// Weight is empty.
func (m *Member) Weight() []byte { return nil }

// Compose leaves the view as it is.
func (m *Member) Compose(*stack.Proposal) {}

// Core is everybody.
func (m *Member) Core(*stack.View) stack.Set { return nil }
