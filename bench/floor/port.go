package floor

import (
	"net"
	"net/netip"
	"time"

	"maestro/wire"
	"maestro/wire/udp"
)

// port is one process's way to the network: lean system calls (raw_linux.go), or
// package wire/udp to see what that costs.
type port interface {
	// send sends datagrams of seg bytes; the zero address is the group.
	send(to netip.AddrPort, b []byte, seg int) error
	// recv gives one run, valid until the next call; nothing if none comes in
	// time. Zero only looks.
	recv(wait time.Duration) (b []byte, seg int, from netip.AddrPort, err error)
	// unicast makes recv read what comes to this member alone; before, a
	// receiver's port may read the group's only.
	unicast()
	recvBuf() int
	close() error
}

// conn is a port of package wire/udp.
type conn struct {
	c     *udp.Conn
	pkts  [32]wire.Packet
	n, at int
	held  *wire.Buf
}

func newConn(cfg *Config) (port, error) {
	c, err := udp.Open(udp.Config{Group: cfg.Group, Interface: cfg.Interface}, &wire.Pool{})
	if err != nil {
		return nil, err
	}
	if ifi, err := net.InterfaceByName(cfg.Interface); err == nil &&
		ifi.Flags&net.FlagLoopback == 0 {
		c.SetMembers(nil) // no other member is on this host, as with raw sockets
	}
	return &conn{c: c}, nil
}

func (p *conn) send(to netip.AddrPort, b []byte, seg int) error {
	if err := p.c.Send(to, b, seg); err != nil {
		return err
	}
	if len(b) <= seg {
		return p.c.Flush()
	}
	return nil
}

func (p *conn) recv(wait time.Duration) ([]byte, int, netip.AddrPort, error) {
	if p.held != nil {
		p.held.Drop()
		p.held = nil
	}
	if p.at == p.n {
		if err := p.fill(wait); err != nil || p.n == 0 {
			return nil, 0, netip.AddrPort{}, err
		}
	}
	k := &p.pkts[p.at]
	p.at++
	p.held = k.Buf
	return k.Data, k.Seg, k.From, nil
}

// fill receives as the stack's loop does: it waits first. A Wait may end early
// for no reason.
func (p *conn) fill(wait time.Duration) error {
	p.at, p.n = 0, 0
	var end time.Time
	for left := wait; ; left = time.Until(end) {
		if left > 0 {
			if err := p.c.Wait(left); err != nil {
				return err
			}
		}
		var err error
		p.n, err = p.c.Receive(p.pkts[:])
		if err != nil || p.n > 0 || left <= 0 {
			return err
		}
		if end.IsZero() {
			end = time.Now().Add(wait)
		}
	}
}

func (p *conn) unicast()     {}
func (p *conn) recvBuf() int { return p.c.RecvBuf() }

func (p *conn) close() error {
	if p.held != nil {
		p.held.Drop()
	}
	for ; p.at < p.n; p.at++ {
		p.pkts[p.at].Buf.Drop()
	}
	return p.c.Close()
}
