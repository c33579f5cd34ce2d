package csx

import (
	"bytes"

	"maestro/clsv"
)

// primary is a Handler that is a clsv.PrimaryObserver, with the primary views
// that it is to be told of when the messages are replayed which came in them.
// With clsv.GroupOptions.PrimaryOnly that there are any is rare: messages do not flow
// while a server transfers, so they are held back only at one that has lost its
// sources and been promoted.
type primary struct {
	Handler
	p    clsv.PrimaryObserver
	late []latePrimary
}

type latePrimary struct {
	view *clsv.View
	msg  []byte
}

// PrimaryView tells the handler of a primary view, before anything that is
// received in it.
func (a adapter) PrimaryView(v *clsv.View, viewMsg []byte) {
	switch p := a.m.primary; {
	case p == nil:
	case a.m.holding:
		p.late = append(p.late, latePrimary{v, bytes.Clone(viewMsg)})
	default:
		p.p.PrimaryView(v, viewMsg)
	}
}

// Replay comes before the messages of a view that have been held back.
func (p *primary) Replay(v *clsv.View) {
	if r, ok := p.Handler.(Replayer); ok {
		r.Replay(v)
	}
	for len(p.late) > 0 && p.late[0].view.ID.Ltime <= v.ID.Ltime {
		l := p.late[0]
		p.late = p.late[1:]
		if l.view.ID == v.ID { // otherwise the state is of a later view
			p.p.PrimaryView(l.view, l.msg)
		}
	}
}

func (p *primary) forget() {
	if p != nil {
		p.late = nil
	}
}
