package script

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"maestro/stack"
	"maestro/wire"
)

// codec is a control message.
type codec interface {
	Append(b []byte) []byte
	Parse(b []byte) error
}

// codecOf makes an empty message of the form that a kind of datagram carries,
// or nil if it carries none.
func codecOf(k wire.Kind) codec {
	switch k {
	case wire.KindNak, wire.KindSendNak:
		return new(wire.Nak)
	case wire.KindAnnounce, wire.KindSendMark:
		return new(wire.Mark)
	case wire.KindAck, wire.KindSendAck:
		return new(wire.Ack)
	case wire.KindSuspect:
		return new(wire.Ranks)
	case wire.KindBlock:
		return new(wire.Block)
	case wire.KindFlushOk:
		return new(wire.FlushOk)
	case wire.KindDecision:
		return new(wire.Decision)
	case wire.KindPresence:
		return new(wire.Presence)
	case wire.KindMerge:
		return new(wire.Merge)
	case wire.KindDecided, wire.KindMergeDeny, wire.KindQuery, wire.KindExcluded:
		return new(wire.ViewRef)
	}
	return nil
}

// foreign tells the kinds that travel outside of any view.
func foreign(k wire.Kind) bool { return k >= wire.KindDecision && k < wire.KindCount }

// describe writes a datagram: its kind, number and body.
func describe(h *wire.Header, body []byte) string {
	parts := []string{h.Kind.String()}
	if h.Seq != 0 {
		parts = append(parts, fmt.Sprintf("seq=%d", h.Seq))
	}
	if h.Kind == wire.KindRepair {
		parts = append(parts, fmt.Sprintf("of=%d", h.Low))
	} else if h.Low != 0 && uint64(h.Low) != h.Seq {
		parts = append(parts, fmt.Sprintf("low=%d", h.Low))
	}
	c := codecOf(h.Kind)
	switch {
	case c == nil && len(body) > 0:
		parts = append(parts, text(body))
	case c == nil:
	case c.Parse(body) != nil:
		parts = append(parts, "MALFORMED "+text(body))
	default:
		parts = append(parts, fields(c))
	}
	return strings.TrimSpace(strings.Join(parts, " "))
}

func kindOf(name string) wire.Kind {
	for k := range wire.KindCount {
		if k.String() == name {
			return k
		}
	}
	panic(mistake("no kind of datagram: " + name))
}

// datagram reads what describe writes.
func (a *args) datagram() (h wire.Header, body []byte) {
	h.Kind = kindOf(a.next())
	h.Seq = uint64(a.num("seq", 0))
	if h.Kind == wire.KindCast || h.Kind == wire.KindCore { // nothing is stable
		h.Low = uint16(a.num("low", int(h.Seq)))
	}
	if h.Kind == wire.KindRepair {
		h.Low = uint16(a.num("of", 0))
	}
	if c := codecOf(h.Kind); c != nil && (len(*a) == 0 || (*a)[0][0] != '"') {
		a.fill(c)
		return h, c.Append(nil)
	}
	return h, a.data()
}

// describeMsg writes a message on its way through a stack.
func describeMsg(m *stack.Msg) string {
	s := fmt.Sprintf("from=%d ", m.From)
	switch m.To {
	case stack.All:
	case stack.Core:
		s += "to=core "
	default:
		s += fmt.Sprintf("to=%d ", m.To)
	}
	if m.Seq > 0 && !m.Claimed {
		s += fmt.Sprintf("seq=%d ", m.Seq)
	}
	if m.Kind == stack.KindOrder {
		return s + "order=" + runs(m.Data)
	}
	if m.Kind == stack.KindWeave && len(m.Data) == 16 {
		return s + fmt.Sprintf("after=%d end=%d", binary.LittleEndian.Uint64(m.Data),
			binary.LittleEndian.Uint64(m.Data[8:]))
	}
	if m.Kind != 0 {
		s += fmt.Sprintf("kind=%d ", m.Kind)
	}
	if len(m.Head) > 0 {
		s += "head=" + text(m.Head) + " "
	}
	return s + text(m.Data)
}

// runs writes a total order: [rank*count ...], of core casts rank*countcore.
func runs(b []byte) string {
	var parts []string
	for ; len(b) >= 6; b = b[6:] {
		rank, core := binary.LittleEndian.Uint16(b), ""
		if rank >= 1<<15 {
			rank, core = rank-1<<15, "core"
		}
		parts = append(parts, fmt.Sprintf("%d*%d%s", rank, binary.LittleEndian.Uint32(b[2:]), core))
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// order reads what runs writes.
func order(s string) (b []byte) {
	err := each(s, "[", "]", func(_ int, w string) error {
		var rank uint16
		var count uint32
		w, core := strings.CutSuffix(w, "core")
		_, err := fmt.Sscanf(w, "%d*%d", &rank, &count)
		if core {
			rank += 1 << 15
		}
		b = binary.LittleEndian.AppendUint16(b, rank)
		b = binary.LittleEndian.AppendUint32(b, count)
		return err
	})
	must(0, err)
	return b
}

// dest reads a destination: a rank, or "core".
func (a *args) dest(def int) int {
	if i := slices.Index(*a, "to=core"); i >= 0 {
		a.take("to")
		return stack.Core
	}
	return a.num("to", def)
}

// message reads what describeMsg writes.
func (a *args) message(from, to int) *stack.Msg {
	m := &stack.Msg{From: a.num("from", from), To: a.dest(to), Seq: uint64(a.num("seq", 0)),
		Kind: uint8(a.num("kind", 0))}
	if o, ok := a.take("order"); ok {
		m.Kind, m.Data = stack.KindOrder, order(o)
		return m
	}
	if n := a.num("after", -1); n >= 0 {
		m.Kind = stack.KindWeave
		m.Data = binary.LittleEndian.AppendUint64(nil, uint64(n))
		m.Data = binary.LittleEndian.AppendUint64(m.Data, uint64(a.num("end", 0)))
		return m
	}
	if h, ok := a.take("head"); ok {
		m.Head = must(bytesOf(h))
	}
	m.Data = a.data()
	return m
}

// events is one of each kind that a script can tell.
var events = []stack.Event{
	&stack.Suspect{}, &stack.Gone{}, &stack.Fail{}, &stack.Lead{}, &stack.Change{}, &stack.Stop{},
	&stack.Stopped{}, &stack.Closing{}, &stack.Leave{}, &stack.Flushed{}, &stack.Decided{},
	&stack.Awaited{}, &stack.Reopened{}, &stack.CutReached{}, &stack.Install{}, &stack.Left{},
	&stack.Foreign{}, &stack.Lifeline{},
	&stack.Note{}, &stack.Replaced{}, &stack.Marked{}, &stack.Gathered{},
}

// queries is one of each kind that a script can ask and answer.
var queries = []stack.Query{
	&stack.Reached{}, &stack.Drained{}, &stack.Merging{}, &stack.Promise{}, &stack.Heard{},
	&stack.Credit{}, &stack.Holding{}, &stack.Room{}, &stack.Unheard{},
}

func typeName(v any) string {
	return strings.ToLower(reflect.Indirect(reflect.ValueOf(v)).Type().Name())
}

// named finds the one of a list that a script names, and makes a fresh one.
func named[T any](list []T, name string) T {
	for _, v := range list {
		if typeName(v) == name {
			return reflect.New(reflect.TypeOf(v).Elem()).Interface().(T)
		}
	}
	panic(mistake("no event or query " + name))
}

// event reads an event of a view of n members.
func (a *args) event(n int) stack.Event {
	e := named(events, a.next())
	a.fill(e)
	switch e := e.(type) {
	case *stack.Fail:
		e.Failed = stack.SetOf(n, e.Failed.Ranks())
	case *stack.Flushed:
		e.Failed = stack.SetOf(n, e.Failed.Ranks())
	}
	return reflect.ValueOf(e).Elem().Interface().(stack.Event)
}
