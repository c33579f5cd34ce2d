package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"maestro/wire"
)

// portable is the way that works wherever Go does: a goroutine for each socket
// reads batches and passes the datagrams through a bounded channel.
type portable struct {
	*core
	uni, mc *net.UDPConn // mc is nil without multicast
	in      chan *dgram
	free    chan *dgram // as many as in holds; who has one may fill it
	ahead   *dgram      // taken from in by wait, not yet received
	wakeup  chan struct{}
	quit    chan struct{}
	readers sync.WaitGroup
	// The write deadline of this turn: whether it is set, whether anything has
	// been sent since, and how often it has been put off.
	fresh, moved bool
	extended     int
}

// dgram is a datagram on its way from a reader to the loop.
type dgram struct {
	from netip.AddrPort
	b    []byte
}

const (
	ringLen   = 512 // datagrams between the readers and the loop
	readBatch = 16
)

// batchReader is what ipv4.PacketConn and ipv6.PacketConn have in common.
type batchReader interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
}

func openPortable(c *core) (backend, error) {
	p := &portable{core: c, in: make(chan *dgram, ringLen), free: make(chan *dgram, ringLen),
		wakeup: make(chan struct{}, 1), quit: make(chan struct{})}
	for range ringLen {
		p.free <- &dgram{}
	}
	if err := p.open(); err != nil {
		return nil, errors.Join(err, p.closeSockets())
	}
	p.second = netip.AddrPort{}
	p.modes = "portable sockets, no GSO or GRO"
	main := p.uni
	if p.mc != nil {
		main = p.mc
	}
	p.recvBuf = grantedBuffer(main, true, c.cfg.RecvBuf)
	p.sendBuf = grantedBuffer(p.uni, false, c.cfg.SendBuf)
	return p, nil
}

func (p *portable) open() error {
	var err error
	bind := net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.link.addr, p.cfg.Bind.Port()))
	err = retryDAD(!p.cfg.v4(), func() (err error) {
		p.uni, err = net.ListenUDP(p.network(), bind)
		return err
	})
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	p.local = p.zoned(unmap(p.uni.LocalAddr().(*net.UDPAddr).AddrPort()))
	if err := p.sendOptions(); err != nil {
		return fmt.Errorf("multicast options: %w", err)
	}
	p.setBuffers(p.uni)
	if !p.cfg.fanout() {
		g := net.UDPAddrFromAddrPort(p.group)
		if p.mc, err = net.ListenMulticastUDP(p.network(), &p.link.ifi, g); err != nil {
			return fmt.Errorf("join: %w", err)
		}
		p.setBuffers(p.mc)
		p.start(p.mc, p.groupFilter())
	}
	p.start(p.uni, nil)
	return nil
}

func (p *portable) network() string {
	if p.cfg.v4() {
		return "udp4"
	}
	return "udp6"
}

// setCore is never called: there is no second group.
func (p *portable) setCore(bool) error { return nil }

// sendOptions directs multicasts out of our interface.
func (p *portable) sendOptions() error {
	if p.cfg.fanout() {
		return nil
	}
	if p.cfg.v4() {
		c := ipv4.NewPacketConn(p.uni)
		return errors.Join(c.SetMulticastInterface(&p.link.ifi), c.SetMulticastTTL(p.cfg.TTL),
			c.SetMulticastLoopback(true))
	}
	c := ipv6.NewPacketConn(p.uni)
	return errors.Join(c.SetMulticastInterface(&p.link.ifi), c.SetMulticastHopLimit(p.cfg.TTL),
		c.SetMulticastLoopback(true))
}

func (p *portable) setBuffers(c *net.UDPConn) {
	// Systems differ in how they refuse a size: by an error or by silence. Take
	// the largest that is not refused.
	for size := p.cfg.RecvBuf; size >= 64<<10 && c.SetReadBuffer(size) != nil; size /= 2 {
	}
	for size := p.cfg.SendBuf; size >= 64<<10 && c.SetWriteBuffer(size) != nil; size /= 2 {
	}
}

// groupFilter tells by a datagram's control message whether it is for our group:
// the socket hears all groups that this host has joined. Where the system cannot
// tell, strangers pass, and the reader of their headers drops them.
func (p *portable) groupFilter() func(oob []byte) bool {
	g := p.group.Addr().WithZone("")
	var dst func(oob []byte) net.IP
	if p.cfg.v4() {
		if ipv4.NewPacketConn(p.mc).SetControlMessage(ipv4.FlagDst, true) != nil {
			return nil
		}
		dst = func(oob []byte) net.IP {
			var cm ipv4.ControlMessage
			_ = cm.Parse(oob) // a bad one has no Dst
			return cm.Dst
		}
	} else {
		if ipv6.NewPacketConn(p.mc).SetControlMessage(ipv6.FlagDst, true) != nil {
			return nil
		}
		dst = func(oob []byte) net.IP {
			var cm ipv6.ControlMessage
			_ = cm.Parse(oob)
			return cm.Dst
		}
	}
	return func(oob []byte) bool {
		a, ok := netip.AddrFromSlice(dst(oob))
		return !ok || a.Unmap() == g
	}
}

// start starts the reader of one socket.
func (p *portable) start(c *net.UDPConn, keep func(oob []byte) bool) {
	var r batchReader = ipv4.NewPacketConn(c)
	if !p.cfg.v4() {
		r = ipv6.NewPacketConn(c)
	}
	p.readers.Add(1)
	go p.read(r, keep)
}

// read passes datagrams on until the socket is closed. When the loop is slow the
// channel is full, the reader waits, and the kernel's buffer fills.
func (p *portable) read(r batchReader, keep func(oob []byte) bool) {
	defer p.readers.Done()
	ms := make([]ipv4.Message, readBatch)
	for i := range ms {
		ms[i].Buffers = [][]byte{make([]byte, wire.BufSize)}
		ms[i].OOB = make([]byte, 128)
	}
	for {
		n, err := r.ReadBatch(ms, 0)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		for i := range ms[:max(n, 0)] {
			m := &ms[i]
			from, ok := m.Addr.(*net.UDPAddr)
			if !ok || m.N == 0 || keep != nil && !keep(m.OOB[:m.NN]) {
				continue
			}
			if !p.pass(p.source(from), m.Buffers[0][:m.N]) {
				return
			}
		}
		if err != nil && !p.pause() {
			return
		}
	}
}

// source is a sender's address in the one form that we use. The zone that net
// tells comes from a table that may be out of date; we hear one interface.
func (p *portable) source(from *net.UDPAddr) netip.AddrPort {
	a := from.AddrPort()
	return p.zoned(netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port()))
}

// pause keeps a socket that fails all the time from using up a processor.
func (p *portable) pause() bool {
	t := time.NewTimer(time.Millisecond)
	defer t.Stop()
	select {
	case <-p.quit:
		return false
	case <-t.C:
		return true
	}
}

// pass hands a copy to the loop; false means that it is over.
func (p *portable) pass(from netip.AddrPort, b []byte) bool {
	select {
	case d := <-p.free:
		d.from, d.b = from, append(d.b[:0], b...)
		p.in <- d // never blocks: there are as many as it holds
		return true
	case <-p.quit:
		return false
	}
}

func (p *portable) wait(d time.Duration) error {
	if p.ahead != nil {
		return nil
	}
	var after <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		after = t.C
	}
	if d == 0 {
		done := make(chan time.Time)
		close(done)
		after = done
	}
	select {
	case p.ahead = <-p.in:
	case <-p.wakeup:
	case <-after:
	}
	return nil
}

func (p *portable) poll() bool {
	if p.ahead != nil {
		return true
	}
	select {
	case p.ahead = <-p.in:
		return true
	case <-p.wakeup:
		return true
	default:
		return false
	}
}

func (p *portable) wake() {
	select {
	case p.wakeup <- struct{}{}:
	default:
	}
}

func (p *portable) receive(pkts []wire.Packet) (int, error) {
	got := 0
	for got < len(pkts) {
		d := p.ahead
		p.ahead = nil
		if d == nil {
			select {
			case d = <-p.in:
			default:
				return got, nil
			}
		}
		if d.from == p.local {
			p.stats.Own++
		} else {
			p.stats.DatagramsIn++
			p.stats.BytesIn += uint64(len(d.b))
			buf, data := p.arena.put(p.pool, d.b)
			pkts[got] = wire.Packet{From: d.from, Buf: buf, Data: data, Seg: len(data)}
			got++
		}
		p.free <- d
	}
	return got, nil
}

// A write that blocks fails after this time, and with it all of the turn, so that
// a dead link cannot hold the loop up for long.
const (
	writeLimit = 10 * time.Millisecond
	maxExtend  = 3
)

func (p *portable) send(to netip.AddrPort, b []byte, seg int) error {
	if !p.fresh {
		p.fresh, p.moved, p.extended = true, false, 0
		if err := p.uni.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
			return fmt.Errorf("udp: %w", err)
		}
	}
	for len(b) > 0 {
		k := min(seg, len(b))
		p.sendOne(to, b[:k])
		b = b[k:]
	}
	return nil
}

// sendOne tries twice, because the error may be the answer to an earlier datagram.
func (p *portable) sendOne(to netip.AddrPort, b []byte) {
	_, err := p.uni.WriteToUDPAddrPort(b, to)
	p.stats.SyscallsOut++
	if err != nil && p.again(err) {
		_, err = p.uni.WriteToUDPAddrPort(b, to)
		p.stats.SyscallsOut++
	}
	if err != nil {
		p.stats.LostOut++
		p.stats.countError(err)
		return
	}
	p.moved = true
	p.stats.DatagramsOut++
	p.stats.BytesOut += uint64(len(b))
}

// again reports whether a second attempt makes sense. A deadline also passes when
// the loop's processor is taken away; it is put off if anything was sent.
func (p *portable) again(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	if !p.moved && p.extended > 0 || p.extended == maxExtend {
		return false
	}
	p.moved = false
	p.extended++
	return p.uni.SetWriteDeadline(time.Now().Add(writeLimit)) == nil
}

func (p *portable) flush() error {
	p.fresh = false
	return nil
}

func (p *portable) close() error {
	close(p.quit)
	err := p.closeSockets()
	p.readers.Wait()
	return err
}

func (p *portable) closeSockets() error {
	var errs []error
	for _, c := range []*net.UDPConn{p.uni, p.mc} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}
