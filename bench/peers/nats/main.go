//go:build peers

// Command nats is NATS as a peer: a server embedded in the first member, whose
// client casts by publishing to all others' subscriptions.
package main

import (
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"peer"
)

// pending bounds what the server keeps for a slow client before it drops it.
const pending = 1 << 30

func main() {
	m := peer.New()
	url := fmt.Sprintf("nats://%s:%d", m.Hosts[0], m.Port)
	if m.Member == 1 {
		s, err := server.NewServer(&server.Options{Host: m.Hosts[0], Port: m.Port, NoSigs: true,
			NoLog: true, MaxPending: pending})
		peer.Check(err)
		s.Start()
		if !s.ReadyForConnections(10 * time.Second) {
			peer.Check(fmt.Errorf("the server does not start"))
		}
		m.About("nats-server "+server.VERSION+", nats.go "+nats.Version,
			"server embedded in the sender; TCP; subscriptions with no limit; MaxPending 1 GiB")
	}
	c, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	peer.Check(err)
	to, from := "down", "up"
	if m.Member > 1 {
		to, from = from, to
	}
	sub, err := c.Subscribe(from, func(msg *nats.Msg) {
		if a := m.Heard(msg.Data); a != nil {
			_ = c.Publish(to, a)
		}
	})
	peer.Check(err)
	peer.Check(sub.SetPendingLimits(-1, -1))
	_ = c.Flush() // a client that is not connected yet subscribes when it is
	flush := c.Flush
	if m.Mode == "ping" {
		flush = func() error { return nil } // the client's own flusher sends at once
	}
	m.Run(func(b []byte) error { return c.Publish(to, b) }, flush)
}
