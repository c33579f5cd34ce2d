package udp

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"maestro/wire"
)

// news waits for news of the lifeline to an address, until it holds, or does not.
func (m *member) news(addr netip.AddrPort, held bool) {
	m.t.Helper()
	for end := time.Now().Add(patience); ; m.listen(end) {
		switch a, h, ok := m.Lifeline(); {
		case ok && a != addr:
			m.t.Fatalf("news of %v, not of %v", a, addr)
		case ok && h == held:
			return
		}
		if time.Now().After(end) {
			m.t.Fatalf("the lifeline to %v never became held %t: %+v", addr, held, m.Stats())
		}
	}
}

// listen receives nothing, for a moment.
func (m *member) listen(end time.Time) {
	m.t.Helper()
	if err := m.Wait(min(20*time.Millisecond, max(time.Until(end), 0))); err != nil {
		m.t.Fatal(err)
	}
	if _, err := m.Receive(nil); err != nil {
		m.t.Fatal(err)
	}
}

// gone waits until it is known that nobody is at an address.
func (m *member) gone(addr netip.AddrPort) {
	m.t.Helper()
	for end := time.Now().Add(patience); ; m.listen(end) {
		if a, ok := m.Unreachable(); ok && a != addr {
			m.t.Fatalf("%v is unreachable, and not %v", a, addr)
		} else if ok {
			return
		}
		if time.Now().After(end) {
			m.t.Fatalf("%v is not unreachable: %+v", addr, m.Stats())
		}
	}
}

// never checks that for some time the lifeline does not hold and nobody is gone.
func (m *member) never(d time.Duration) {
	m.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); m.listen(end) {
		if a, held, ok := m.Lifeline(); ok && held {
			m.t.Fatalf("a lifeline to %v", a)
		}
		if a, ok := m.Unreachable(); ok {
			m.t.Fatalf("%v is unreachable", a)
		}
	}
}

func TestLifeline(t *testing.T) {
	modes(t, func(t *testing.T, cfg Config) {
		for _, cfg.Group = range []netip.AddrPort{group(),
			netip.MustParseAddrPort("[ff12::4d41:5]:23457")} {
			if cfg.Group.Addr().Is6() && !hasIPv6() {
				t.Log("no IPv6: only IPv4 tested")
				continue
			}
			a, b := open(t, cfg), open(t, cfg)
			if !strings.Contains(a.Describe(), "lifelines on") {
				t.Error(a.Describe())
			}
			if a.Watch(b.Local()) {
				t.Error("held at once")
			}
			a.news(b.Local(), true)
			if !a.Watch(b.Local()) {
				t.Error("it holds, and is not said to")
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			a.news(b.Local(), false)
			a.gone(b.Local())
			a.never(50 * time.Millisecond) // once is enough
			if s := a.Stats(); s.Lifelines != 1 || s.LifelineBreaks != 1 {
				t.Errorf("%+v", s)
			}
		}
	})
}

// TestLifelineOfKilled: the kernel says what a process cannot say itself any more.
func TestLifelineOfKilled(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), "VICTIM="+group().String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(strings.TrimSpace(line))
	a := open(t, Config{Group: group()})
	a.Watch(addr)
	a.news(addr, true)
	began := time.Now()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	a.gone(addr)
	t.Logf("noticed after %v", time.Since(began))
}

// TestVictim is the process that is killed.
func TestVictim(t *testing.T) {
	g := os.Getenv("VICTIM")
	if g == "" {
		t.Skip("is for another test")
	}
	c, err := Open(Config{Group: netip.MustParseAddrPort(g), Interface: "lo"}, &wire.Pool{})
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString(c.Local().String() + "\n")
	time.Sleep(time.Minute)
}

// TestLifelineToAnother: a process that has come in the place of another does not pass for
// it, and can be watched itself.
func TestLifelineToAnother(t *testing.T) {
	cfg := Config{Group: group()}
	a, b := open(t, cfg), open(t, cfg)
	cfg.Bind = b.Local()
	a.Watch(b.Local())
	a.news(b.Local(), true)
	_ = b.Close()
	open(t, cfg)
	a.gone(b.Local())
	a.news(b.Local(), true)
}

func TestWatchChanges(t *testing.T) {
	cfg := Config{Group: group()}
	a, b, c := open(t, cfg), open(t, cfg), open(t, cfg)
	watchers := func(m *member) int {
		m.life.listener.mu.Lock()
		defer m.life.listener.mu.Unlock()
		return len(m.life.listener.conns)
	}
	wait := func(m *member, n int) {
		t.Helper()
		for end := time.Now().Add(patience); watchers(m) != n; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d watch, not %d", watchers(m), n)
			}
		}
	}
	for range 3 {
		for _, m := range []*member{b, c} {
			if a.Watch(m.Local()) {
				t.Error("held at once")
			}
			a.news(m.Local(), true)
			wait(m, 1)
		}
		wait(b, 0)
	}
	a.Watch(netip.AddrPort{})
	wait(c, 0)
	_ = c.Close()
	a.never(50 * time.Millisecond)
	for range 100 { // nothing piles up
		a.Watch(b.Local())
		a.Watch(c.Local())
	}
	a.never(50 * time.Millisecond) // who refuses and never held may have no listener
	if s := a.Stats(); s.LifelineBreaks != 0 {
		t.Errorf("%+v", s)
	}
}

func TestLifelineOff(t *testing.T) {
	cfg := Config{Group: group()}
	on := open(t, cfg)
	cfg.NoLifeline = true
	off := open(t, cfg)
	if !strings.Contains(off.Describe(), "lifelines off") {
		t.Error(off.Describe())
	}
	if c, err := net.Dial("tcp", off.Local().String()); err == nil {
		c.Close()
		t.Error("it listens")
	}
	off.Watch(on.Local())
	on.Watch(off.Local())
	off.never(20 * time.Millisecond)
	on.never(50 * time.Millisecond)
}

// service is a TCP service that is no member's listener, but at one's address.
func service(t *testing.T, serve func(c net.Conn)) (addr netip.AddrPort, stop func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool)
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	stop = func() {
		ln.Close()
		<-ended
	}
	t.Cleanup(stop)
	return ln.Addr().(*net.TCPAddr).AddrPort(), stop
}

// TestLifelineToStranger: what is no member's listener is not held, and its end says
// nothing.
func TestLifelineToStranger(t *testing.T) {
	elsewhere := netip.MustParseAddrPort("127.0.0.1:9")
	for name, says := range map[string]string{
		"another protocol": "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
		"another address":  string(greeting(elsewhere, instance{1})),
		"half a greeting":  string(greeting(elsewhere, instance{1})[:20]),
		"nothing":          "",
	} {
		t.Run(name, func(t *testing.T) {
			addr, stop := service(t, func(c net.Conn) { _, _ = io.WriteString(c, says) })
			a := open(t, Config{Group: group()})
			a.Watch(addr)
			a.never(50 * time.Millisecond)
			stop()
			a.never(50 * time.Millisecond)
		})
	}
	t.Run("silent", func(t *testing.T) {
		hear := make(chan bool, 1)
		quit := make(chan bool)
		addr, _ := service(t, func(net.Conn) {
			hear <- true
			<-quit
		})
		a := open(t, Config{Group: group()})
		a.Watch(addr)
		<-hear
		a.never(20 * time.Millisecond)
		began := time.Now()
		if err := a.Close(); err != nil || time.Since(began) > greetTime/2 {
			t.Errorf("Close took %v: %v", time.Since(began), err)
		}
		close(quit)
	})
}

// TestLifelineBreaks: one that breaks again and again, although nobody is gone, costs
// little, and nobody is taken for gone.
func TestLifelineBreaks(t *testing.T) {
	var at atomic.Pointer[netip.AddrPort]
	var dialled atomic.Int32
	addr, _ := service(t, func(c net.Conn) {
		dialled.Add(1)
		_, _ = c.Write(greeting(*at.Load(), instance{1}))
		time.Sleep(20 * time.Millisecond)
	})
	at.Store(&addr)
	a := open(t, Config{Group: group()})
	began := time.Now()
	a.Watch(addr)
	a.news(addr, true)
	a.news(addr, false)
	a.news(addr, true)
	time.Sleep(300 * time.Millisecond)
	if a, ok := a.Unreachable(); ok {
		t.Errorf("%v is unreachable", a)
	}
	// The pauses double up to a second.
	if n, most := dialled.Load(), 13+int32(time.Since(began)/maxPause); n > most {
		t.Errorf("dialled %d times, more than %d", n, most)
	}
}

// TestTooManyWatchers: whoever dials, there are no more connections than maxWatchers, and
// who says anything has none.
func TestTooManyWatchers(t *testing.T) {
	m := open(t, Config{Group: group()})
	greeted := func() (c net.Conn, ok bool) {
		t.Helper()
		c, err := net.Dial("tcp", m.Local().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.(*net.TCPConn).SetLinger(0) // leave the ports to others
		_ = c.SetReadDeadline(time.Now().Add(patience))
		id, err := readGreeting(c, m.Local())
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		return c, err == nil && id != instance{}
	}
	first, _ := greeted()
	for i := range maxWatchers - 1 {
		if _, ok := greeted(); !ok {
			t.Fatalf("no. %d is not greeted", i)
		}
	}
	for range 5 {
		if _, ok := greeted(); ok {
			t.Fatal("one too many is greeted")
		}
	}
	if n := m.Stats().LifelineRefusals; n != 5 {
		t.Errorf("%d refused", n)
	}
	_, _ = first.Write([]byte("hello"))
	if _, err := first.Read(make([]byte, 1)); err == nil {
		t.Fatal("it answers")
	}
	if _, ok := greeted(); !ok {
		t.Error("there is room, and it is not greeted")
	}
}

// TestPortTaken: a member whose TCP port somebody else has works, and can watch others.
func TestPortTaken(t *testing.T) {
	addr, _ := service(t, func(net.Conn) {})
	cfg := Config{Group: group(), Bind: addr}
	a := open(t, cfg)
	t.Log(a.Describe())
	if !strings.Contains(a.Describe(), "lifelines to others only") {
		t.Error(a.Describe())
	}
	cfg.Bind = netip.AddrPort{}
	b := open(t, cfg)
	a.Watch(b.Local())
	b.Watch(a.Local())
	a.news(b.Local(), true)
	b.never(50 * time.Millisecond)
}

// TestCloseWhileWatching ends everything, whatever is under way.
func TestCloseWhileWatching(t *testing.T) {
	modes(t, func(t *testing.T, cfg Config) {
		for i := range 20 {
			cfg.Group = group()
			a, b := open(t, cfg), open(t, cfg)
			a.Watch(b.Local())
			b.Watch(a.Local())
			time.Sleep(time.Duration(i) * 200 * time.Microsecond)
			for _, m := range []*member{a, b} {
				if err := m.Close(); err != nil {
					t.Error(err)
				}
				if m.Watch(a.Local()) {
					t.Error("a lifeline of a closed Conn")
				}
			}
		}
	})
}
