package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"time"

	"maestro/stack"
	"maestro/stack/trace"
	"maestro/wire"
)

// fake is a layer that is a whole stack: a fixed view of the members a, b, c
// ..., and casts that are sent once and not repaired. It is for tests of the
// network under it.
type fake struct {
	*stack.Port
	n int
}

// fakeConfig is a configuration of a group of n fakes.
func fakeConfig(n int) stack.Config {
	m := stack.Maker{Name: "fake", Kinds: []wire.Kind{wire.KindCast},
		Gives: stack.Datagrams | stack.Views | stack.Messages,
		New:   func(p *stack.Port) stack.Layer { return newFake(p, n) }}
	return stack.Config{Layers: []stack.Maker{m}, StackName: "fake"}
}

func fakeName(i int) string { return fmt.Sprintf("m%02d", i) }

func newFake(p *stack.Port, n int) *fake {
	if p.View().Private {
		p.SetDeadline(p.Now() + 1)
	}
	return &fake{p, n}
}

func (l *fake) Expire() {
	d := &wire.Decision{Next: wire.View{ID: wire.ViewID{Ltime: 1}}}
	for i := range l.n {
		id := wire.Endpoint{Name: fakeName(i), Incarnation: 1}
		d.Next.Members = append(d.Next.Members, wire.Member{ID: id, Addr: AddrOf(i)})
	}
	l.Tell(stack.Install{Decision: d})
}

func (l *fake) Down(m *stack.Msg) {
	g := l.Log()
	if m.Claimed {
		g.Commit(m.Kind, int(m.Seq))
	} else {
		g.Append(m.Kind, m.Head, m.Data)
	}
	g.Seal()
	l.PassUp(l.msg(bytes.Clone(g.Body(g.Last())), l.Me(), g.Last(), nil))
}

func (l *fake) Flush() {
	for {
		b, seg, _, last := l.Log().Burst(math.MaxUint64, 0)
		if b == nil {
			return
		}
		l.Transmit(netip.AddrPort{}, b, seg)
		l.Log().Free(last)
	}
}

func (l *fake) msg(b []byte, from int, seq uint64, buf *wire.Buf) *stack.Msg {
	n, k := binary.Uvarint(b[1:])
	b = b[1+k:]
	return &stack.Msg{Kind: kindTest, From: from, To: stack.All, Seq: seq, Data: b[:n], Buf: buf}
}

func (l *fake) Receive(d *stack.Datagram) {
	for seq, b := d.Seq, d.Body; len(b) > 0; seq++ {
		n := len(b)
		if d.Part > 0 {
			n = min(n, d.Part)
		}
		l.PassUp(l.msg(b[:n], int(d.Sender), seq, d.Buf))
		b = b[n:]
	}
}

func (l *fake) CastControl(wire.Kind, uint64, []byte)                {}
func (l *fake) SendControl(int, wire.Kind, uint64, []byte)           {}
func (l *fake) CastForeign(wire.Kind, []byte)                        {}
func (l *fake) SendForeign(to netip.AddrPort, _ wire.Kind, b []byte) { l.Transmit(to, b, len(b)) }
func (l *fake) Burst(int, []byte, int)                               {}

// crew is a world with n fakes and what they have been delivered.
type crew struct {
	*World
	apps []*Recorder
	got  [][]string
}

func newCrew(t interface{ Fatal(...any) }, seed uint64, n int, o Options) *crew {
	c := &crew{World: New(seed, o), got: make([][]string, n)}
	for i := range n {
		r := &Recorder{}
		r.OnDeliver = func(id trace.MsgID, _ []byte) {
			c.got[i] = append(c.got[i], fmt.Sprintf("%s/%d", id.Origin.Name, id.N))
		}
		cfg := fakeConfig(n)
		cfg.Self = wire.Endpoint{Name: fakeName(i), Incarnation: 1}
		m, err := c.Add(fakeName(i), cfg, r)
		if err != nil {
			t.Fatal(err)
		}
		m.Join()
		c.apps = append(c.apps, r)
	}
	c.RunFor(time.Millisecond)
	return c
}

func (c *crew) member(i int) *Member { return c.apps[i].m }
