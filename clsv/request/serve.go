package request

import (
	"errors"
	"fmt"
	"sync/atomic"

	"maestro/clsv"
	"maestro/clsv/once"
)

// Request is a request as the service gets it.
type Request struct {
	// Origin is the caller, Kind how the request came.
	Origin clsv.Endpoint
	Kind   clsv.Kind
	// Data is the request, borrowed until Serve or ServeLater returns.
	Data []byte
	// ID is the same whenever the request is repeated. It has no Number if the
	// caller does not repeat it.
	ID once.ID
	// Clock, if the service keeps a once.Table, is to be its Clock before Serve
	// returns, or Reply is called.
	Clock uint64
	// Quiet says that nobody waits for this member's reply, since it is a
	// server that transfers.
	Quiet bool

	d        *Dispatcher
	number   uint64
	answered atomic.Bool
}

// Once makes a Serve of a function that is to be executed once for each
// request, however often it comes. The table must be part of the state that
// servers transfer, see package once. Errors that callers get: ErrForgotten, and
// one of no type for requests without identity.
func Once(t *once.Table, apply func(r *Request) []byte) func(*Request) ([]byte, error) {
	return func(r *Request) ([]byte, error) {
		reply, err := t.Do(r.ID, func() []byte { return apply(r) })
		r.Clock = t.Clock()
		return reply, err
	}
}

// Reply answers a request that ServeLater has got, once. It may be called from
// any goroutine; both data and what err says are copied. A reply waits for no
// safety and no room, but it is lost if the caller has left, and counted if too
// much waits already.
//
// Errors: ErrAnswered, those of clsv.Member.TrySend.
func (r *Request) Reply(data []byte, err error) error {
	if !r.answered.CompareAndSwap(false, true) {
		return ErrAnswered
	}
	if r.Quiet {
		return nil
	}
	return r.d.answer(r, data, err)
}

func (d *Dispatcher) answer(r *Request, data []byte, err error) error {
	h := header{reply: true, number: r.number, clock: r.Clock}
	if err != nil {
		h.err = remote(err)
		data = []byte(h.err.Text)
	}
	b := make([]byte, 0, len(d.prefix)+64+len(data))
	b = append(h.append(append(b, d.prefix...)), data...)
	_, sent := d.m.TrySend(r.Origin, b, clsv.MsgOptions{Safety: clsv.XferSafe, Queue: true})
	switch {
	case sent == nil:
		d.stats.Answers.Add(1)
	case errors.Is(sent, clsv.ErrTooLarge) && !errors.Is(err, clsv.ErrTooLarge):
		return d.answer(r, nil, fmt.Errorf("%w: %d bytes", clsv.ErrTooLarge, len(data)))
	default:
		d.stats.Unsent.Add(1)
	}
	return sent
}

// requested serves a request.
func (d *Dispatcher) requested(from clsv.Endpoint, kind clsv.Kind, h *header, data []byte) {
	d.stats.Requests.Add(1)
	r := &Request{Origin: from, Kind: kind, Data: data, ID: h.id, d: d, number: h.number}
	if h.servers && d.view.State != clsv.ServerNormal {
		if kind != clsv.Scast {
			d.refuse(r, errNotServer)
			return
		}
		r.Quiet = true
	}
	switch {
	case d.opts.ServeLater != nil:
		d.opts.ServeLater(r)
	case d.opts.Serve != nil:
		_ = r.Reply(d.opts.Serve(r))
	default:
		d.refuse(r, ErrNotServed)
	}
}

func (d *Dispatcher) refuse(r *Request, why error) {
	d.stats.Refused.Add(1)
	_ = r.Reply(nil, why)
}
