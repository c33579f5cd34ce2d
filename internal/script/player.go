package script

import (
	"net/netip"
	"slices"
	"strings"

	"maestro/stack"
	"maestro/wire"
)

// delivered is a message that has not been consumed yet.
type delivered struct {
	stack.Msg
	epoch uint64
}

// player is one member and its application.
type player struct {
	*groups
	name  string
	group *stack.Group
	pool  wire.Pool
	dead  bool
	busy  bool // does not stop when it is asked to
	owes  bool // an answer to Stop
	taken []delivered
}

func viewName(v *stack.View) string {
	s := Print(v.ID) + " ["
	for i := range v.Members {
		s += endpointName(v.Members[i].ID) + " "
	}
	s = strings.TrimSuffix(s, " ") + "]"
	if v.Private {
		s += " private"
	}
	return s
}

// turn ends a turn of the member: its application runs and answers.
func (m *player) turn() {
	m.consume()
	if m.owes && !m.busy {
		m.owes = false
		m.group.Stopped()
	}
	m.group.EndTurn()
	if len(m.taken) > 0 {
		m.consume()
		m.group.EndTurn()
	}
}

func (m *player) consume() {
	for i := range m.taken {
		t := &m.taken[i]
		m.group.Consumed(t.epoch, t.Stream, t.Seq)
	}
	m.drop()
}

func (m *player) drop() {
	for i := range m.taken {
		if b := m.taken[i].Buf; b != nil {
			b.Drop()
		}
	}
	m.taken = m.taken[:0]
}

func (m *player) id() wire.Endpoint { return member(m.name).ID }

// The rest makes a player the Driver and the App of its group.

func (m *player) reaches(q *player) bool {
	return !q.dead && !slices.Contains(m.cuts, m.name+">"+q.name)
}

// Transmit puts datagrams under way.
func (m *player) Transmit(to netip.AddrPort, b []byte, seg int) {
	for ; len(b) > 0; b = b[min(seg, len(b)):] {
		p := packet{from: m, data: slices.Clone(b[:min(seg, len(b))])}
		receivers := "nobody"
		for _, q := range m.members {
			if q != m && m.reaches(q) && (!to.IsValid() || Addr(q.name) == to) {
				if receivers == "nobody" {
					receivers = ""
				}
				receivers += " " + q.name
				p.to = q
				m.flight = append(m.flight, p)
			}
		}
		m.printf("%s > %s: %s", m.name, strings.TrimSpace(receivers), p.describe())
	}
}

// Watch holds no lifelines.
func (*player) Watch(netip.AddrPort) bool { return false }

// Deliver shows a message.
func (m *player) Deliver(epoch uint64, msg *stack.Msg) {
	m.printf("%s: deliver %s %s", m.name, viewMember(m.group.View(), msg), text(msg.Data))
	if msg.Buf != nil {
		msg.Buf.Keep()
	}
	m.taken = append(m.taken, delivered{*msg, epoch})
}

func viewMember(v *stack.View, msg *stack.Msg) string {
	s := "from " + v.Members[msg.From].ID.Name
	if msg.To != stack.All {
		s += " alone"
	}
	return s
}

// Stop shows that the application is asked to stop sending.
func (m *player) Stop() {
	m.printf("%s: stop", m.name)
	m.owes = true
}

// View shows a new view, and who comes from the same one.
func (m *player) View(epoch uint64, v *stack.View) {
	m.owes = false
	var with []string
	for r, in := range v.Together {
		if in {
			with = append(with, v.Members[r].ID.Name)
		}
	}
	m.printf("%s: view %s from %s together %v", m.name, viewName(v), Print(v.Prev), with)
}

// Exit shows the end.
func (m *player) Exit(err error) { m.printf("%s: exit %s", m.name, errText(err)) }

func errText(err error) string {
	if err == nil {
		return "as wanted"
	}
	return err.Error()
}

// Writable shows that there is room again.
func (m *player) Writable() { m.printf("%s: writable", m.name) }

// Note shows a line for people.
func (m *player) Note(text string) {
	m.printf("%s: note: %s", m.name, strings.ReplaceAll(text, "#0001", ""))
}

// Attr, Exchange, Weight and Compose want nothing.

// Attr is empty.
func (m *player) Attr() []byte { return nil }

// Exchange is not wanted.
func (m *player) Exchange() bool { return false }

// Weight is the same for all.
func (m *player) Weight() []byte { return nil }

// Compose leaves the view as it is.
func (m *player) Compose(*stack.Proposal) {}

// Core is none.
func (m *player) Core(*stack.View) stack.Set { return nil }
