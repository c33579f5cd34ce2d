// Package link runs members over real sockets, with a switch between member and
// sockets that cuts it off from everybody.
package link

import (
	"net/netip"
	"sync/atomic"

	"maestro/clsv"
	"maestro/stack/node"
	"maestro/wire"
	"maestro/wire/udp"
)

// Switch cuts members off. Its zero value lets everything pass.
type Switch struct{ cut atomic.Bool }

// Cut drops everything that the members send and receive from now on, or stops
// doing so.
func (s *Switch) Cut(on bool) { s.cut.Store(on) }

// Driver is a driver of real sockets behind the switch.
func (s *Switch) Driver() clsv.Driver {
	return clsv.Net{Change: func(c *node.Config) {
		sockets := c.UDP
		sockets.NoLifeline = true // the switch could not cut them
		c.Transport = func(pool *wire.Pool) (node.Transport, error) {
			conn, err := udp.Open(sockets, pool)
			if err != nil {
				return nil, err
			}
			return &transport{Conn: conn, s: s}, nil
		}
	}}
}

// transport is sockets with the switch.
type transport struct {
	*udp.Conn
	s *Switch
}

func (t *transport) Receive(pkts []wire.Packet) (int, error) {
	n, err := t.Conn.Receive(pkts)
	if !t.s.cut.Load() {
		return n, err
	}
	for i := range pkts[:n] {
		pkts[i].Buf.Drop()
		pkts[i].Buf = nil
	}
	return 0, err
}

func (t *transport) Send(to netip.AddrPort, b []byte, seg int) error {
	if t.s.cut.Load() {
		return nil
	}
	return t.Conn.Send(to, b, seg)
}

func (t *transport) Unreachable() (netip.AddrPort, bool) {
	addr, ok := t.Conn.Unreachable()
	if t.s.cut.Load() {
		return netip.AddrPort{}, false
	}
	return addr, ok
}
