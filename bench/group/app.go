package group

import (
	"encoding/binary"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// The kinds of messages that members send.
const (
	kindData  = 1
	kindAsk   = 2 // a cast that everybody answers
	kindReply = 3 // to the one who asked
)

// upcall is a call of the group that waits for Run.
type upcall struct {
	what   what
	kind   uint8
	from   int32
	stream int32
	seq    uint64
	data   []byte
	buf    *wire.Buf // nil where the upcall before holds it
	batch  bool      // data is several messages
	rare   *rare
}

// rare is what few upcalls have.
type rare struct {
	epoch uint64
	view  *stack.View
}

type what uint8

const (
	deliver what = iota
	stop
	view
	exit
	writable
)

// app is a member's application: it touches each message and counts, and
// answers what asks for an answer.
type app struct {
	m      *Member
	queue  []upcall
	taken  []upcall
	one    upcall    // of a batch
	held   *wire.Buf // what the last message in queue lies in
	epoch  uint64    // of the view that Done is in
	number uint64    // of the question under way

	tally         // of Run, and nobody else's
	shown   tally // as of the last Done
	wipe    bool  // tally begins anew with the next Take
	replies int
}

// tally is what has been delivered.
type tally struct {
	count, bytes uint64
	sum          uint64
	head         uint64 // messages of the first Run
	first, last  time.Time
	stall        time.Duration // longest time without a delivery
}

func (a *app) Attr() []byte               { return nil }
func (a *app) Exchange() bool             { return false }
func (a *app) Weight() []byte             { return nil }
func (a *app) Compose(*stack.Proposal)    {}
func (a *app) Core(*stack.View) stack.Set { return nil }
func (a *app) Note(text string)           { a.m.say("NOTE %d %s", time.Now().UnixNano(), text) }
func (a *app) Stop()                      { a.queue = append(a.queue, upcall{what: stop}) }
func (a *app) Exit(error)                 { a.queue = append(a.queue, upcall{what: exit}) }
func (a *app) Writable()                  { a.queue = append(a.queue, upcall{what: writable}) }

func (a *app) View(epoch uint64, v *stack.View) {
	a.held = nil
	a.queue = append(a.queue, upcall{what: view, rare: &rare{epoch, v}})
}

func (a *app) Deliver(epoch uint64, m *stack.Msg) {
	buf := m.Buf
	if buf == a.held {
		buf = nil
	} else {
		a.held = buf
		if buf != nil {
			buf.Keep()
		}
	}
	a.queue = append(a.queue, upcall{kind: m.Kind, from: int32(m.From),
		stream: int32(m.Stream), seq: m.Seq, data: m.Data, buf: buf, batch: m.Count > 0})
}

func (a *app) Take() bool {
	a.held = nil
	if a.wipe {
		a.tally, a.wipe = tally{}, false
	}
	a.queue, a.taken = a.taken[:0], a.queue
	a.m.trace.took(a.taken)
	return len(a.taken) > 0
}

// Run calls the handlers.
func (a *app) Run() {
	now := time.Now()
	before := a.count
	for i := range a.taken {
		switch u := &a.taken[i]; u.what {
		case deliver:
			if u.batch {
				a.all(u)
			} else {
				a.message(u)
			}
		case view:
			a.m.viewed(now, u.rare.view)
		case exit:
			a.m.say("EXIT %d", now.UnixNano())
			close(a.m.out)
		case writable:
			select {
			case a.m.room <- struct{}{}:
			default:
			}
			a.m.work.writable()
		}
	}
	if a.count > before {
		a.delivered(now)
	}
}

func (a *app) delivered(now time.Time) {
	if a.first.IsZero() {
		a.first, a.head = now, a.count
	} else if gap := now.Sub(a.last); gap > a.stall {
		a.stall = gap
	}
	a.last = now
}

// all handles a batch.
func (a *app) all(u *upcall) {
	one := &a.one
	*one = *u
	slow := a.m.slow.Load() > 0
	count, bytes, sum := a.count, a.bytes, a.sum
	for all := wire.Frames(u.data); ; {
		kind, data, ok := all.Next()
		if !ok {
			break
		}
		if kind == kindData && !slow && len(data) > 0 { // message, in place for what is the most
			count++
			bytes += uint64(len(data))
			sum += uint64(data[0])
			continue
		}
		a.count, a.bytes, a.sum = count, bytes, sum
		one.kind, one.data = kind, data
		a.message(one)
		count, bytes, sum = a.count, a.bytes, a.sum
	}
	a.count, a.bytes, a.sum = count, bytes, sum
}

// each calls f with each message of u, in one.
func (u *upcall) each(one *upcall, f func(*upcall)) {
	if !u.batch {
		f(u)
		return
	}
	*one = *u
	for all := wire.Frames(u.data); ; {
		var ok bool
		if one.kind, one.data, ok = all.Next(); !ok {
			return
		}
		f(one)
	}
}

// message is the handler of one message.
func (a *app) message(u *upcall) {
	switch u.kind {
	case kindData:
		a.count++
		a.bytes += uint64(len(u.data))
		if len(u.data) > 0 { // nobody sends an empty one, but TestCorrupt's network does
			a.sum += uint64(u.data[0])
		}
		if d := a.m.slow.Load(); d > 0 {
			time.Sleep(time.Duration(d))
		}
	case kindAsk:
		if int(u.from) != a.m.rank() {
			a.m.node.Do(func(g *stack.Group) {
				_ = g.Send(int(u.from), kindReply, u.data, nil)
			})
		}
	case kindReply:
		if len(u.data) >= 8 && binary.LittleEndian.Uint64(u.data) == a.number {
			a.replies++
			if a.replies == a.m.size()-1 {
				a.m.answered <- struct{}{}
			}
		}
	default:
		if u.kind == kindPaced {
			a.count++
			a.bytes += uint64(len(u.data))
		}
		a.m.work.message(u)
	}
}

// follows tells whether u comes in the same stream as another upcall.
func (u *upcall) follows(o *upcall) bool {
	return u.what == deliver && u.stream == o.stream
}

// Done tells the group what has been consumed: of each stream the last.
func (a *app) Done() {
	g := a.m.group
	if !a.wipe {
		a.shown = a.tally
	}
	stopped := false
	for i := range a.taken {
		u := &a.taken[i]
		switch u.what {
		case deliver:
			if i+1 == len(a.taken) || !a.taken[i+1].follows(u) {
				g.Consumed(a.epoch, int(u.stream), u.seq)
			}
			if u.buf != nil {
				u.buf.Drop()
			}
		case view:
			a.epoch = u.rare.epoch
		case stop:
			stopped = true
		}
		*u = upcall{}
	}
	if stopped {
		g.Stopped()
	}
}
