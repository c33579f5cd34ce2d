package csx

import (
	"bytes"
	"context"
	"fmt"

	"maestro/clsv"
)

// backlog is what is held back while this server transfers. Only callbacks use
// it.
type backlog struct {
	holding bool
	held    []held
	bytes   int
	spilled bool // there was too much: the backlog is void
}

// held is a message, or, without a kind, the beginning of a view.
type held struct {
	view   *clsv.View
	kind   clsv.Kind
	begins bool
	origin clsv.Endpoint
	msg    []byte
}

// heldOverhead is what a message counts for beside its bytes.
const heldOverhead = 96

func (b *backlog) forget() { *b = backlog{} }

// hold follows this member's state into a view.
func (m *Member) hold(v *clsv.View) {
	switch {
	case !m.o.Hold:
	case v.StartXfer:
		m.backlog = backlog{holding: true}
		m.held = append(m.held, held{view: v, begins: true})
	case v.State == clsv.BecomingServer:
		m.forget()
	case m.holding:
		m.held = append(m.held, held{view: v, begins: true})
	}
}

// keep holds a message back, if it is time to.
func (m *Member) keep(kind clsv.Kind, origin clsv.Endpoint, msg []byte) bool {
	if !m.holding {
		return false
	}
	if m.spilled {
		return true
	}
	m.bytes += len(msg) + heldOverhead
	if m.bytes > m.o.MaxBacklog {
		m.backlog = backlog{holding: true, spilled: true}
		m.mu.Lock()
		ended := m.xfer.end(fmt.Errorf("%w: %w", ErrTerminated, ErrBacklog))
		m.mu.Unlock()
		run(ended)
		return true
	}
	m.held = append(m.held, held{kind: kind, origin: origin, msg: bytes.Clone(msg)})
	m.mu.Lock()
	m.stats.Held++
	m.mu.Unlock()
	return true
}

// promoted has a server that is a normal one before its transfer is done go on
// with what it has, when StateTransfer has seen that.
func (m *Member) promoted(x *Transfer) {
	_ = m.Go(func() {
		_ = m.Wait(context.Background(), x.returned)
		_ = m.Post(func() { m.replay(x) })
	})
}

// replay hands over what has been held back, less what the state contains that
// transfer x has brought. From then on nothing is held back.
func (m *Member) replay(x *Transfer) {
	m.mu.Lock()
	cut, current := x.cut, m.xfer == x
	done := x.over == ErrDone //nolint:errorlint // it is set as it is
	m.mu.Unlock()
	if !current || !m.holding {
		return
	}
	var v *clsv.View
	for _, h := range m.held {
		if h.begins {
			v = h.view
			m.begin(v, cut)
			continue
		}
		if v.ID.Ltime < cut {
			continue
		}
		switch h.kind {
		case clsv.Cast:
			m.h.ReceiveCast(h.origin, h.msg)
		case clsv.Scast:
			m.h.ReceiveScast(h.origin, h.msg)
		case clsv.Lsend:
			m.h.ReceiveLsend(h.origin, h.msg)
		}
	}
	m.forget()
	if done {
		_ = m.XferDone() // or the transfer is void already
	}
}

// begin begins a view in the backlog.
func (m *Member) begin(v *clsv.View, cut uint64) {
	if v.ID.Ltime < cut {
		return
	}
	if r, ok := m.h.(Replayer); ok {
		r.Replay(v)
	}
	if v.State == clsv.ServerNormal {
		m.capture(v)
	}
}
