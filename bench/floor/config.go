// Package floor is the yardstick: it moves the messages that the real stack moves
// over the same wire, in the fewest steps that the kernel allows, without a
// protocol. One process sends; each of the receivers is a process too. Messages
// are packed, as a byte stream, into datagrams of 1472 bytes; runs of datagrams
// leave by UDP GSO and arrive by UDP GRO; receivers touch each message and
// return credit. Lost datagrams are counted and not repaired.
//
// What the stack reaches is to be read as a share of what this reaches on the
// same machine in the same minute.
package floor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"time"
)

// Mode is what is measured.
type Mode string

// The modes.
const (
	Stream   Mode = "stream"   // one sender's throughput
	PingPong Mode = "pingpong" // the round trip of one datagram, unicast
)

// Role is what one process does.
type Role string

// The roles. All starts a process for each of the others.
const (
	All      Role = ""
	Sender   Role = "sender"
	Receiver Role = "receiver"
)

// Wait is how a process of the ping-pong waits for a datagram.
type Wait string

// The ways to wait.
const (
	Block   Wait = "block"   // in a blocking system call
	Spin    Wait = "spin"    // poll for ever
	Hybrid  Wait = "hybrid"  // poll for HybridSpin, then block
	NetPoll Wait = "netpoll" // in package net, as Go programs do
)

// HybridSpin is how long Hybrid polls.
const HybridSpin = 50 * time.Microsecond

// Config describes a run. The zero value of each field but Start is usable.
type Config struct {
	Mode      Mode           `json:"mode"`
	Role      Role           `json:"role"`
	Group     netip.AddrPort `json:"group"`     // default 239.255.70.70:17070
	Interface string         `json:"interface"` // as in udp.Config; in each process its own
	Receivers int            `json:"receivers"` // default 2
	Message   int            `json:"message"`   // bytes; default 64, at most 60000
	Datagram  int            `json:"datagram"`  // bytes with the 24 of header; default 1472
	Run       int            `json:"run"`       // datagrams of one GSO send; default 44
	// Window is how many bytes may be under way; default a quarter of the granted
	// receive buffer, at most 4 MiB.
	Window int `json:"window"`
	// Nap is how long a receiver that has read everything naps; default what a quarter
	// of the window lasts at napRate, less than 0 for none.
	Nap      time.Duration `json:"nap"`
	Duration time.Duration `json:"duration"` // of sending; default 2 s, at most a minute
	Count    int           `json:"count"`    // round trips; default 20000
	Wait     Wait          `json:"wait"`     // round trips; default Block
	Every    time.Duration `json:"every"`    // round trips begin so far apart; 0: at once
	Spin     bool          `json:"spin"`     // the same as Wait: Spin
	ViaUDP   bool          `json:"via_udp"`  // through package wire/udp, to see its price
	Pin      bool          `json:"pin"`      // member i to processor i modulo their number
	Member   int           `json:"member"`   // set for each process: 0 is the sender
	Shared   bool          `json:"shared"`   // a receiver may be on the sender's host

	// Start makes the command of one member's process when Role is All. The
	// command must end up in RunChild with the given argument, and write what that
	// writes to its standard output and nothing else.
	Start func(ctx context.Context, member int, arg string) *exec.Cmd `json:"-"`
	// Launch takes Start's place where a command is not enough: it runs the
	// process to its end and returns its standard output. It is called from
	// several goroutines.
	Launch func(ctx context.Context, member int, arg string) ([]byte, error) `json:"-"`
}

// Result is what one run or, within it, one process has measured.
type Result struct {
	Role       Role    `json:"role"`
	Member     int     `json:"member"`
	Seconds    float64 `json:"seconds"`
	Messages   uint64  `json:"messages"` // of all receivers the slowest one's
	Bytes      uint64  `json:"bytes"`    // of datagrams, with their headers
	MsgsPerSec float64 `json:"msgs_per_sec"`
	MBPerSec   float64 `json:"mb_per_sec"` // 10^6 bytes
	LostBytes  uint64  `json:"lost_bytes"`
	Runs       uint64  `json:"runs"`   // sends or receives
	Stalls     uint64  `json:"stalls"` // the sender's credit timeouts: 0 in a valid run
	Window     int     `json:"window_bytes"`
	RecvBuf    int     `json:"recv_buf_bytes"`
	CPUSeconds float64 `json:"cpu_seconds"`

	RoundTrips int     `json:"round_trips,omitempty"`
	P50us      float64 `json:"p50_us,omitempty"`
	P99us      float64 `json:"p99_us,omitempty"`
	P999us     float64 `json:"p999_us,omitempty"`
	MinUs      float64 `json:"min_us,omitempty"`
	MaxUs      float64 `json:"max_us,omitempty"`

	Members []Result `json:"members,omitempty"`
}

const maxMessage = 60000

func (c Config) withDefaults() (Config, error) {
	if c.Mode == "" {
		c.Mode = Stream
	}
	if !c.Group.IsValid() {
		c.Group = netip.MustParseAddrPort("239.255.70.70:17070")
	}
	for _, f := range []struct {
		v   *int
		def int
	}{{&c.Receivers, 2}, {&c.Message, 64}, {&c.Datagram, 1472}, {&c.Run, 44}, {&c.Count, 20000}} {
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	if c.Mode == PingPong {
		c.Receivers = 1
	}
	if c.Duration == 0 {
		c.Duration = 2 * time.Second
	}
	if c.Wait == "" {
		c.Wait = Block
		if c.Spin {
			c.Wait = Spin
		}
	}
	return c, c.validate()
}

func (c *Config) validate() error {
	switch {
	case c.Mode != Stream && c.Mode != PingPong:
		return fmt.Errorf("floor: Config.Mode %q", c.Mode)
	case !slices.Contains([]Wait{Block, Spin, Hybrid, NetPoll}, c.Wait):
		return fmt.Errorf("floor: Config.Wait %q", c.Wait)
	case c.Receivers < 1 || c.Receivers > 64:
		return fmt.Errorf("floor: Config.Receivers %d is not in 1..64", c.Receivers)
	case c.Message < 1 || c.Message > maxMessage:
		return fmt.Errorf("floor: Config.Message %d is not in 1..%d", c.Message, maxMessage)
	case c.Datagram < 64 || c.Run < 1 || c.Run > 64 || c.Datagram*c.Run > 65000:
		return fmt.Errorf("floor: %d datagrams of %d bytes are no run", c.Run, c.Datagram)
	case c.Duration < 0 || c.Duration > time.Minute:
		return errors.New("floor: Config.Duration is more than a minute")
	case c.Every < 0 || c.Every > time.Second:
		return errors.New("floor: Config.Every is more than a second")
	case c.Count < 1 || c.Count > 10_000_000:
		return errors.New("floor: Config.Count is not in 1..10,000,000")
	}
	return nil
}
