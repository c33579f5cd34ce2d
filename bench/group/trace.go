package group

import (
	"encoding/binary"
	"fmt"
	"time"

	"maestro/stack"
	"maestro/stack/trace"
	"maestro/wire"
)

// tracer writes what a member casts and is given, for the checker. All its
// methods are called with the node locked, and a nil tracer does nothing.
type tracer struct {
	w       *trace.Writer
	self    wire.Endpoint
	event   trace.Event
	number  uint64 // of the last message cast
	epoch   uint64 // of the view that the application has
	view    *stack.View
	blocked bool
}

// traceLen is the least length of a traced message: its number is behind the
// byte that counts.
const traceLen = 9

func openTrace(path string, self wire.Endpoint) (*tracer, error) {
	if path == "" {
		return nil, nil
	}
	w, err := trace.Create(path)
	if err != nil {
		return nil, err
	}
	t := &tracer{w: w, self: self}
	t.record(trace.Event{Kind: trace.Start})
	return t, nil
}

func (t *tracer) close() {
	if t != nil {
		_ = t.w.Close()
	}
}

func (t *tracer) record(e trace.Event) {
	e.Time, e.P = time.Now().UnixNano(), t.self
	t.event = e
	t.w.Record(&t.event)
}

// may tells whether the application may cast: it has the group's view, and has
// not been told to stop.
func (t *tracer) may(g *stack.Group) bool {
	return t == nil || t.epoch == g.Epoch() && !t.blocked
}

// stamp numbers the next message.
func (t *tracer) stamp(data []byte) []byte {
	if t != nil {
		binary.LittleEndian.PutUint64(data[1:], t.number+1)
	}
	return data
}

// sent notes a message that has been cast.
func (t *tracer) sent(data []byte) {
	if t != nil {
		t.number++
		t.record(trace.Event{Kind: trace.Send, Msg: trace.MsgID{Origin: t.self, N: t.number},
			Hash: trace.Hash(data)})
	}
}

// took notes what the application is about to be given.
func (t *tracer) took(calls []upcall) {
	for i := 0; t != nil && i < len(calls); i++ {
		switch u := &calls[i]; u.what {
		case deliver:
			u.each(new(upcall), func(u *upcall) {
				if u.kind == kindData {
					t.delivered(u)
				}
			})
		case stop:
			t.blocked = true
			t.record(trace.Event{Kind: trace.Block})
		case view:
			t.viewed(u)
		case exit:
			t.record(trace.Event{Kind: trace.Exit})
		}
	}
}

func (t *tracer) delivered(u *upcall) {
	id := trace.MsgID{Origin: t.view.Members[u.from].ID}
	if len(u.data) >= traceLen {
		id.N = binary.LittleEndian.Uint64(u.data[1:])
	}
	t.record(trace.Event{Kind: trace.Deliver, Msg: id, Hash: trace.Hash(u.data)})
}

func (t *tracer) viewed(u *upcall) {
	v, old := u.rare.view, t.view
	t.view, t.epoch, t.blocked = v, u.rare.epoch, false
	e := &trace.View{ID: v.ID, Members: v.Endpoints(), ServerRank: -1, OldServerRank: -1}
	var all []byte
	for i := range v.Members {
		m := &v.Members[i]
		all = fmt.Appendf(all, "%s %v %d %x;", m.ID, m.Addr, m.RecvBuf, m.Attr)
		if v.Together[i] {
			e.Trans = append(e.Trans, m.ID)
		}
		if old == nil || old.RankOf(m.ID) < 0 {
			e.MemberChange.New = append(e.MemberChange.New, m.ID)
		}
	}
	e.ViewMsg = trace.Hash(all)
	if old != nil {
		for _, p := range old.Endpoints() {
			if v.RankOf(p) < 0 {
				e.MemberChange.Departed = append(e.MemberChange.Departed, p)
			}
		}
	}
	t.record(trace.Event{Kind: trace.ViewEvent, View: e})
}
