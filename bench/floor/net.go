package floor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/ipv4"
)

// netPort is a port of package net: blocking calls, behind which the runtime's
// poller waits. It is for the ping-pong.
type netPort struct {
	uni, mc *net.UDPConn
	cur     *net.UDPConn // the one that recv reads
	late    time.Time    // its deadline
	group   netip.AddrPort
	buf     [64 << 10]byte
}

func newNet(cfg *Config) (port, error) {
	p := &netPort{group: cfg.Group}
	if err := p.open(cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("floor: %w", err), p.close())
	}
	return p, nil
}

func (p *netPort) open(cfg *Config) error {
	ifi, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return fmt.Errorf("interface %q: %w", cfg.Interface, err)
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && p.uni == nil {
			if p.uni, err = net.ListenUDP("udp4", &net.UDPAddr{IP: n.IP}); err != nil {
				return err
			}
		}
	}
	if p.uni == nil {
		return fmt.Errorf("%s has no IPv4 address", ifi.Name)
	}
	pc := ipv4.NewPacketConn(p.uni)
	err = errors.Join(pc.SetMulticastInterface(ifi), pc.SetMulticastLoopback(true))
	p.cur = p.uni
	if cfg.Role != Receiver {
		return err
	}
	mc, err2 := net.ListenMulticastUDP("udp4", ifi, net.UDPAddrFromAddrPort(cfg.Group))
	p.mc, p.cur = mc, mc
	return errors.Join(err, err2)
}

func (p *netPort) send(to netip.AddrPort, b []byte, seg int) error {
	if !to.IsValid() {
		to = p.group
	}
	for len(b) > 0 {
		d := b[:min(seg, len(b))]
		b = b[len(d):]
		if _, err := p.uni.WriteToUDPAddrPort(d, to); err != nil {
			return fmt.Errorf("floor: %w", err)
		}
	}
	return nil
}

// recv waits at least as long as it is told to, and at most twice as long: a
// deadline of its own for each datagram would be dear.
func (p *netPort) recv(wait time.Duration) ([]byte, int, netip.AddrPort, error) {
	if now := time.Now(); p.late.Sub(now) < wait || p.late.Sub(now) > 2*wait {
		p.late = now.Add(2 * wait)
		if err := p.cur.SetReadDeadline(p.late); err != nil {
			return nil, 0, netip.AddrPort{}, fmt.Errorf("floor: %w", err)
		}
	}
	n, from, err := p.cur.ReadFromUDPAddrPort(p.buf[:])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, 0, netip.AddrPort{}, nil
	}
	if err != nil {
		return nil, 0, netip.AddrPort{}, fmt.Errorf("floor: %w", err)
	}
	return p.buf[:n], n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), nil
}

func (p *netPort) unicast()     { p.cur, p.late = p.uni, time.Time{} }
func (p *netPort) recvBuf() int { return 0 }

func (p *netPort) close() error {
	var err error
	for _, c := range []*net.UDPConn{p.uni, p.mc} {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
	}
	return err
}
