package request

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"maestro/clsv"
	"maestro/clsv/once"
)

// To says who is asked. The zero value is AnyServer.
type To struct {
	kind kind
	list []clsv.Endpoint
}

type kind uint8

const (
	anyServer kind = iota
	allServers
	allMembers
	listed
)

// AnyServer is one server of the caller's choice, itself if it is one. When the
// server departs, another is asked; see Call.Retry.
func AnyServer() To { return To{} }

// AllServers is the normal servers of the view.
func AllServers() To { return To{kind: allServers} }

// AllMembers is all members of the view.
func AllMembers() To { return To{kind: allMembers} }

// Members is those given; who is not in the view counts as left.
func Members(e ...clsv.Endpoint) To { return To{listed, slices.Clone(e)} }

// Collect says how many replies a call waits for; errors of the service are
// replies too. It is a number, or one of the constants. Zero is one.
type Collect int

// What to wait for.
const (
	First    Collect = 1
	All      Collect = -1
	Majority Collect = -2 // of those asked
)

// Call is a request and what is to become of it.
type Call struct {
	To      To
	Collect Collect
	// Data is the request. It is copied.
	Data []byte
	// Retry has the request repeated when those who were asked are lost before
	// enough of them have answered. It is implied by AnyServer, and of no use
	// for Members.
	Retry bool
	// Safety is the request's, as in clsv.MsgOptions.
	Safety clsv.Safety
	// Timeout ends the call with context.DeadlineExceeded when it has not ended
	// by itself after so long, waiting for a view or for servers included. Zero is
	// Options.Timeout for Start, and for Do, which has a context, no bound;
	// clsv.NoTimeout is none for both.
	Timeout time.Duration
}

// Reply is the answer of one member.
type Reply struct {
	From clsv.Endpoint
	Data []byte // the caller's
	// Err is an *Error of the service's, or ErrMemberLeft.
	Err error
}

// Pending is a call that has been started.
type Pending struct {
	d *Dispatcher
	Call
	done func([]Reply, error)

	id       once.ID // the same for all attempts; no number if there is none
	number   uint64  // of the attempt, 0 if it has not been sent
	attempts int
	renewals int
	wanted   int
	asked    []asked // in rank order
	open     int     // of asked, those that may answer
	answered int

	// Guarded by Dispatcher.mu:
	seq     uint64
	replies []Reply // as they came, then those who have left
	ended   bool
	disarm  func() // stops the clock; nil if there is none
}

// asked is a member that a call is waiting for.
type asked struct {
	who  clsv.Endpoint
	over bool // it has answered, or is lost
}

func (c *Call) validate() error {
	switch {
	case c.Collect < Majority:
		return fmt.Errorf("%w: Collect = %d", ErrOptions, c.Collect)
	case c.To.kind == listed && len(c.To.list) == 0:
		return ErrTooFew
	case c.Safety > clsv.XferSafe:
		return fmt.Errorf("%w: Safety = %d", ErrOptions, c.Safety)
	case c.Timeout < clsv.NoTimeout:
		return fmt.Errorf("%w: Timeout = %v", ErrOptions, c.Timeout)
	}
	return nil
}

// repeats reports whether the call is repeated when those who were asked are
// lost.
func (p *Pending) repeats() bool {
	return p.To.kind == anyServer || p.Retry && p.To.kind != listed
}

// servers reports whether the call is for servers only.
func (p *Pending) servers() bool { return p.To.kind <= allServers }

// ask notes who is asked, and how many replies are wanted of them.
func (p *Pending) ask(who []clsv.Endpoint) {
	p.asked, p.answered = p.asked[:0], 0
	for _, e := range who {
		p.asked = append(p.asked, asked{who: e})
	}
	p.open = len(who)
	switch n := len(who); p.Collect {
	case All:
		p.wanted = n
	case Majority:
		p.wanted = n/2 + 1
	default:
		p.wanted = max(int(p.Collect), 1)
	}
}

// answer notes that a member has answered, or will not.
func (p *Pending) answer(a *asked, r Reply) {
	a.over = true
	p.open--
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	left := errors.Is(r.Err, ErrMemberLeft)
	switch {
	case p.ended:
	case left:
		p.replies = append(p.replies, r)
	default:
		p.replies = slices.Insert(p.replies, p.answered, r)
	}
	if !left {
		p.answered++
	}
}

func (p *Pending) waitsFor(e clsv.Endpoint) *asked {
	for i := range p.asked {
		if a := &p.asked[i]; a.who == e && !a.over {
			return a
		}
	}
	return nil
}
