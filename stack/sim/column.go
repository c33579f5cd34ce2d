package sim

import (
	"fmt"
	"io"
	"net/netip"
	"strings"

	"maestro/wire"
)

// column writes the history for people, one line an event:
//
//	time in seconds  member  view and rank  what happened
//
// Datagrams read "> kind to" when they leave, "< kind from" when they are
// received, and "x kind from" with the reason when they are lost.
type column struct {
	w    io.Writer
	data bool
}

// dull are the kinds that the trace leaves out unless it is asked for data.
func dull(k wire.Kind) bool {
	switch k {
	case wire.KindCast, wire.KindAck, wire.KindHeartbeat, wire.KindProbe, wire.KindSend,
		wire.KindSendAck:
		return true
	}
	return false
}

// Tracing reports whether anybody reads what Trace writes.
func (w *World) Tracing() bool { return w.column != nil }

// Trace adds a line about a member to the readable trace, if there is one.
func (w *World) Trace(m *Member, format string, args ...any) { w.trace(m, format, args...) }

func (w *World) trace(m *Member, format string, args ...any) {
	if w.column == nil {
		return
	}
	view := "-"
	if v := m.Group.View(); v != nil {
		view = fmt.Sprintf("%d:%s/%d", v.ID.Ltime, v.ID.Coord.Name, v.Rank)
		if v.Private {
			view = "private"
		}
	}
	w.line(m.Name, view, fmt.Sprintf(format, args...))
}

// Note adds a line about no member to the readable trace.
func (w *World) Note(format string, args ...any) { w.note(format, args...) }

func (w *World) note(format string, args ...any) {
	if w.column != nil {
		w.line("*", "", fmt.Sprintf(format, args...))
	}
}

func (w *World) line(who, view, text string) {
	fmt.Fprintf(w.column.w, "%12.6f %-6s %-10s %s\n", float64(w.now)/1e9, who, view,
		strings.TrimRight(text, "\n"))
}

func (w *World) shows(b []byte) bool {
	return w.column != nil && (w.column.data || !dull(wire.Kind(b[2])))
}

func (w *World) traceOut(m *Member, to netip.AddrPort, b []byte, seg int) {
	if !w.shows(b) {
		return
	}
	name := "all"
	if to.IsValid() {
		name = to.String()
		if h := w.addrs[to]; h != nil {
			name = h.name
		}
	}
	w.trace(m, "> %s %s", name, describe(b, seg))
}

func (w *World) traceIn(m *Member, f *flight, b []byte) {
	if w.shows(b) {
		w.trace(m, "< %s %s", f.src.Name, describe(b, f.seg))
	}
}

func (w *World) traceDrop(from, to *host, f *flight, why string) {
	if w.shows(f.data) {
		w.line(to.name, "", fmt.Sprintf("x %s %s %s", from.name, describe(f.data, f.seg), why))
	}
}

// describe says in a few words what a datagram or a run of them carries.
func describe(b []byte, seg int) string {
	var h wire.Header
	if !h.Parse(b) {
		return fmt.Sprintf("%d bytes of no meaning", len(b))
	}
	s := fmt.Sprintf("%v %d c%04x", h.Kind, h.Seq, uint16(h.Conn))
	if n := (len(b) + seg - 1) / seg; n > 1 {
		return fmt.Sprintf("%s x%d", s, n)
	}
	return s + body(h.Kind, b[wire.HeaderLen:])
}

// body says what is in the control messages that view changes are made of.
func body(k wire.Kind, b []byte) string {
	switch k {
	case wire.KindBlock:
		var m wire.Block
		if m.Parse(b) == nil {
			return fmt.Sprintf(" round %d failed %v", m.Round, m.Failed)
		}
	case wire.KindFlushOk:
		var m wire.FlushOk
		if m.Parse(b) == nil {
			return fmt.Sprintf(" round %d recv %v failed %v leaving %t", m.Round, m.Recv, m.Failed,
				m.Leaving)
		}
	case wire.KindDecision:
		var m wire.Decision
		if m.Parse(b) == nil {
			return " " + Decision(&m)
		}
	case wire.KindMerge:
		var m wire.Merge
		if m.Parse(b) == nil {
			return fmt.Sprintf(" %v asks %v", m.Party.View, m.Target)
		}
	case wire.KindPresence:
		var m wire.Presence
		if m.Parse(b) == nil {
			return fmt.Sprintf(" %v of %d private %t hushed %t", m.View, m.Members, m.Private,
				m.Hushed)
		}
	case wire.KindQuery, wire.KindExcluded, wire.KindMergeDeny, wire.KindDecided:
		var m wire.ViewRef
		if m.Parse(b) == nil {
			return fmt.Sprintf(" of %v now %v %v", m.View, m.Now, m.Members)
		}
	case wire.KindSuspect:
		var m wire.Ranks
		if m.Parse(b) == nil {
			return fmt.Sprintf(" %v", m.Ranks)
		}
	case wire.KindNak:
		var m wire.Nak
		if m.Parse(b) == nil {
			return fmt.Sprintf(" of %d %v", m.Stream, m.Spans)
		}
	}
	return ""
}

// Decision prints a decision.
func Decision(d *wire.Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v [", d.Next.ID)
	for i := range d.Next.Members {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(d.Next.Members[i].ID.Name)
	}
	b.WriteByte(']')
	for i := range d.Parties {
		p := &d.Parties[i]
		fmt.Fprintf(&b, " ends %v by %d.%d without %v cut %v", p.View, p.Round, p.By, p.Failed,
			p.Cut)
	}
	return b.String()
}
