//go:build peers

// Command memberlist is hashicorp/memberlist as a peer. Its variant gossip casts by
// the broadcast queue, which gossip carries to all; direct sends a datagram to
// each member.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"runtime/debug"
	"time"

	"github.com/hashicorp/memberlist"
	"peer"
)

type delegate struct {
	m     *peer.Member
	list  *memberlist.Memberlist
	queue *memberlist.TransmitLimitedQueue
	reply func([]byte)
	last  uint64
	seen  map[uint64]bool // gossip brings a message several times
}

// numbered is the least size of a message that has room for its number.
const numbered = 9

// fresh tells whether a message has not come before.
func (d *delegate) fresh(b []byte) bool {
	n := binary.LittleEndian.Uint64(b[1:])
	if n == 0 {
		return true
	}
	old := d.seen[n]
	d.seen[n] = true
	return !old
}

func (d *delegate) NodeMeta(int) []byte { return nil }
func (d *delegate) NotifyMsg(b []byte) {
	if !d.fresh(b) {
		return
	}
	if a := d.m.Heard(b); a != nil {
		d.reply(a)
	}
}

func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.queue.GetBroadcasts(overhead, limit)
}
func (d *delegate) LocalState(bool) []byte        { return nil }
func (d *delegate) MergeRemoteState([]byte, bool) {}

// cast is one broadcast; each stands for itself.
type cast []byte

func (c cast) Invalidates(memberlist.Broadcast) bool { return false }
func (c cast) UniqueBroadcast()                      {}
func (c cast) Message() []byte                       { return c }
func (c cast) Finished()                             {}

// queued bounds the broadcasts that wait: the queue itself has no limit.
const queued = 16

func main() {
	m := peer.New()
	if m.Size < numbered {
		m.Skip(fmt.Sprintf("a message has at least %d bytes", numbered))
	}
	d := &delegate{m: m, seen: map[uint64]bool{}}
	cfg := memberlist.DefaultLANConfig()
	cfg.Name = fmt.Sprint("m", m.Member)
	cfg.BindAddr, cfg.BindPort = m.Host(), m.Port+m.Member
	cfg.AdvertiseAddr, cfg.AdvertisePort = cfg.BindAddr, cfg.BindPort
	cfg.Delegate, cfg.Logger = d, log.New(io.Discard, "", 0)
	cfg.HandoffQueueDepth = 1 << 16
	d.queue = &memberlist.TransmitLimitedQueue{RetransmitMult: cfg.RetransmitMult,
		NumNodes: func() int { return m.Members }}
	if m.Variant == "gossip" && m.Size > cfg.UDPBufferSize-100 {
		m.Skip("a broadcast has to fit into a datagram")
	}
	if m.Member == 1 {
		m.About(version(), about(m.Variant, cfg))
	}
	list, err := memberlist.Create(cfg)
	peer.Check(err)
	d.list = list
	d.reply = func(b []byte) { _ = d.toAll(b) }
	for m.Member > 1 {
		if _, err = list.Join([]string{fmt.Sprintf("%s:%d", m.Hosts[0], m.Port+1)}); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for list.NumMembers() < m.Members {
		time.Sleep(10 * time.Millisecond)
	}
	send := d.toAll
	if m.Variant == "gossip" {
		send = d.broadcast
	}
	m.Run(send, func() error { return nil })
}

func (d *delegate) broadcast(b []byte) error {
	for d.queue.NumQueued() >= queued {
		time.Sleep(time.Millisecond)
	}
	d.last++
	b = append([]byte(nil), b...)
	binary.LittleEndian.PutUint64(b[1:], d.last)
	d.queue.QueueBroadcast(cast(b))
	return nil
}

func (d *delegate) toAll(b []byte) error {
	if d.list == nil {
		return nil // not made yet
	}
	for _, n := range d.list.Members() {
		if n.Name != d.list.LocalNode().Name {
			if err := d.list.SendBestEffort(n, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func about(variant string, c *memberlist.Config) string {
	if variant == "gossip" {
		return fmt.Sprintf("DefaultLANConfig: gossip each %v to %d, datagrams of %d; broadcast queue "+
			"of at most %d", c.GossipInterval, c.GossipNodes, c.UDPBufferSize, queued)
	}
	return "DefaultLANConfig; SendBestEffort to each"
}

func version() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, d := range b.Deps {
			if d.Path == "github.com/hashicorp/memberlist" {
				return "memberlist " + d.Version
			}
		}
	}
	return "memberlist"
}
