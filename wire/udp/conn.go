package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"maestro/wire"
)

// maxPayload is the longest UDP payload over IPv4, in bytes.
const maxPayload = 65507

// Conn is the sockets of one member. The event loop owns it: all methods but
// Wake and Close belong to the loop's goroutine. While that is in Wait or Poll,
// another may send, one at a time: Send, Flush, SetMembers, SetCore and Stats.
type Conn struct {
	core
	be     backend
	dests  []netip.AddrPort // where a send to the group goes; nil with multicast
	life   *lifelines       // nil if they are off
	closed atomic.Bool
	mu     sync.Mutex // held in Wait, so that Close can tell when it has ended
	freed  bool       // guarded by mu
}

// backend is one way to use the sockets: native_linux.go or portable.go.
type backend interface {
	// wait returns when a socket is readable, wake was called, or d has passed.
	wait(d time.Duration) error
	poller
	setCore(in bool) error
	receive(pkts []wire.Packet) (int, error)
	// send takes whole segments; the bytes are the caller's again on return.
	send(to netip.AddrPort, b []byte, seg int) error
	flush() error
	wakeCloser
}

// poller looks without blocking whether wait would return at once, and ends the
// wake that it sees.
type poller interface{ poll() bool }

// wakeCloser is the part of a backend that other goroutines may call.
type wakeCloser interface {
	wake()
	// close runs when nobody is in wait any more.
	close() error
}

// core is what a Conn shares with its backend.
type core struct {
	cfg     Config
	link    link
	local   netip.AddrPort
	group   netip.AddrPort // with its zone
	second  netip.AddrPort // the core's, if there is one
	pool    *wire.Pool
	arena   arena
	stats   Stats
	refused refused
	recvBuf int
	sendBuf int
	modes   string // how the backend works, for Describe
	alone   bool   // no other member is known to share this host
}

// Open opens the sockets and joins the group. The caller closes the Conn. The
// pool is used only within Receive and Close, by the goroutine that calls them.
func Open(cfg Config, pool *wire.Pool) (*Conn, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	var l link
	err = retryDAD(!cfg.v4(), func() (err error) {
		l, err = chooseLink(&cfg)
		return err
	})
	if err != nil {
		return nil, err
	}
	c := &Conn{core: core{cfg: cfg, link: l, group: cfg.Group, pool: pool}}
	if !cfg.fanout() {
		c.second = cfg.Core
	}
	if c.group.IsValid() && !cfg.v4() {
		c.group = netip.AddrPortFrom(c.group.Addr().WithZone(l.zone), c.group.Port())
		c.second = netip.AddrPortFrom(c.second.Addr().WithZone(l.zone), c.second.Port())
	}
	if err = c.open(); err != nil {
		return nil, fmt.Errorf("udp: %s: %w", l, err)
	}
	if cfg.fanout() {
		c.SetMembers(nil)
	}
	return c, nil
}

// portTries is how often another port is tried where any will do.
const portTries = 8

// open opens the sockets, and first the listener: where the port is the kernel's choice
// it must be free for both, and of TCP's ports more are taken, for a minute after too.
func (c *Conn) open() error {
	chosen := c.cfg.Bind.Port() != 0
	for try := 1; ; try++ {
		if !c.cfg.NoLifeline {
			c.life = openLifelines(&c.core, func() { c.be.wake() })
		}
		var err error
		if c.be, err = openBackend(&c.core); err == nil {
			return nil
		}
		if c.life != nil {
			c.life.close()
		}
		if chosen || try == portTries || !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
		c.cfg.Bind = netip.AddrPortFrom(c.cfg.Bind.Addr(), 0)
	}
}

// Local is the member's address: everything is sent from it.
func (c *Conn) Local() netip.AddrPort { return c.local }

// MTU is the largest payload in bytes that one packet of the interface carries.
func (c *Conn) MTU() int { return c.link.payload(c.cfg.v4()) }

// RecvBuf is the size of the receive buffer that the kernel granted, in bytes.
// It counts the kernel's overhead too: about half of it is payload.
func (c *Conn) RecvBuf() int { return c.recvBuf }

// Stats is the counters up to now.
func (c *Conn) Stats() Stats {
	s := c.stats
	if c.life != nil {
		c.life.count(&s)
	}
	return s
}

// Describe is one line for the log: interface and why, addresses, modes, buffers.
func (c *Conn) Describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, member %v, ", c.link, c.local)
	if c.cfg.fanout() {
		fmt.Fprintf(&b, "unicast to %d peers", len(c.cfg.Peers))
	} else {
		fmt.Fprintf(&b, "group %v ttl %d", c.group, c.cfg.TTL)
	}
	fmt.Fprintf(&b, ", %s, %s", c.modes, c.life.describe())
	fmt.Fprintf(&b, ", receive buffer %d KiB of %d asked, send buffer %d KiB of %d asked",
		c.recvBuf>>10, c.cfg.RecvBuf>>10, c.sendBuf>>10, c.cfg.SendBuf>>10)
	return b.String()
}

// SetMembers gives the addresses of the view's members. Without multicast, sends
// to the group go to them besides the peers of the Config. With multicast they
// tell whether a member shares this host: if none does, what is for the view is not
// looped back, which would cost the kernel a fifth of its time; what is for strangers
// always is, so that they can be discovered on this host too.
func (c *Conn) SetMembers(addrs []netip.AddrPort) {
	if !c.cfg.fanout() {
		c.alone = !c.neighbours(addrs)
		return
	}
	seen := map[netip.AddrPort]bool{c.local: true}
	c.dests = c.dests[:0]
	for _, list := range [][]netip.AddrPort{c.cfg.Peers, addrs} {
		for _, a := range list {
			if a = c.zoned(unmap(a)); !seen[a] && a.Addr().Is4() == c.cfg.v4() {
				seen[a] = true
				c.dests = append(c.dests, a)
			}
		}
	}
}

// Core is the second multicast address, zero if there is none.
func (c *Conn) Core() netip.AddrPort { return c.second }

// SetCore joins or leaves the second multicast group. Without one it does
// nothing.
func (c *Conn) SetCore(in bool) error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	if !c.second.IsValid() {
		return nil
	}
	return c.be.setCore(in)
}

// zoned gives a link-local address without a zone the zone of our interface, so
// that one member has one address.
func (c *core) zoned(a netip.AddrPort) netip.AddrPort {
	if ip := a.Addr(); ip.Is6() && ip.Zone() == "" && ip.IsLinkLocalUnicast() {
		return netip.AddrPortFrom(ip.WithZone(c.link.zone), a.Port())
	}
	return a
}

// Wait blocks until a datagram can be received, Wake is called, or d has passed;
// a negative d is for ever and zero only looks. It may return early for no
// reason, and returns net.ErrClosed when the Conn is closed.
func (c *Conn) Wait(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return errors.Join(net.ErrClosed, c.free())
	}
	err := c.be.wait(d)
	if c.closed.Load() {
		return errors.Join(net.ErrClosed, c.free())
	}
	return err
}

// Poll is a Wait that uses the processor instead of sleeping, for the shortest
// latency: it looks again and again for at most d, for ever if d is negative, and
// reports whether there was anything to return for.
func (c *Conn) Poll(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	var end time.Time
	yield := 1 << 10 // each wakes a thread, which looks for work on another processor
	if runtime.GOMAXPROCS(0) == 1 {
		yield = 16
	}
	for n := 1; ; n++ {
		if c.closed.Load() || c.be.poll() {
			return true
		}
		if n%yield == 0 {
			runtime.Gosched()
		}
		if n%16 != 0 {
			continue
		}
		if end.IsZero() {
			end = time.Now().Add(d)
		} else if d >= 0 && time.Now().After(end) {
			return false
		}
	}
}

// Nap sleeps for d, whatever comes, unless a Wait would return at once: that it
// reports. It does nothing where the sockets are Go's own.
func (c *Conn) Nap(d time.Duration) (found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() || c.be.poll() {
		return true
	}
	if b, ok := c.be.(interface{ nap(d time.Duration) }); ok {
		b.nap(d)
	}
	return false
}

// Wake makes the current or the next Wait return. Any goroutine may call it; it
// costs a few nanoseconds while another wake is pending.
func (c *Conn) Wake() { c.be.wake() }

// Receive fills pkts with what has arrived and returns how many it filled; 0 when
// nothing is there. It does not block. Each filled packet's Buf comes with one
// reference that is the caller's to drop. Data is aligned to 8 bytes.
func (c *Conn) Receive(pkts []wire.Packet) (int, error) {
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	return c.be.receive(pkts)
}

// errSegment is what Send answers to a length that makes no datagrams.
var errSegment = errors.New("udp: segment length is not in 1..65507")

// Send sends b to one address, or to the group when to is zero: one datagram or
// more of seg bytes each, the last of which may be shorter. The bytes may be
// reused on return. A single small datagram leaves with the next Flush or with
// the next run, others at once; the order of what goes to one address is kept.
// What the network refuses is counted and dropped; errors are the caller's own
// mistakes, or net.ErrClosed.
func (c *Conn) Send(to netip.AddrPort, b []byte, seg int) error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	if len(b) == 0 {
		return nil
	}
	if seg = min(seg, len(b)); seg <= 0 || seg > maxPayload {
		return errSegment
	}
	if to.IsValid() {
		to = unmap(to)
		if to.Addr().Is4() != c.cfg.v4() {
			return fmt.Errorf("udp: %v is not of this socket's address family", to)
		}
		return c.be.send(c.zoned(to), b, seg)
	}
	if !c.cfg.fanout() {
		return c.be.send(c.group, b, seg)
	}
	for _, to := range c.dests {
		if err := c.be.send(to, b, seg); err != nil {
			return err
		}
	}
	return nil
}

// Flush sends what Send has kept. The loop calls it at the end of each turn.
func (c *Conn) Flush() error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	return c.be.flush()
}

// Unreachable is the next address at which nobody listens any more, as of the last
// Receive: the kernel has learned that by ICMP, or a lifeline by a connection refused;
// false when there is none. The portable path does not hear of ICMP.
func (c *Conn) Unreachable() (netip.AddrPort, bool) {
	if c.life != nil {
		if a, ok := c.life.unreachable(); ok {
			return a, true
		}
	}
	return c.refused.pop()
}

// Watch keeps a lifeline to a member's address and to no other; to none if it is zero. It
// reports whether the lifeline holds. To ask again for the same address costs little.
func (c *Conn) Watch(addr netip.AddrPort) (held bool) {
	return c.life != nil && c.life.watch(addr, c.zoned(unmap(addr)))
}

// Lifeline tells whether the lifeline to the address that is watched holds, if that has
// changed since the last call. A change ends a Wait.
func (c *Conn) Lifeline() (addr netip.AddrPort, held, news bool) {
	if c.life == nil {
		return netip.AddrPort{}, false, false
	}
	return c.life.lifeline()
}

// Close closes the sockets and gives the buffers back. It may be called while
// another goroutine is in Wait, which then frees everything and returns
// net.ErrClosed before Close returns; it must not run at the same time as other
// methods of the loop. A second Close does nothing.
func (c *Conn) Close() error {
	c.closed.Store(true)
	c.be.wake()
	if c.life != nil {
		c.life.close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.free()
}

// free runs once, with mu held.
func (c *Conn) free() error {
	if c.freed {
		return nil
	}
	c.freed = true
	err := c.be.close()
	c.arena.release()
	return err
}
