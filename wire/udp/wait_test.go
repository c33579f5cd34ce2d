package udp

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"maestro/wire"
)

func TestWake(t *testing.T) {
	modes(t, func(t *testing.T, cfg Config) {
		cfg.Group = group()
		m := open(t, cfg)
		m.Wake()
		m.Wake()
		if err := m.Wait(-1); err != nil { // the wake came before
			t.Fatal(err)
		}
		for range 50 {
			done := make(chan bool)
			go func() { m.Wake(); close(done) }()
			if err := m.Wait(patience); err != nil {
				t.Fatal(err)
			}
			<-done
			if err := m.Wait(0); err != nil { // takes what a late wake has left
				t.Fatal(err)
			}
		}
		start := time.Now()
		for time.Since(start) < 3*time.Millisecond { // a spurious return is allowed
			if err := m.Wait(3 * time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestPoll(t *testing.T) {
	modes(t, func(t *testing.T, cfg Config) {
		cfg.Group = group()
		a, b := open(t, cfg), open(t, cfg)
		if a.Poll(time.Millisecond) {
			t.Error("there was nothing to return for")
		}
		a.Wake()
		if !a.Poll(patience) || a.Poll(0) {
			t.Error("one wake must end one Poll")
		}
		b.send(a.Local(), []byte("x"), 1)
		b.flush()
		if !a.Poll(patience) {
			t.Error("a datagram must end a Poll")
		}
		a.read(1)
		done := make(chan bool)
		go func() { done <- a.Poll(-1) }()
		if err := a.Close(); err != nil || !<-done {
			t.Error("Close must end a Poll", err)
		}
	})
}

func TestCloseWhileWaiting(t *testing.T) {
	modes(t, func(t *testing.T, cfg Config) {
		cfg.Group = group()
		m := open(t, cfg)
		res := make(chan error)
		go func() {
			_, err := m.Receive(make([]wire.Packet, 1))
			for err == nil {
				res <- nil
				err = m.Wait(-1)
			}
			res <- err
		}()
		<-res
		time.AfterFunc(2*time.Millisecond, func() { _ = m.Close() })
		select {
		case err := <-res:
			for ; err == nil; err = <-res {
			}
			if !errors.Is(err, net.ErrClosed) {
				t.Fatalf("Wait: %v", err)
			}
		case <-time.After(patience):
			t.Fatal("Close did not end Wait")
		}
		if _, err := m.Receive(make([]wire.Packet, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Receive: %v", err)
		}
		if err := m.Send(m.Local(), []byte("x"), 1); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Send: %v", err)
		}
		m.Wake() // must not hurt
	})
}

// TestLeftCore: what came for the core before it was left does not end every wait.
func TestLeftCore(t *testing.T) {
	cfg := Config{Group: group()}
	a, b := open(t, cfg), open(t, cfg)
	if !a.Core().IsValid() {
		t.Skip("there is no second group")
	}
	if err := a.SetCore(true); err != nil {
		t.Fatal(err)
	}
	b.send(b.Core(), []byte("x"), 1)
	b.flush()
	if err := a.Wait(patience); err != nil {
		t.Fatal(err)
	}
	if err := a.SetCore(false); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 3 { // the first, and one for no reason, may return early
		pkts := make([]wire.Packet, 1)
		k, err := a.Receive(pkts)
		if err == nil {
			err = a.Wait(20 * time.Millisecond)
		}
		if err != nil {
			t.Fatal(err)
		}
		if k > 0 {
			pkts[0].Buf.Drop()
		}
	}
	if d := time.Since(began); d < 20*time.Millisecond {
		t.Errorf("three waits of 20 ms took %v", d)
	}
}

// TestSendWhileWaiting: a downcall may send while the loop waits. Answers that
// nobody listens come to the waiting one.
func TestSendWhileWaiting(t *testing.T) {
	modes(t, func(t *testing.T, cfg Config) {
		cfg.Group = group()
		m := open(t, cfg)
		gone, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		dead := gone.LocalAddr().(*net.UDPAddr).AddrPort()
		_ = gone.Close()
		var mu sync.Mutex
		ended := make(chan bool)
		go func() {
			defer close(ended)
			for m.Wait(patience) == nil {
				mu.Lock()
				_, err := m.Receive(make([]wire.Packet, 1))
				m.Unreachable()
				mu.Unlock()
				if err != nil {
					return
				}
			}
		}()
		for i := range 200 {
			mu.Lock()
			m.send(dead, []byte("x"), 1)
			m.flush()
			_ = m.Stats()
			if err := m.SetCore(i%2 == 0); err != nil {
				t.Error(err)
			}
			mu.Unlock()
		}
		mu.Lock()
		_ = m.Close()
		mu.Unlock()
		<-ended
	})
}
