package stack

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"maestro/wire"
)

// Config is what a group and its layers are set up with. Of the durations and
// sizes, zero means the default.
type Config struct {
	Group    string         // name of the group
	Self     wire.Endpoint  // this member's name and incarnation
	Addr     netip.AddrPort // this member's unicast address
	KeyEpoch uint32
	// Core is the multicast address of the views' core. Without one, copies go to
	// each of its members.
	Core netip.AddrPort

	// StackName names the composition; members of one view must have the same.
	StackName string
	// Layers makes the stack of each view, from the bottom up.
	Layers []Maker

	// Segment is the length of a full datagram in bytes, header included: what
	// fits the path MTU. Default 1472, range 256 to 65000.
	Segment int
	// MaxMessage bounds one message in bytes. Default 64 MiB.
	MaxMessage int
	// SendBuffer is how much may wait to be transmitted before senders have to
	// wait, in bytes. A view change sends what waits first. Default 512 KiB.
	SendBuffer int
	// RecvBuf is what the kernel granted to a receiving socket, in bytes. It
	// sizes the windows. Default 208 KiB.
	RecvBuf int

	// Heartbeat is how often at the most a member tells all that it lives: where
	// probes are more frequent, it does so as seldom as Silence allows. Default 50 ms.
	Heartbeat time.Duration
	// Probe is the interval at which a member probes its neighbour, so that the
	// kernel of a killed process can say so. While the driver would tell of that by
	// itself (Driver.Watch) it is Heartbeat, if that is more. Default 10 ms.
	Probe time.Duration
	// Silence is how long a member may be silent before it is taken for
	// failed. Default 500 ms; at least 4 heartbeats.
	Silence time.Duration
	// Discovery is how long a new member looks for its group before it founds
	// one. Default 100 ms.
	Discovery time.Duration
	// Bootstrap makes a new member found the group at once.
	Bootstrap bool
	// Presence is the interval at which a coordinator announces its view, so
	// that separate views find each other. Default 200 ms.
	Presence time.Duration
	// BlockTimeout is how long a view change waits for this member's
	// application to stop sending. Default 2 s.
	BlockTimeout time.Duration
	// Retry is the least time after which an unanswered control message is sent
	// again. Default 2 ms.
	Retry time.Duration
	// Reorder is the reorder allowance before a gap is asked for. Default 200 us.
	Reorder time.Duration
	// Linger is how long an ended view's messages are kept for members that
	// have not left it yet. Default 1 s.
	Linger time.Duration
	// StallLimit is how long one member may hold up all senders by not
	// consuming before it is removed. Default 10 s.
	StallLimit time.Duration

	// Batches has the application take several messages with one Deliver, as a
	// batch: see Msg.Count.
	Batches bool
	// NoLocal switches self-delivery of casts off.
	NoLocal bool
}

// ErrConfig is what an impossible configuration is refused with.
var ErrConfig = errors.New("stack: bad configuration")

func def[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Fill sets the defaults and reports what cannot be.
func (c *Config) Fill() error {
	def(&c.Segment, 1472)
	def(&c.MaxMessage, 64<<20)
	def(&c.SendBuffer, 512<<10)
	def(&c.RecvBuf, 208<<10)
	def(&c.Heartbeat, 50*time.Millisecond)
	def(&c.Probe, 10*time.Millisecond)
	def(&c.Silence, 500*time.Millisecond)
	def(&c.Discovery, 100*time.Millisecond)
	def(&c.Presence, 200*time.Millisecond)
	def(&c.BlockTimeout, 2*time.Second)
	def(&c.Retry, 2*time.Millisecond)
	def(&c.Reorder, 200*time.Microsecond)
	def(&c.Linger, time.Second)
	def(&c.StallLimit, 10*time.Second)
	bad := func(field string, v any) error {
		return fmt.Errorf("%w: %s = %v", ErrConfig, field, v)
	}
	switch {
	case c.Group == "" || len(c.Group) > wire.MaxName:
		return bad("Group", c.Group)
	case c.Self.Name == "" || len(c.Self.Name) > wire.MaxName:
		return bad("Self.Name", c.Self.Name)
	case !c.Addr.IsValid():
		return bad("Addr", c.Addr)
	case c.Segment < 256 || c.Segment > 65000:
		return bad("Segment", c.Segment)
	case c.MaxMessage < 1 || c.MaxMessage > 1<<30:
		return bad("MaxMessage", c.MaxMessage)
	case c.SendBuffer < 1:
		return bad("SendBuffer", c.SendBuffer)
	case c.Silence < 4*c.Heartbeat:
		return bad("Silence", c.Silence)
	}
	for _, d := range []time.Duration{c.Heartbeat, c.Probe, c.Discovery, c.Presence,
		c.BlockTimeout, c.Retry, c.Reorder, c.Linger, c.StallLimit} {
		if d < 0 {
			return bad("duration", d)
		}
	}
	return Check(c.Layers)
}

// RetryOf is after how long at the least it is repeated what so many members have to
// answer. Where they are many, on few processors perhaps, repetitions would otherwise be
// what keeps them from answering.
func (c *Config) RetryOf(members int) time.Duration {
	const crowd, each = 16, 250 * time.Microsecond
	return c.Retry + time.Duration(max(members-crowd, 0))*each
}
