package rsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"maestro/clsv"
	"maestro/clsv/csx"
	"maestro/clsv/once"
)

// The errors of this package, to be matched with errors.Is.
var (
	// ErrNoQuorum says that a command was refused because the view is not the
	// primary one. It has not been applied. It comes at once; but a command that may
	// have been applied in a primary view before waits for the next one.
	ErrNoQuorum = errors.New("rsm: no quorum")
	// ErrForgotten says that it is not known whether a command has been applied,
	// because so many came since, or because the state that was to know has lost
	// a merge.
	ErrForgotten = errors.New("rsm: command forgotten")
	// ErrCommand says that the servers cannot parse a command, or its result
	// cannot be written. The first has not been applied.
	ErrCommand = errors.New("rsm: command or result cannot be coded")
	// ErrBusy says that too many commands wait.
	ErrBusy = errors.New("rsm: too many commands wait")
	// ErrClosed says that this member is out of the group. What was under way may
	// have been applied.
	ErrClosed = errors.New("rsm: not in the group")
	// ErrNotServer says that this member has no machine to look at.
	ErrNotServer = errors.New("rsm: not a server")
)

// Machine is the state. It is deterministic: from the same state the same
// command leads to the same result and state. It is used by one goroutine at a
// time. A Machine that also has Hash() uint64 shows its state to traces.
type Machine[C, R any] interface {
	// Apply carries a command out.
	Apply(c C) R
	// Snapshot is a copy of the state, see csx.Transferrer: taken now, written
	// later.
	Snapshot() io.WriterTo
	// Restore makes the state what a Snapshot has written, whatever it was. When
	// the group has lost all that had the state, r fails with
	// clsv.ErrSourcesLost; if Restore returns nil then, this server goes on with
	// what Restore has got so far, and otherwise it leaves the group.
	Restore(r io.Reader) error
}

// Options are a replica's. Group is required, and at servers Machine.
type Options[C, R any] struct {
	// Options are those of the member. Total and Hold are set, NoLocal is not;
	// HeartbeatEvery is 1 s by default, and Xfer of a server FreeXfer.
	csx.Options
	// Handler gets what is not this package's; nil does nothing. Its AskState and
	// RcvState are not called.
	Handler clsv.Handler

	Machine Machine[C, R]
	Command Codec[C]
	Result  Codec[R]
	// Copies is how many servers have applied a command when it is acknowledged,
	// or all if there are fewer. Default: a majority of the view's servers, and
	// at least Quorum, for which servers that are still getting the state are waited
	// for; see the package's comment. With less, Read may miss what
	// others were told. All replicas must have the same.
	Copies int
	// Limits bound the table of what has been applied. All replicas must have the
	// same.
	Limits once.Limits
	// Pending bounds the commands that wait at this member. Default 4096.
	Pending int
	// Notify is told what becomes of the state, in callbacks; nil is nobody.
	Notify func(Event)
}

// What is what an Event is about.
type What uint8

// The events.
const (
	Founded      What = iota + 1 // this server begins the state: Machine is as it is
	Transferring                 // this server gets the state
	Restored                     // and has it
	Promoted                     // and has what there was of it
	Failed                       // and cannot have it: this member leaves
)

// Event tells what becomes of a server's state.
type Event struct {
	What   What
	Source clsv.Endpoint // that is asked; of Transferring and Restored
	Bytes  uint64        // of state; of Restored and Promoted
	Held   uint64        // messages that came meanwhile
	Err    error         // of Failed
}

// AllCopies has each command applied by all servers of the view, before it is
// acknowledged.
const AllCopies = -1

// copies is how many servers of a view have to have a command.
func (o *Options[C, R]) copies(v *clsv.View) int {
	n := len(v.Servers)
	switch o.Copies {
	case 0:
		return min(max(n/2+1, o.Quorum), n+len(v.XferServers))
	case AllCopies:
		return n
	}
	return min(o.Copies, n)
}

const (
	defaultPending = 4096
	beat           = time.Second
)

func (o *Options[C, R]) fill() error {
	if err := o.Command.fill("Command"); err != nil {
		return err
	}
	if err := o.Result.fill("Result"); err != nil {
		return err
	}
	if o.Role == clsv.Server && o.Machine == nil {
		return fmt.Errorf("rsm: %w: a server needs a Machine", clsv.ErrOptions)
	}
	if o.NoLocal {
		return fmt.Errorf("rsm: %w: NoLocal", clsv.ErrOptions)
	}
	if o.Copies < AllCopies {
		return fmt.Errorf("rsm: %w: Copies = %d", clsv.ErrOptions, o.Copies)
	}
	if o.Role == clsv.Server && o.Xfer == clsv.NoXfer {
		o.Xfer = clsv.FreeXfer
	}
	if o.Handler == nil {
		o.Handler = clsv.NopHandler{}
	}
	if o.HeartbeatEvery == 0 {
		o.HeartbeatEvery = beat
	}
	if o.Pending == 0 {
		o.Pending = defaultPending
	}
	if o.Notify == nil {
		o.Notify = func(Event) {}
	}
	o.Total, o.Hold = true, true
	return nil
}

// New makes a replica that has not joined yet, over real sockets.
func New[C, R any](o Options[C, R]) (*Replica[C, R], error) { return NewReplica(o, clsv.Net{}) }

// Open makes a replica and joins the group. The caller must Close it.
func Open[C, R any](ctx context.Context, o Options[C, R]) (*Replica[C, R], error) {
	r, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := r.Join(ctx); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// NewReplica is New with another driver, such as a simulator.
func NewReplica[C, R any](o Options[C, R], d clsv.Driver) (*Replica[C, R], error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	r := &Replica[C, R]{o: o}
	co := o.Options
	h := handler[C, R]{r}
	co.Handler = h
	if x, ok := o.Handler.(clsv.Exchanger); ok {
		co.Handler = exchanger[C, R]{h, x}
	}
	var err error
	r.Member, err = csx.NewMember(co, d)
	if err != nil {
		return nil, err
	}
	return r, nil
}
