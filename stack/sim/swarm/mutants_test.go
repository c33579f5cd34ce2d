package swarm

import (
	"bytes"
	"slices"

	"maestro/stack"
	"maestro/wire"
)

// The mutants. Members with rank 1 misbehave where one is enough.
func mutants() []mutant {
	return slices.Concat(deliveryMutants(), orderMutants(), viewMutants())
}

// copyOf is a message that outlives the call.
func copyOf(m *stack.Msg) *stack.Msg {
	c := *m
	c.Data, c.Buf = bytes.Clone(m.Data), nil
	return &c
}

// deliveryMutants tamper with what is delivered.
func deliveryMutants() []mutant {
	return []mutant{
		{name: "duplicate a delivery", within: 5, above: "pack", props: "D2",
			make: func(p *stack.Port) hook {
				n := 0
				return hook{up: func(m *stack.Msg) bool {
					if n++; n%50 == 0 && m.Kind < stack.FirstStackKind {
						p.PassUp(copyOf(m))
					}
					return true
				}}
			}},
		{name: "forget a message", within: 5, stack: "fifo", above: "pack",
			props: "O1 O1p D5 D7 last", make: func(p *stack.Port) hook {
				n := 0
				return hook{up: func(m *stack.Msg) bool {
					n++
					return n%50 != 0 || p.Me() != 1
				}}
			}},
		{name: "forget the last message of a view", within: 10, stack: "fifo", above: "pack",
			props: "D5 D7 O1 O1p last", make: func(p *stack.Port) hook {
				blocked := false
				return hook{up: func(*stack.Msg) bool { return !blocked || p.Me() != 1 },
					event: func(e *stack.Event) bool {
						if _, ok := (*e).(stack.Decided); ok {
							blocked = true
						}
						return true
					}}
			}},
		{name: "corrupt a message", within: 5, above: "pack", props: "D1 sim:",
			make: func(p *stack.Port) hook {
				n := 0
				return hook{up: func(m *stack.Msg) bool {
					if n++; n%100 != 0 || len(m.Data) < 30 || m.Kind >= stack.FirstStackKind {
						return true
					}
					c := copyOf(m)
					c.Data[len(c.Data)-1] ^= 1
					p.PassUp(c)
					return false
				}}
			}},
		{name: "deliver in the next view", within: 20, stack: "fifo", above: "pack",
			props: "D3 D4 D5 D8 D2 O1 O1p D7 sim:", make: later()},
		{name: "take a message for another's", within: 30, around: "pt2pt",
			props: "D10 D2 O1p D1 sim:", make: func(p *stack.Port) hook {
				return hook{receive: func(d *stack.Datagram) bool {
					if d.Kind == wire.KindSend && p.N() > 2 {
						d.Sender = uint16((int(d.Sender) + 1) % p.N())
					}
					return true
				}}
			}},
	}
}

// later keeps the last message of each view for the next one.
func later() func(p *stack.Port) hook {
	kept := map[wire.Endpoint]*stack.Msg{}
	return func(p *stack.Port) hook {
		me := p.Config().Self
		first := true
		stop := false
		return hook{
			event: func(e *stack.Event) bool {
				switch (*e).(type) {
				case stack.Stop:
					stop = true
				}
				return true
			},
			up: func(m *stack.Msg) bool {
				if k := kept[me]; first && k != nil && k.From < p.N() {
					first = false
					delete(kept, me)
					p.PassUp(k)
				}
				if stop && kept[me] == nil && p.Me() == 1 {
					kept[me] = copyOf(m)
					return false
				}
				return true
			}}
	}
}

// orderMutants tamper with the order of deliveries.
func orderMutants() []mutant {
	swap := func(fits func(a, b *stack.Msg) bool) func(p *stack.Port) hook {
		return func(p *stack.Port) hook {
			var held *stack.Msg
			n := 0
			return hook{up: func(m *stack.Msg) bool {
				if held != nil {
					h := held
					held = nil
					if fits(h, m) {
						p.PassUp(m)
						p.PassUp(h)
						return false
					}
					p.PassUp(h)
					return true
				}
				if n++; n%20 == 0 && p.Me() == 1 && m.To == stack.All {
					held = copyOf(m)
					return false
				}
				return true
			}}
		}
	}
	return []mutant{
		{name: "swap two of one sender", within: 10, stack: "fifo", above: "pack",
			props: "O1 D5 D7 last",
			make:  swap(func(a, b *stack.Msg) bool { return a.From == b.From })},
		{name: "swap two of different senders", within: 10, stack: "total", above: "total",
			props: "O3 O4 O5 O6 D5 D7 last",
			make:  swap(func(a, b *stack.Msg) bool { return a.From != b.From })},
		{name: "ignore the order", within: 10, stack: "total", around: "total",
			props: "O3 O4 O5 O6 D5 D7 sim: last", make: unordered},
	}
}

// unordered has a member deliver what waits for its place when a flush begins.
func unordered(p *stack.Port) hook {
	return hook{event: func(e *stack.Event) bool {
		if _, ok := (*e).(stack.Stop); ok && p.Me() == 1 {
			*e = stack.CutReached{}
		}
		return true
	}}
}

// viewMutants tamper with view changes.
func viewMutants() []mutant {
	return []mutant{
		{name: "skip the repair in the flush", within: 20, above: "pack",
			props: "D5 D7 O1 D3 D8 not", make: func(p *stack.Port) hook {
				return hook{event: func(e *stack.Event) bool {
					if _, ok := (*e).(stack.Decided); ok {
						p.Tell(stack.CutReached{})
					}
					return true
				}}
			}},
		{name: "drop the cut", within: 20, around: "mnak", props: "D5 D7 O1", make: noCut},
		// Alone seen in one of a thousand histories: members that are beyond a
		// decision's cut do not obey it. So that has to go too.
		{name: "deliver the failed's after the report and obey older cuts", within: 40, start: 100,
			around: "mnak", props: "D5 O1 last", // or its words are never delivered
			make: func(*stack.Port) hook {
				return hook{event: func(e *stack.Event) bool {
					_, ok := (*e).(stack.Fail)
					return !ok
				}, answer: func(q stack.Query) {
					if r, ok := q.(*stack.Reached); ok {
						clear(r.Passed)
					}
				}}
			}},
		{name: "cut without the survivors' reports", within: 60, around: "install",
			props: "D5 D7 O1 D3", make: hastyCut},
		{name: "weave nothing", within: 20, around: "weave", props: "O1",
			make: func(*stack.Port) hook {
				return hook{up: func(m *stack.Msg) bool { return m.Kind != stack.KindWeave }}
			}},
		{name: "a core cast lost at one member", within: 20, above: "weave", props: "D5 D7 O1",
			make: func(p *stack.Port) hook {
				n := 0
				return hook{up: func(m *stack.Msg) bool {
					if m.To == stack.Core && p.Me() == 1 {
						n++
					}
					return m.To != stack.Core || n%20 != 10
				}}
			}},
		{name: "do not wait for the core", within: 200, around: "weave", props: "O1 D5",
			make: func(p *stack.Port) hook {
				return hook{event: func(e *stack.Event) bool {
					if m, ok := (*e).(stack.Marked); ok {
						m.Core = 1 << 60
						*e = m
					}
					return true
				}}
			}},
		{name: "disagree about the view", within: 5, above: "pack", props: "M3",
			make: func(p *stack.Port) hook {
				if v := p.View(); v.Rank == 1 {
					v.Extra = append(slices.Clone(v.Extra), '!')
				}
				return hook{}
			}},
		{name: "take everybody for together", within: 20, above: "pack", props: "D6",
			make: func(p *stack.Port) hook {
				for i := range p.View().Together {
					p.View().Together[i] = true
				}
				return hook{}
			}},
	}
}

// noCut has each member deliver what it happens to have.
func noCut(p *stack.Port) hook {
	return hook{event: func(e *stack.Event) bool {
		d, ok := (*e).(stack.Decided)
		if !ok {
			return true
		}
		var r stack.Reached
		p.Ask(&r)
		party := *d.Party
		party.Cut = slices.Clone(r.Recv)
		d.Party = &party
		*e = d
		return true
	}}
}

// hastyCut has the coordinator decide from its own report alone.
func hastyCut(p *stack.Port) hook {
	return hook{event: func(e *stack.Event) bool {
		f, ok := (*e).(stack.Flushed)
		if !ok {
			return true
		}
		own := f.Replies[p.Me()]
		f.Replies = slices.Clone(f.Replies)
		for r, reply := range f.Replies {
			if reply != nil && r != p.Me() {
				c := *reply
				c.Recv = own.Recv
				f.Replies[r] = &c
			}
		}
		*e = f
		return true
	}}
}
