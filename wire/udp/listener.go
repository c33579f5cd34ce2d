package udp

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// The greeting says which UDP socket the listener belongs to, and which process:
//
//	0         7         8           24     26         34
//	+---------+---------+-----------+------+----------+
//	| MAESTRO | version | address   | port | instance |
//	+---------+---------+-----------+------+----------+
//
// The address is in its v6 form, the port little-endian, the instance drawn by chance.
const (
	greetingMagic = "MAESTRO\x01" // and version
	greetingLen   = len(greetingMagic) + 16 + 2 + len(instance{})
)

// instance tells one life of a member from another at the same address.
type instance [8]byte

// errStranger says that something else listens there.
var errStranger = errors.New("udp: no lifeline: the greeting is another")

func greeting(addr netip.AddrPort, id instance) []byte {
	ip := addr.Addr().As16()
	b := append([]byte(greetingMagic), ip[:]...)
	b = binary.LittleEndian.AppendUint16(b, addr.Port())
	return append(b, id[:]...)
}

// readGreeting reads that of the listener that belongs to an address.
func readGreeting(r io.Reader, addr netip.AddrPort) (id instance, err error) {
	var b [greetingLen]byte
	if _, err = io.ReadFull(r, b[:]); err != nil {
		return id, err
	}
	copy(id[:], b[greetingLen-len(id):])
	if string(b[:]) != string(greeting(addr, id)) || id == (instance{}) {
		return instance{}, errStranger
	}
	return id, nil
}

// listener is where others have their lifelines to this member.
type listener struct {
	ln       *net.TCPListener
	greeting []byte
	refusals atomic.Uint64
	quit     chan struct{}

	mu      sync.Mutex
	conns   map[*net.TCPConn]bool
	closed  bool
	running sync.WaitGroup
}

// maxWatchers bounds the lifelines to one member. One member of a view has one; more there
// are while views change.
const maxWatchers = 64

// listen listens at an address; port 0 is any.
func listen(local netip.AddrPort) (*listener, error) {
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(local))
	if err != nil {
		return nil, err
	}
	var id instance
	_, _ = rand.Read(id[:]) // never fails
	s := &listener{ln: ln, quit: make(chan struct{}), conns: map[*net.TCPConn]bool{}}
	s.greeting = greeting(netip.AddrPortFrom(local.Addr(), s.port()), id)
	s.running.Add(1)
	go s.accept()
	return s, nil
}

func (s *listener) port() uint16 { return s.ln.Addr().(*net.TCPAddr).AddrPort().Port() }

func (s *listener) accept() {
	defer s.running.Done()
	for {
		c, err := s.ln.AcceptTCP()
		switch {
		case err == nil:
			s.take(c)
		case errors.Is(err, net.ErrClosed):
			return
		default: // such as too many open files
			select {
			case <-s.quit:
			case <-time.After(maxPause):
			}
		}
	}
}

// take has a connection served, unless there are too many.
func (s *listener) take(c *net.TCPConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) == maxWatchers {
		s.refusals.Add(1)
		c.Close()
		return
	}
	s.conns[c] = true
	s.running.Add(1)
	go s.serve(c)
}

// serve greets, and holds the connection until its other end says or does anything.
func (s *listener) serve(c *net.TCPConn) {
	defer s.running.Done()
	_ = c.SetKeepAliveConfig(slowKeepAlive())
	err := c.SetWriteDeadline(time.Now().Add(greetTime))
	if err == nil {
		_, err = c.Write(s.greeting)
	}
	if err == nil {
		_, _ = c.Read(make([]byte, 1))
	}
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	c.Close()
}

// close returns when all goroutines have ended.
func (s *listener) close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.quit)
		s.ln.Close()
		for c := range s.conns {
			c.Close()
		}
	}
	s.mu.Unlock()
	s.running.Wait()
}
