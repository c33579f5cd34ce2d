// Package prim shows an application the primary partition only: of the group's
// views, those that have a quorum and in which no server transfers its state.
//
//	o := clsv.Options{Role: clsv.Server, Xfer: clsv.AtomicXfer, Handler: app}
//	o.Group, o.Quorum = "ledger", 3
//	views, err := prim.Wrap(&o)
//	m, err := clsv.New(o)
//
// The application's AcceptedView, Block, ChangingView and ProposeView are about
// these views, and each view is compared with the one before that the
// application has seen. Messages go out in these views only
// (clsv.GroupOptions.PrimaryOnly): what is sent when there is none, or when a
// view change is under way, waits, in order and with its options, and goes out
// before the AcceptedView of the next. So the application receives nothing but in
// a view that it has accepted, and there all servers have the state.
//
// All members must have the same Quorum, more than half of the members that
// there will ever be at the same time. Then any two primary views have a member
// in common that has been in both, one after the other, and never the same
// number (ViewID.Ltime). A member that is cut off believes to be in the earlier
// until it notices, which takes GroupOptions.Silence: what it alone has seen then
// is not agreed on. The quorum is a number on purpose. A majority of the last
// primary view would let a group shrink further, but which view that was is
// something that members can disagree about when one fails in the middle of a
// view change, unless each attempt is also written to a disk.
//
// # State transfer
//
// The views of a transfer are not shown. A server that transfers is a Watcher
// too, and sees them there. AskState, RcvState, Degraded, Exit and Heartbeat come
// as they do without this package.
//
// With package csx nobody has to watch: WrapCSX is Wrap for its members, whose
// StateTransfer, AskState and Snapshot come as they do without this package. What
// the servers of a minority had is dropped when they meet the primary partition,
// whose state they get before the first view that they are shown.
//
// Clients and servers without transfer do well with it too. A member that is
// alone, or among too few, has joined, but sees no view until the quorum is
// there.
package prim

import (
	"fmt"
	"sync/atomic"

	"maestro/clsv"
)

// Watcher is a Handler that sees all views.
type Watcher interface {
	// EveryView comes for each view of the group, before AcceptedView if that
	// comes too.
	EveryView(v *clsv.View)
}

// Views is the primary views of a member.
type Views struct {
	last   atomic.Pointer[clsv.View] // accepted last
	inside atomic.Bool
	open   bool        // it has been accepted, and not been blocked
	now    clsv.ViewID // the view that the member is in, primary or not
}

// Wrap puts the package between a member that will be made with o and
// o.Handler, which may be nil. It sets o.PrimaryOnly. The error is
// clsv.ErrOptions if o.Quorum is not set.
func Wrap(o *clsv.Options) (*Views, error) {
	if err := only(&o.GroupOptions); err != nil {
		return nil, err
	}
	if o.Handler == nil {
		o.Handler = clsv.NopHandler{}
	}
	h := o.Handler
	v := &Views{}
	f := front{v.observer(h), h, h}
	x, exchanges := h.(clsv.Exchanger)
	s, hashes := h.(clsv.StateHasher)
	switch {
	case exchanges && hashes:
		o.Handler = struct {
			front
			exchanger
			clsv.StateHasher
		}{f, exchanger{x, v}, s}
	case exchanges:
		o.Handler = struct {
			front
			exchanger
		}{f, exchanger{x, v}}
	case hashes:
		o.Handler = struct {
			front
			clsv.StateHasher
		}{f, s}
	default:
		o.Handler = f
	}
	return v, nil
}

// only has messages go out in primary views only.
func only(o *clsv.GroupOptions) error {
	if o.Quorum <= 0 {
		return fmt.Errorf("prim: %w: Quorum = %d", clsv.ErrOptions, o.Quorum)
	}
	o.PrimaryOnly = true
	return nil
}

// may reports whether a view may become one that the application is shown.
func may(v *clsv.View) bool { return v.Primary && len(v.XferServers) == 0 }

// View is the primary view accepted last, nil if there was none. It may be
// called from any goroutine.
func (v *Views) View() *clsv.View { return v.last.Load() }

// Inside reports whether that view is the member's still. It may be called from
// any goroutine.
func (v *Views) Inside() bool { return v.inside.Load() }

type front struct {
	observer
	clsv.Receiver
	clsv.Transferrer
}

func (v *Views) observer(o clsv.Observer) observer {
	w, _ := o.(Watcher)
	return observer{o, w, v}
}

type observer struct {
	clsv.Observer
	w Watcher // nil if it is none
	v *Views
}

func (o observer) Block() {
	if o.v.open {
		o.v.open = false
		o.Observer.Block()
	}
}

func (o observer) AcceptedView(v *clsv.View, _ []byte) {
	o.v.inside.Store(false)
	o.v.now = v.ID
	if o.w != nil {
		o.w.EveryView(v)
	}
}

func (o observer) PrimaryView(v *clsv.View, viewMsg []byte) {
	o.Block() // unless it has come; the view before may have ended as it began
	v = v.Since(o.v.View())
	o.v.open = true
	o.v.last.Store(v)
	o.v.inside.Store(v.ID == o.v.now) // package csx may tell it late
	o.Observer.AcceptedView(v, viewMsg)
}

func (o observer) Exit(err error) {
	o.v.inside.Store(false)
	o.v.last.Store(nil)
	o.v.open = false
	o.Observer.Exit(err)
}

type exchanger struct {
	x clsv.Exchanger
	v *Views
}

// ChangingView asks the application for its message.
func (e exchanger) ChangingView(v *clsv.View) []byte {
	if !may(v) {
		return nil
	}
	return e.x.ChangingView(v.Since(e.v.View()))
}

// ProposeView asks the application for the view message.
func (e exchanger) ProposeView(v *clsv.View, msgs [][]byte) []byte {
	if !may(v) {
		return nil
	}
	return e.x.ProposeView(v.Since(e.v.View()), msgs)
}
