package clsv

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"maestro/stack/trace"
	"maestro/wire"
)

// The defaults of Options.
const (
	DefaultQueueBytes   = 4 << 20
	DefaultXferTimeout  = 30 * time.Second
	DefaultLeaveTimeout = 5 * time.Second
	// NoTimeout switches a timeout off.
	NoTimeout = time.Duration(-1)
)

// Transport says how members reach each other. The zero value is IP multicast
// on an interface of the system's choice, to a group address that follows from
// the group's name.
type Transport struct {
	// Group is the multicast address and port; by default derived from the name
	// of the group, in 239.192.0.0/14.
	Group netip.AddrPort
	// Interface is the name or an address of the interface to use.
	Interface string
	// TTL is how many routers a multicast may pass, plus one. Default 1.
	TTL int
	// Peers, when not empty, replaces multicast: copies go to each of these
	// addresses and to each member.
	Peers []netip.AddrPort
	// Bind is the address of the unicast socket.
	Bind netip.AddrPort
}

// GroupOptions are the options of a GroupMember. All members of a group must
// have the same Group, Transport.Group, Total, Quorum and PrimaryOnly.
type GroupOptions struct {
	// Group is the name of the group. Required.
	Group string
	// Name is this member's, which nobody else in the group should have.
	// Default: host name and process id.
	Name      string
	Transport Transport

	// Total has casts delivered in one order at all members.
	Total bool
	// NoLocal switches off that a member gets its own messages.
	NoLocal bool
	// Bootstrap has the member found the group without looking for it first.
	Bootstrap bool
	// Quorum is how many members make a view primary. 0: every view is. It should be
	// more than half of the members that there will ever be at the same time. See
	// View.Primary and PrimaryObserver.
	Quorum int
	// PrimaryOnly has all messages but those of state transfers go out only in
	// views that are primary, in which no server transfers, and which a quorum
	// has installed: see PrimaryObserver. In others they wait, up to QueueBytes.
	// Package prim hides the other views. The Quorum must be more than half of
	// the members that there will ever be at the same time.
	PrimaryOnly bool

	// Heartbeat is how often a member tells that it lives, Silence after how
	// long without a sign it is taken for failed; Discovery is how long a new
	// member looks for its group, BlockTimeout how long a view change waits for
	// each callback. Zero means the stack's defaults.
	Heartbeat, Silence, Discovery, BlockTimeout time.Duration
	// HeartbeatEvery is how often the Heartbeat callback comes; 0 means never.
	HeartbeatEvery time.Duration

	// QueueBytes bounds the messages that wait to be sent, in bytes.
	// Default 4 MiB.
	QueueBytes int
	// LeaveTimeout bounds how long Close waits for the group to let the member
	// go. Default 5 s.
	LeaveTimeout time.Duration

	// Logger gets rare events; nil is silent.
	Logger *slog.Logger
	// Trace gets what this member does and sees, for the checker. Calls come
	// one at a time. All members must have one, or none.
	Trace trace.Recorder
}

// Options are the options of a Member. Only Group is required.
type Options struct {
	GroupOptions

	// Role is what the member is: a Client by default.
	Role Role
	// Xfer says how a server gets its state; NoXfer by default. Of a client it
	// means nothing.
	Xfer Xfer
	// Handler is the application; nil does nothing.
	Handler Handler

	// Merge says whose state survives a merge; nil is PreferOlder.
	Merge MergePolicy
	// SourcesLost says what becomes of transfers without a source.
	SourcesLost SourcesLost
	// XferTimeout is how long a state transfer may make no progress (no request
	// and no portion of the state) before the server gives up its place.
	// Default 30 s; NoTimeout for never.
	XferTimeout time.Duration
}

// fill sets the defaults and reports what cannot be.
func (o *GroupOptions) fill() error {
	bad := func(field string, v any) error {
		return fmt.Errorf("clsv: %w: %s = %v", ErrOptions, field, v)
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = DefaultQueueBytes
	}
	if o.LeaveTimeout == 0 {
		o.LeaveTimeout = DefaultLeaveTimeout
	}
	switch {
	case o.Group == "" || len(o.Group) > wire.MaxName:
		return bad("Group", o.Group)
	case len(o.Name) > wire.MaxName:
		return bad("Name", o.Name)
	case o.QueueBytes < 0:
		return bad("QueueBytes", o.QueueBytes)
	case o.Quorum < 0:
		return bad("Quorum", o.Quorum)
	case o.LeaveTimeout < 0:
		return bad("LeaveTimeout", o.LeaveTimeout)
	case o.HeartbeatEvery < 0:
		return bad("HeartbeatEvery", o.HeartbeatEvery)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Validate reports the first option that cannot be, wrapped in ErrOptions.
func (o *Options) Validate() error {
	c := *o
	return c.fill()
}

func (o *Options) fill() error {
	if err := o.GroupOptions.fill(); err != nil {
		return err
	}
	bad := func(field string, v any) error {
		return fmt.Errorf("clsv: %w: %s = %v", ErrOptions, field, v)
	}
	switch {
	case o.Role > Server:
		return bad("Role", uint8(o.Role))
	case o.Xfer > AtomicXfer:
		return bad("Xfer", uint8(o.Xfer))
	case o.SourcesLost > Fail:
		return bad("SourcesLost", uint8(o.SourcesLost))
	case o.XferTimeout < NoTimeout:
		return bad("XferTimeout", o.XferTimeout)
	}
	if o.XferTimeout == 0 {
		o.XferTimeout = DefaultXferTimeout
	}
	if o.Merge == nil {
		o.Merge = PreferOlder
	}
	if o.Handler == nil {
		o.Handler = NopHandler{}
	}
	return nil
}
