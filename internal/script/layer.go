package script

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// Layer runs all scripts of testdata, each with one layer between stubs.
//
//	new members=3 rank=0 [ltime=1] [private] [retry=4ms ...]
//	    makes the layer in the view 1:a [a b c], or with names=[b d] in 1:b [b d],
//	    with the fields of stack.Config that follow
//	up from=1 [to=0] seq=3 [kind=1] "text"
//	    a message comes from the layer below
//	down [to=1] [kind=1] [head="text"] "text", claim 10, commit 8
//	    a message comes from above
//	log "text", burst [limit=3] [stable=1]
//	    the send log gets a sealed segment; it is transmitted
//	net from=1 KIND [seq=3] [FIELD=VALUE ...] ["text"]
//	    a datagram comes in; addr=c has it come from another address
//	emit [to=1] [foreign] KIND [seq=3] [FIELD=VALUE ...] ["text"]
//	    the lowest layer is asked to send; segments (cast) go as a burst
//	event NAME [FIELD=VALUE ...], ask NAME
//	    the event is told, the question is asked
//	answer NAME [FIELD=VALUE ...], hooks [exchange] [attr="x"] [weight="x"] [held]
//	    what other layers answer from now on, and the application; whether lifelines hold
//	consumed from=1 seq=3 [sends]
//	    the application has done with these messages
//	tick 5ms, sleep 5s, push, flush, dump, retire, close
//	    time passes, or passes us by; whole bursts leave; the turn ends; the view ends
//
// The output has what the layer sent ('> all:' to its view or one member, '=>'
// outside of views), passed (up, down), told, and watches, its deadline where it changed,
// and the counters that moved.
func Layer(t *testing.T, update bool, makers ...stack.Maker) {
	run(t, update, "*.txt", func() machine { return &bench{makers: makers} })
}

// bench is a layer on a bench.
type bench struct {
	lines
	makers   []stack.Maker
	stack    *stack.Stack
	stub     *stub
	now      stack.Time
	pool     wire.Pool
	rand     *rand.Rand
	cfg      stack.Config
	counters stack.Counters
	shown    stack.Counters
	due      stack.Time // as shown
	silent   int        // events told by the script, which need no echo
	answers  []stack.Query
	watched  netip.AddrPort
	hook     struct {
		Exchange     bool
		Held         bool
		Attr, Weight []byte
	}
}

func (b *bench) do(cmd string, a args) {
	if cmd == "new" {
		b.make(a)
		return
	}
	if b.stack == nil {
		panic(mistake("the first command must be new"))
	}
	if !b.data(cmd, a) && !b.control(cmd, a) {
		panic(mistake("no such command"))
	}
}

// make stacks the layer on a stub, or alone if it is the lowest itself.
func (b *bench) make(a args) {
	v := &stack.View{Group: "g", Rank: a.num("rank", 0)}
	var names []string
	for r := range a.num("members", 0) {
		names = append(names, Name(r))
	}
	if s, ok := a.take("names"); ok {
		must(0, each(s, "[", "]", func(_ int, w string) error {
			names = append(names, w)
			return nil
		}))
	}
	ltime := a.num("ltime", 1)
	_, v.Private = a.take("private")
	if c, ok := a.take("core"); ok {
		v.Core = make(stack.Set, len(names))
		must(0, each(c, "[", "]", func(_ int, w string) error {
			r, err := strconv.Atoi(w)
			v.Core.Add([]int{r})
			return err
		}))
	}
	v.ID = wire.ViewID{Ltime: uint64(ltime), Coord: member(names[0]).ID}
	for _, name := range names {
		v.Members = append(v.Members, member(name))
		v.Together = append(v.Together, true)
	}
	if b.stack != nil {
		b.stack.Close()
	}
	b.cfg = stack.Config{Group: "g", Self: v.Members[v.Rank].ID, Addr: v.Members[v.Rank].Addr}
	if addr, ok := a.take("coreaddr"); ok {
		b.cfg.Core = must(netip.ParseAddrPort(addr))
	}
	a.fill(&b.cfg)
	b.fill()
	for r := range v.Members {
		v.Members[r].RecvBuf = uint32(b.cfg.RecvBuf)
	}
	b.rand = rand.New(rand.NewPCG(1, 2))
	b.pool.Poison = true
	b.due, b.answers, b.watched = stack.Never, nil, netip.AddrPort{}
	b.stub = &stub{b: b}
	below := stack.Maker{Name: "stub", Gives: stack.Datagrams, New: b.stub.at}
	makers := append([]stack.Maker{below}, b.makers...)
	if b.makers[0].Gives&stack.Datagrams != 0 {
		for k := wire.KindNone + 1; k < wire.KindCount; k++ {
			below.Kinds = append(below.Kinds, k)
		}
		below.Gives = 0
		makers = append(b.makers[:1:1], below)
	}
	b.stack = stack.New(b, v, makers)
}

// fill sets the defaults, for which the configuration must have some stack.
func (b *bench) fill() {
	b.cfg.Layers = []stack.Maker{{Name: "any", Gives: stack.Datagrams | stack.Views}}
	must(0, b.cfg.Fill())
}

// data runs the commands that move messages.
func (b *bench) data(cmd string, a args) bool {
	s := b.stack
	switch cmd {
	case "up":
		m := a.message(0, stack.All)
		m.Buf, m.Data = b.buffer(m.Data)
		b.stub.inject = m
		s.Receive(&stack.Datagram{})
		m.Buf.Drop()
	case "down":
		s.Down(a.message(s.View().Rank, stack.All))
	case "claim":
		copy(s.Log().Claim(a.num2()), must(bytesOf(a.next())))
	case "commit":
		s.Down(&stack.Msg{From: s.View().Rank, To: stack.All, Claimed: true, Seq: uint64(a.num2())})
	case "log", "logcore":
		log := b.log(cmd == "logcore")
		log.Append(0, nil, a.data())
		log.Seal()
	case "burst", "burstcore":
		log := b.log(cmd == "burstcore")
		limit, low := a.num("limit", math.MaxInt32), a.num("stable", 0)
		for {
			p, seg, _, _ := log.Burst(uint64(limit), uint64(low))
			if p == nil {
				break
			}
			b.datagrams("log", p, seg)
		}
	case "net":
		b.receive(a)
	case "emit":
		b.emit(a)
	case "consumed":
		_, sends := a.take("sends")
		to := a.dest(stack.All)
		if sends {
			to = 0
		}
		n := stack.StreamOf(len(s.View().Members), a.num("from", 0), to)
		s.Consumed(n, uint64(a.num("seq", 0)))
	default:
		return false
	}
	return true
}

// log is the send log of casts, or of core casts.
func (b *bench) log(core bool) *wire.Log {
	if core {
		return b.stack.CoreLog()
	}
	return b.stack.Log()
}

// control runs the other commands.
func (b *bench) control(cmd string, a args) bool {
	switch cmd {
	case "event":
		b.silent++
		b.stack.Tell(a.event(len(b.stack.View().Members)))
	case "ask":
		q := named(queries, a.next())
		a.fill(q)
		b.stack.Ask(q)
		b.printf("%s", strings.TrimSpace(typeName(q)+" "+fields(q)))
	case "answer":
		q := named(queries, a.next())
		a.fill(q)
		b.answers = slices.DeleteFunc(b.answers, func(o stack.Query) bool {
			return reflect.TypeOf(o) == reflect.TypeOf(q)
		})
		b.answers = append(b.answers, q)
	case "hooks":
		a.fill(&b.hook)
	case "sleep": // this member does not run
		b.now = b.now.Add(must(time.ParseDuration(a.next())))
		b.stack.Expire()
	case "tick":
		b.tick(must(time.ParseDuration(a.next())))
	case "flush":
		b.stack.EndTurn()
	case "push":
		b.stack.Push()
	case "dump":
		b.dump()
	case "retire":
		b.stack.Retire()
	case "close":
		b.stack.Close()
	default:
		return false
	}
	return true
}

// num2 removes the first word, a number.
func (a *args) num2() int {
	var n int
	if _, err := fmt.Sscan(a.next(), &n); err != nil {
		panic(mistake("not a number"))
	}
	return n
}

func (b *bench) dump() {
	_, s, _ := strings.Cut(strings.TrimSpace(b.stack.Dump()), "\n")
	b.printf("%s", s)
}

// buffer copies bytes into a pooled buffer, as the network would.
func (b *bench) buffer(data []byte) (*wire.Buf, []byte) {
	buf := b.pool.Get()
	n := copy(buf.B, data)
	return buf, buf.B[:n:n]
}

func (b *bench) receive(a args) {
	from := a.num("from", 0)
	addr := Addr(Name(from))
	s, given := a.take("addr")
	h, body := a.datagram()
	if given {
		addr = Addr(s)
	} else if speaker := speakerOf(h.Kind, body); speaker.IsValid() {
		addr = speaker
	}
	h.Sender, h.Conn = uint16(from), b.stack.Conn()
	buf, body := b.buffer(body)
	d := &stack.Datagram{Header: h, From: addr, Body: body, Buf: buf}
	if foreign(h.Kind) {
		d.Sender, d.Conn = 0xFFFF, b.GroupConn()
		b.stack.Foreign(d)
	} else {
		b.stack.Receive(d)
	}
	buf.Drop()
}

// speakerOf is the address of who speaks for another view.
func speakerOf(k wire.Kind, body []byte) netip.AddrPort {
	var p wire.Presence
	var m wire.Merge
	switch {
	case k == wire.KindPresence && p.Parse(body) == nil:
		return p.From.Addr
	case k == wire.KindMerge && m.Parse(body) == nil:
		return m.Members[0].Addr
	}
	return netip.AddrPort{}
}

// emit has the lowest layer send something.
func (b *bench) emit(a args) {
	w := b.stub.Wire()
	to := a.dest(stack.All)
	_, outside := a.take("foreign")
	h, body := a.datagram()
	switch {
	case h.Kind == wire.KindCast, h.Kind == wire.KindCore:
		p := make([]byte, wire.HeaderLen, wire.HeaderLen+len(body))
		h.Put(p)
		p = append(p, body...)
		w.Burst(to, p, len(p))
	case outside && to == stack.All:
		w.CastForeign(h.Kind, body)
	case outside:
		w.SendForeign(b.stack.View().Members[to].Addr, h.Kind, body)
	case to < 0:
		w.MultiControl(to, h.Kind, h.Seq, body)
	default:
		w.SendControl(to, h.Kind, h.Seq, body)
	}
}

// tick lets time pass, from deadline to deadline.
func (b *bench) tick(d time.Duration) {
	end := b.now.Add(d)
	for next := b.stack.Next(); next <= end; next = b.stack.Next() {
		if next > b.now {
			b.printf("@%v", time.Duration(next))
		}
		b.now = max(b.now, next)
		b.stack.Expire()
	}
	b.now = end
}

// after shows what changed without a word.
func (b *bench) after() {
	if b.stack == nil {
		return
	}
	if due := b.stack.Next(); due != b.due {
		b.due = due
		b.printf("deadline %s", Print(due))
	}
	now, was := reflect.ValueOf(b.counters), reflect.ValueOf(b.shown)
	for i := range now.NumField() {
		if f := now.Field(i); f.Kind() == reflect.Uint64 && f.Uint() != was.Field(i).Uint() {
			b.printf("count %s+%d", strings.ToLower(now.Type().Field(i).Name),
				f.Uint()-was.Field(i).Uint())
		}
	}
	b.shown = b.counters
}

func (b *bench) close() error {
	if b.stack != nil {
		b.stack.Close()
	}
	if n := b.pool.Live(); n != 0 {
		return fmt.Errorf("%d buffers are still held", n)
	}
	return nil
}

// datagrams prints what is about to be transmitted.
func (b *bench) datagrams(where string, p []byte, seg int) {
	for ; len(p) > 0; p = p[min(seg, len(p)):] {
		var h wire.Header
		d := p[:min(seg, len(p))]
		if !h.Parse(d) {
			b.printf("%s MALFORMED %s", where, text(d))
			continue
		}
		b.printf("%s %s", where, describe(&h, d[wire.HeaderLen:]))
	}
}

// The rest makes a bench the Env and the Hooks of its stack.
