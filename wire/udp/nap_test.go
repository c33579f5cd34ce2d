package udp

import (
	"testing"
	"time"
)

// A nap does not begin where there is something already, be it a datagram or a wake.
func TestNap(t *testing.T) {
	modes(t, func(t *testing.T, cfg Config) {
		cfg.Group = group()
		a, b := open(t, cfg), open(t, cfg)
		if a.Nap(time.Millisecond) {
			t.Error("there was nothing to return for")
		}
		a.Wake()
		if began := time.Now(); !a.Nap(patience) || time.Since(began) > patience/2 {
			t.Error("one wake must end one nap")
		}
		b.send(a.Local(), []byte("x"), 1)
		b.flush()
		if !a.Poll(patience) || !a.Nap(patience) {
			t.Error("there was a datagram")
		}
		a.read(1)
	})
}
