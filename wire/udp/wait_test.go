package udp

import (
	"errors"
	"net"
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
