package check

import (
	"time"

	"maestro/stack/trace"
	"maestro/wire"
)

// handmadeTrace is a short trace that violates one property.
type handmadeTrace struct {
	prop string
	o    Options
	es   []trace.Event
}

// handmade has what the models do not produce.
func handmade() []handmadeTrace {
	a, b := wire.Endpoint{Name: "a"}, wire.Endpoint{Name: "b"}
	v := &trace.View{ID: wire.ViewID{Ltime: 1, Coord: a}, Members: []wire.Endpoint{a, b}}
	both := func(t int64, v *trace.View) []trace.Event {
		return []trace.Event{{Time: t, P: a, Kind: trace.ViewEvent, View: v},
			{Time: t, P: b, Kind: trace.ViewEvent, View: v}}
	}
	msg := func(t int64, p wire.Endpoint, k trace.Kind, o wire.Endpoint) trace.Event {
		return trace.Event{Time: t, P: p, Kind: k, Msg: trace.MsgID{Origin: o, N: 1}, Hash: 1}
	}
	live := Options{Bound: time.Microsecond, Sync: true}
	heal := trace.Event{Time: 10, Kind: trace.Heal, Dests: v.Members}
	end := trace.Event{Time: 1e6, P: a, Kind: trace.Stable, Msg: trace.MsgID{Origin: a, N: 1}}
	only := &trace.View{ID: v.ID, Members: []wire.Endpoint{a}}
	return []handmadeTrace{
		// a sends, b delivers and sends; all deliver b's first. Without
		// self-delivery no other property is concerned.
		{"O6", Options{Total: true, Fifo: true}, append(both(1, v),
			msg(2, a, trace.Send, a), msg(3, b, trace.Deliver, a), msg(4, b, trace.Send, b),
			msg(5, a, trace.Deliver, b), msg(6, a, trace.Deliver, a))},
		{"L1", live, []trace.Event{{Time: 1, P: a, Kind: trace.ViewEvent, View: only}, heal,
			{Time: 1e6, P: b, Kind: trace.Block}, end}},
		{"L1", live, append(append(both(1, v), heal), both(1e6, &trace.View{
			ID: wire.ViewID{Ltime: 2, Coord: a}, Members: v.Members})...)},
		{"L3", live, append(both(1, v), heal, msg(20, a, trace.Send, a), end)},
		{"L5", live, append(both(1, v), heal, trace.Event{Time: 20, P: b, Kind: trace.Block},
			end)},
	}
}
