package request

import (
	"bytes"

	"maestro/clsv"
)

// Wrap puts the Dispatcher between its member and a handler, which may be nil:
// what Wrap returns is the member's clsv.Options.Handler. It is an Exchanger, a
// StateHasher and a PrimaryObserver if h is.
func (d *Dispatcher) Wrap(h clsv.Handler) clsv.Handler {
	if h == nil {
		h = clsv.NopHandler{}
	}
	f := front{d.Receiver(h), d.Observer(h), h}
	x, exchanges := h.(clsv.Exchanger)
	s, hashes := h.(clsv.StateHasher)
	switch {
	case exchanges && hashes:
		return struct {
			front
			clsv.Exchanger
			clsv.StateHasher
		}{f, x, s}
	case exchanges:
		return struct {
			front
			clsv.Exchanger
		}{f, x}
	case hashes:
		return struct {
			front
			clsv.StateHasher
		}{f, s}
	}
	return f
}

type front struct {
	clsv.Receiver
	clsv.Observer
	clsv.Transferrer
}

// PrimaryView passes on what is the application's.
func (f front) PrimaryView(v *clsv.View, viewMsg []byte) {
	if p, ok := f.Transferrer.(clsv.PrimaryObserver); ok { // it is the whole application
		p.PrimaryView(v, viewMsg)
	}
}

// Receiver is a part of what Wrap makes, for handlers that are made of parts,
// such as a csx.Handler. Observer is the other one; both are needed.
func (d *Dispatcher) Receiver(r clsv.Receiver) clsv.Receiver { return receiver{r, d} }

// Observer is a part of what Wrap makes; see Receiver.
func (d *Dispatcher) Observer(o clsv.Observer) clsv.Observer { return observer{o, d} }

type receiver struct {
	clsv.Receiver // the application's
	d             *Dispatcher
}

type observer struct {
	clsv.Observer // the application's
	d             *Dispatcher
}

// own handles a message, if it is the Dispatcher's.
func (d *Dispatcher) own(from clsv.Endpoint, kind clsv.Kind, msg []byte) bool {
	body, ok := bytes.CutPrefix(msg, d.prefix)
	if !ok {
		return false
	}
	var h header
	switch data, ok := h.parse(body, from); {
	case !ok || h.reply && kind != clsv.Send:
		d.stats.Malformed.Add(1)
	case h.reply:
		d.replied(from, &h, data)
	default:
		d.requested(from, kind, &h, data)
	}
	return true
}

func (r receiver) ReceiveCast(e clsv.Endpoint, msg []byte) {
	if !r.d.own(e, clsv.Cast, msg) {
		r.Receiver.ReceiveCast(e, msg)
	}
}

func (r receiver) ReceiveScast(e clsv.Endpoint, msg []byte) {
	if !r.d.own(e, clsv.Scast, msg) {
		r.Receiver.ReceiveScast(e, msg)
	}
}

func (r receiver) ReceiveLsend(e clsv.Endpoint, msg []byte) {
	if !r.d.own(e, clsv.Lsend, msg) {
		r.Receiver.ReceiveLsend(e, msg)
	}
}

func (r receiver) ReceiveSend(e clsv.Endpoint, msg []byte) {
	if !r.d.own(e, clsv.Send, msg) {
		r.Receiver.ReceiveSend(e, msg)
	}
}

func (r receiver) Dropped(m clsv.Dropped) {
	body, ok := bytes.CutPrefix(m.Msg, r.d.prefix)
	if !ok || m.State {
		r.Receiver.Dropped(m)
		return
	}
	r.d.unsent(body, m.Err)
}

func (o observer) AcceptedView(v *clsv.View, viewMsg []byte) {
	o.d.enter(v)
	o.Observer.AcceptedView(v, viewMsg)
	o.d.accepted(v)
}

func (o observer) Exit(err error) {
	defer o.Observer.Exit(err) // even if a completion panics
	o.d.exit()
}
