package clsv

import (
	"context"
	"errors"

	"maestro/stack"
)

// The errors of this package, to be matched with errors.Is. Downcalls wrap them
// in *OpError.
var (
	ErrClosed          = errors.New("closed")
	ErrJoined          = errors.New("already in the group")
	ErrNotJoined       = errors.New("not in the group")
	ErrNotMember       = errors.New("not a member of the view")
	ErrNotServer       = errors.New("not a normal server")
	ErrNotTransferring = errors.New("not transferring, or has not asked")
	ErrNotInTransfer   = errors.New("no transfer is running")
	ErrOtherView       = errors.New("not in the view that the message is for")
	ErrNotCoordinator  = errors.New("not the coordinator")
	ErrSelf            = errors.New("is this member itself")
	ErrTooLarge        = errors.New("message too large")
	ErrWouldBlock      = errors.New("would block: queue full")
	ErrWouldDeadlock   = errors.New("would deadlock: called from within a callback")
	ErrDeadline        = errors.New("state transfer made no progress in time")
	ErrMergeLost       = errors.New("merged with servers whose state won")
	ErrSourcesLost     = errors.New("all servers that had the state are gone")
	ErrNoFill          = errors.New("nothing to fill the message with")
	ErrPanic           = errors.New("application panicked")
	ErrOptions         = errors.New("bad options")
)

// OpError is the error of a downcall.
type OpError struct {
	Op    string // such as "cast"
	Group string
	View  ViewID // the view accepted last, zero outside of views
	Err   error
}

// Error prints all of it.
func (e *OpError) Error() string {
	s := "clsv: " + e.Op + " in group " + e.Group
	if !e.View.IsZero() {
		s += " view " + e.View.String()
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// Timeout reports whether the cause is a deadline, in the manner of net.Error.
func (e *OpError) Timeout() bool {
	return errors.Is(e.Err, ErrDeadline) || errors.Is(e.Err, context.DeadlineExceeded)
}

// translate turns the stack's errors into those of this package.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, stack.ErrNotJoined):
		return ErrNotJoined
	case errors.Is(err, stack.ErrJoined):
		return ErrJoined
	case errors.Is(err, stack.ErrTooLarge):
		return ErrTooLarge
	case errors.Is(err, stack.ErrNotMember):
		return ErrNotMember
	case errors.Is(err, stack.ErrWouldBlock):
		return ErrWouldBlock
	case errors.Is(err, stack.ErrClosed):
		return ErrClosed
	}
	return err
}
