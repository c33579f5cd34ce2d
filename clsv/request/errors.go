package request

import (
	"errors"

	"maestro/clsv"
	"maestro/clsv/once"
)

// The errors of this package, to be matched with errors.Is.
var (
	// ErrMemberLeft is in place of the reply of a member that has left, or lost
	// its place among the servers; a call that has not got the replies it wants
	// for that reason reports it too.
	ErrMemberLeft = errors.New("request: member left before it answered")
	// ErrNoServers means that the view has no server. Nothing was sent.
	ErrNoServers = errors.New("request: no servers")
	// ErrTooFew means that the call wants more replies than there are members to
	// ask. Nothing was sent.
	ErrTooFew = errors.New("request: fewer members than replies wanted")
	// ErrAnswered means that a request has had its reply.
	ErrAnswered = errors.New("request: answered before")
	// ErrOptions means that options or a call cannot be.
	ErrOptions = errors.New("request: bad options")
)

// Type is a kind of errors of a service, and itself an error. Services declare
// theirs as constants and return them, wrapped or not:
//
//	const ErrNoFunds request.Type = "no funds"
//
// At the caller, errors.Is(reply.Err, ErrNoFunds) holds.
type Type string

// Error is the type itself.
func (t Type) Error() string { return string(t) }

// The errors that this package sends to callers.
const (
	// ErrForgotten is once.ErrForgotten at the server: the request was not
	// executed now, and nobody knows whether it was before.
	ErrForgotten Type = "request forgotten"
	// ErrNotServed means that the member has no service.
	ErrNotServed Type = "request not served"
	// ErrReplyTooLarge means that the service's reply cannot be sent.
	ErrReplyTooLarge Type = "reply too large"
	// errNotServer: a request to a server has reached a member that is none.
	errNotServer Type = "not a server"
)

// Error is an error of the service that has travelled with a reply.
type Error struct {
	Type Type   // empty if the service's error had none; at most 255 bytes
	Text string // all that the service's error said
}

// Error is the text.
func (e *Error) Error() string { return e.Text }

// Is reports whether target is the error's Type.
func (e *Error) Is(target error) bool {
	t, ok := target.(Type)
	return ok && t == e.Type
}

// remote is how an error of the service travels.
func remote(err error) *Error {
	e := &Error{Text: err.Error()}
	var passed *Error
	switch {
	case errors.As(err, &e.Type):
	case errors.As(err, &passed):
		e.Type = passed.Type
	case errors.Is(err, once.ErrForgotten):
		e.Type = ErrForgotten
	case errors.Is(err, clsv.ErrTooLarge):
		e.Type = ErrReplyTooLarge
	}
	return e
}
