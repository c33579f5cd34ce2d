package script

import (
	"maestro/stack"
	"maestro/wire"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"
)

func (b *bench) Now() stack.Time           { return b.now }
func (b *bench) Rand() *rand.Rand          { return b.rand }
func (b *bench) Pool() *wire.Pool          { return &b.pool }
func (b *bench) Config() *stack.Config     { return &b.cfg }
func (b *bench) GroupConn() uint64         { return 1 }
func (b *bench) Silence() time.Duration    { return b.cfg.Silence }
func (b *bench) Pace() stack.Time          { return 0 }
func (b *bench) Ltime(least uint64) uint64 { return least }
func (b *bench) Counters() *stack.Counters { return &b.counters }
func (b *bench) Hooks() stack.Hooks        { return b }
func (b *bench) Attr() []byte              { return b.hook.Attr }
func (b *bench) Exchange() bool            { return b.hook.Exchange }
func (b *bench) Weight() []byte            { return b.hook.Weight }

// Watch shows who is watched, and answers what the script says.
func (b *bench) Watch(addr netip.AddrPort) bool {
	if addr != b.watched {
		b.watched = addr
		name := "nobody"
		if addr.IsValid() {
			name = addrName(addr)
		}
		b.printf("watch %s", name)
	}
	return b.hook.Held
}

// Core is none: a script says who is in it.
func (b *bench) Core(*stack.View) stack.Set { return nil }

// Compose shows what is proposed.
func (b *bench) Compose(p *stack.Proposal) {
	for _, q := range p.Parties {
		b.printf("compose %s", fields(q))
	}
}

// Deliver shows a message that reaches the application.
func (b *bench) Deliver(_ *stack.Stack, m *stack.Msg) { b.printf("up %s", describeMsg(m)) }

// Told shows an event, unless the script told it.
func (b *bench) Told(_ *stack.Stack, e stack.Event) {
	if b.silent > 0 {
		b.silent--
		return
	}
	b.printf("%s", strings.TrimSpace("tell "+typeName(e)+" "+fields(e)))
}

// Transmit shows datagrams.
func (b *bench) Transmit(to netip.AddrPort, p []byte, seg int) {
	b.datagrams("> "+addrName(to)+":", p, seg)
}
