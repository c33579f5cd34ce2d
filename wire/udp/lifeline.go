package udp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A lifeline is a TCP connection on which nothing is said but a greeting. A member keeps
// one to another: the kernel ends it when that process ends, however it does, and until
// then it costs nothing. Who finds it broken dials again. Only if that is refused, or
// if another process answers, is the one that was there gone: whoever can break a
// connection can lead us to look, and to nothing else.

// lifelines is what a Conn has of them: the one that it keeps, and its listener.
type lifelines struct {
	watcher
	listener *listener // nil if there is none
	why      error     // why not
}

// openLifelines listens at the TCP port of the number that the UDP port is to have. Where
// any will do, the one that it gets is noted for the UDP socket.
func openLifelines(c *core, wake func()) *lifelines {
	l := &lifelines{watcher: watcher{local: c.link.addr, wake: wake}}
	l.why = retryDAD(!c.cfg.v4(), func() (err error) {
		l.listener, err = listen(netip.AddrPortFrom(c.link.addr, c.cfg.Bind.Port()))
		return err
	})
	if l.listener != nil {
		c.cfg.Bind = netip.AddrPortFrom(c.cfg.Bind.Addr(), l.listener.port())
	}
	return l
}

func (l *lifelines) describe() string {
	switch {
	case l == nil:
		return "lifelines off"
	case l.listener == nil:
		return "lifelines to others only (" + l.why.Error() + ")"
	}
	return "lifelines on"
}

// count adds what has been counted to the sockets' own counters.
func (l *lifelines) count(s *Stats) {
	s.Lifelines, s.LifelineBreaks, s.LifelineHeld = l.holds.Load(), l.breaks.Load(), l.held.Load()
	if l.listener != nil {
		s.LifelineRefusals = l.listener.refusals.Load()
	}
}

// close returns when all goroutines have ended.
func (l *lifelines) close() {
	if l.listener != nil {
		l.listener.close()
	}
	l.watcher.close()
}

// watcher keeps a lifeline to one address. The loop asks it; a goroutine for each
// address dials and waits.
type watcher struct {
	local netip.Addr
	wake  func()

	mu      sync.Mutex
	closed  bool
	addr    netip.AddrPort     // the one that is watched
	conn    net.Conn           // to it, if there is one
	cancel  context.CancelFunc // ends its goroutine
	running sync.WaitGroup

	// Whether the lifeline holds, and what the loop has not been told yet: that this has
	// changed, that the process is gone. They are set with mu held, and looked at each turn
	// without it.
	held, changed, gone atomic.Bool

	holds, breaks atomic.Uint64
}

const (
	// settle is how long an address must be watched before it is dialled: views follow
	// each other fast while a group forms, and have better things to do.
	settle = time.Millisecond
	// Attempts are a minPause apart at first, growing to maxPause. A lifeline that has
	// held for so long begins anew.
	minPause = time.Millisecond
	maxPause = time.Second

	dialTime  = time.Second
	greetTime = time.Second // from the connection to the greeting
)

// slowKeepAlive ends what is left of a connection whose other end has vanished without a
// word, and keeps firewalls from forgetting one that is idle. It is no failure detection.
func slowKeepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second,
		Count: 4}
}

// watch keeps a lifeline to this address and no other, and reports whether it holds. It
// is dialled in the form to.
func (w *watcher) watch(addr, to netip.AddrPort) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || addr == w.addr {
		return w.held.Load()
	}
	w.stop()
	w.addr = addr
	if addr.IsValid() {
		ctx, cancel := context.WithCancel(context.Background())
		w.cancel = cancel
		w.running.Add(1)
		go w.keep(ctx, to)
	}
	return false
}

// stop ends what there is to the present address, with mu held.
func (w *watcher) stop() {
	if w.cancel != nil {
		w.cancel()
		w.cancel = nil
	}
	w.detach()
	w.held.Store(false)
	w.changed.Store(false)
	w.gone.Store(false)
}

func (w *watcher) detach() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

func (w *watcher) close() {
	w.mu.Lock()
	w.closed = true
	w.stop()
	w.mu.Unlock()
	w.running.Wait()
}

// lifeline is whether the lifeline holds, if that has changed.
func (w *watcher) lifeline() (addr netip.AddrPort, held, news bool) {
	if !w.changed.Load() {
		return netip.AddrPort{}, false, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.addr, w.held.Load(), w.changed.Swap(false)
}

// unreachable is the address that is watched if its process is gone, once.
func (w *watcher) unreachable() (netip.AddrPort, bool) {
	if !w.gone.Load() {
		return netip.AddrPort{}, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.addr, w.gone.Swap(false)
}

// keep dials an address until ctx ends, and waits while the lifeline holds.
func (w *watcher) keep(ctx context.Context, addr netip.AddrPort) {
	defer w.running.Done()
	if !sleep(ctx, settle) {
		return
	}
	var peer instance // whose lifeline broke, and of whom nothing is known since
	for pause := time.Duration(0); sleep(ctx, pause); {
		if pause == maxPause { // whoever was there, others may be by now
			peer = instance{}
		}
		pause = min(max(2*pause, minPause), maxPause)
		who, conn, err := w.dial(ctx, addr)
		if errors.Is(err, syscall.ECONNREFUSED) || err == nil && who != peer {
			if peer != (instance{}) {
				w.tell(ctx, func() { w.gone.Store(true) })
			}
			peer = instance{}
		}
		if err != nil {
			continue
		}
		peer = who
		began := time.Now()
		w.hold(ctx, conn)
		if time.Since(began) > maxPause {
			pause = 0
		}
	}
}

// dial makes a connection, which stop closes, and reads the greeting.
func (w *watcher) dial(ctx context.Context, addr netip.AddrPort) (instance, net.Conn, error) {
	d := net.Dialer{Timeout: dialTime, KeepAliveConfig: slowKeepAlive(),
		LocalAddr: &net.TCPAddr{IP: w.local.AsSlice(), Zone: w.local.Zone()}}
	conn, err := d.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return instance{}, nil, err
	}
	// Or the port that we have dialled from would be taken for long after.
	_ = conn.(*net.TCPConn).SetLinger(0)
	who, err := w.meet(ctx, conn, addr)
	if err != nil {
		w.mu.Lock()
		if ctx.Err() == nil {
			w.detach()
		}
		w.mu.Unlock()
	}
	return who, conn, err
}

// meet reads the greeting. From now on stop closes the connection.
func (w *watcher) meet(ctx context.Context, conn net.Conn, addr netip.AddrPort) (instance, error) {
	w.mu.Lock()
	if ctx.Err() != nil {
		conn.Close()
	} else {
		w.conn = conn
	}
	w.mu.Unlock()
	if err := conn.SetReadDeadline(time.Now().Add(greetTime)); err != nil {
		return instance{}, err
	}
	who, err := readGreeting(conn, addr)
	if err != nil {
		return instance{}, err
	}
	return who, conn.SetReadDeadline(time.Time{})
}

// hold waits until a lifeline breaks. Whoever says more than the greeting is none.
func (w *watcher) hold(ctx context.Context, conn io.Reader) {
	w.tell(ctx, func() {
		w.held.Store(true)
		w.changed.Store(true)
		w.holds.Add(1)
	})
	_, _ = conn.Read(make([]byte, 1))
	w.tell(ctx, func() {
		w.detach()
		w.held.Store(false)
		w.changed.Store(true)
		w.breaks.Add(1)
	})
}

// tell changes what the loop is to know, unless ctx has ended, and wakes it.
func (w *watcher) tell(ctx context.Context, change func()) {
	w.mu.Lock()
	live := ctx.Err() == nil
	if live {
		change()
	}
	w.mu.Unlock()
	if live {
		w.wake()
	}
}

// sleep reports whether d has passed; false if ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}
