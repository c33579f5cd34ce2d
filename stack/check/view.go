package check

import (
	"fmt"
	"strings"

	"maestro/stack/trace"
	"maestro/wire"
)

// view is what is known of one view while it is open: a seat for each member
// and the messages that were sent or delivered in it.
type view struct {
	first *trace.View // as the first member that accepted it saw it
	seats []seat      // by rank
	ranks map[int32]int
	twins bool // two members have one name

	msgs  []msg
	words int      // of a bit set of ranks
	got   []uint64 // by message: the ranks that have delivered it
	dests []uint64 // by msg.dest: the destinations of messages not for all
	all   []uint64 // every rank

	waiting int  // members that can still do something in it; on-line only
	blocked bool // some member has blocked in it
}

// seat is what one member did in a view.
type seat struct {
	p       *proc
	own     *trace.View // nil if it has not accepted the view
	prev    *view
	next    *view
	settled bool // it is not here any more and will not come; on-line only

	hist     []uint32 // entries, in order
	block    int      // length of hist at the first block, -1 before
	misc     []trace.Event
	tab      table
	sends    []int32 // its multicasts, in order of transmission
	pairs    []int32 // its point-to-point messages, in order of transmission
	lastSend int64

	start, last uint64 // state hashes at acceptance and at last
	reign       *reign
	grade       grade
	wasServer   bool // in its previous view
}

// msg is a message in a view.
type msg struct {
	n      uint64
	hash   uint64
	from   int32 // rank of the sender
	pos    int32 // in the sender's sends or pairs, -1 if its sending is not known
	dest   int32 // index in dests, -1 for all members
	kind   trace.MsgKind
	order  trace.Order
	safety trace.Safety
}

// A history entry is an index with a tag in its low bits: of a message, or of
// one of the seat's other events.
const (
	tagDeliver = iota
	tagSend
	tagStable
	tagMisc
	tagBits = 2
	tagMask = 1<<tagBits - 1
)

func entry(index, tag int) uint32 { return uint32(index)<<tagBits | uint32(tag) }

func (c *Checker) newView(tv *trace.View) *view {
	n := len(tv.Members)
	v := &view{
		first: tv, seats: make([]seat, n), ranks: make(map[int32]int, n),
		words: (n + 63) / 64,
	}
	v.all = make([]uint64, v.words)
	names := make(map[string]bool, n)
	for r, m := range tv.Members {
		p := c.proc(m)
		v.seats[r] = seat{p: p, block: -1}
		v.ranks[p.idx] = r
		setBit(v.all, r)
		v.twins = v.twins || names[m.Name]
		names[m.Name] = true
	}
	return v
}

func (v *view) id() wire.ViewID { return v.first.ID }

// rank is the rank of p, or -1.
func (v *view) rank(p *proc) int {
	if r, ok := v.ranks[p.idx]; ok {
		return r
	}
	return -1
}

// message is the index of the message that e is about, sent by the member of
// rank from; it is made if it is new.
func (v *view) message(from int, e *trace.Event) int32 {
	t := &v.seats[from].tab
	if i := t.get(e.Msg.N); i >= 0 {
		return i
	}
	i := int32(len(v.msgs))
	v.msgs = append(v.msgs, msg{
		n: e.Msg.N, hash: e.Hash, from: int32(from), pos: -1, dest: -1,
		kind: e.MsgKind, order: e.Order, safety: e.Safety,
	})
	for range v.words {
		v.got = append(v.got, 0)
	}
	t.put(e.Msg.N, i)
	return i
}

// gotBy is the set of ranks that have delivered message i.
func (v *view) gotBy(i int32) []uint64 {
	k := int(i) * v.words
	return v.got[k : k+v.words]
}

// destOf is the set of ranks that message m is for.
func (v *view) destOf(m *msg) []uint64 {
	if m.dest < 0 {
		return v.all
	}
	k := int(m.dest) * v.words
	return v.dests[k : k+v.words]
}

// setDest works out the destinations of m from its sending.
func (v *view) setDest(c *Checker, m *msg, e *trace.Event) {
	if e.MsgKind == trace.Cast {
		m.dest = -1
		return
	}
	m.dest = int32(len(v.dests) / v.words)
	for range v.words {
		v.dests = append(v.dests, 0)
	}
	d := v.destOf(m)
	put := func(l []wire.Endpoint) {
		for _, q := range l {
			if r := v.rank(c.proc(q)); r >= 0 {
				setBit(d, r)
			}
		}
	}
	switch e.MsgKind {
	case trace.Pt2pt:
		put([]wire.Endpoint{e.Peer})
		return
	case trace.Scast:
		put(v.first.Servers)
		put(v.first.XferServers)
	}
	put(e.Dests)
}

// msgID is the name of message i.
func (v *view) msgID(i int32) trace.MsgID {
	m := &v.msgs[i]
	return trace.MsgID{Origin: v.seats[m.from].p.id, N: m.n}
}

// around prints what the member of rank r did near its history entry at.
func (v *view) around(r, at, n int) string {
	var b strings.Builder
	s := &v.seats[r]
	lo, hi := max(0, at-n), min(len(s.hist), at+n+1)
	fmt.Fprintf(&b, "  %s in view %s, events %d to %d of %d:\n", s.p.id, v.id(), lo, hi,
		len(s.hist))
	if lo == 0 && s.own != nil {
		fmt.Fprintf(&b, "      view %s\n", s.own)
	}
	for i := lo; i < hi; i++ {
		mark := "    "
		if i == at {
			mark = "  > "
		}
		fmt.Fprintf(&b, "%s  %s\n", mark, v.entry(s, s.hist[i]))
	}
	if hi == len(s.hist) {
		switch {
		case s.next != nil:
			fmt.Fprintf(&b, "      view %s\n", s.next.first)
		case s.p.dead():
			b.WriteString("      gone\n")
		}
	}
	return b.String()
}

// entry prints one history entry.
func (v *view) entry(s *seat, h uint32) string {
	i := int32(h >> tagBits)
	if h&tagMask == tagMisc {
		return strings.TrimSpace(s.misc[i].String())
	}
	what := [...]string{"deliver", "send", "stable"}[h&tagMask]
	return fmt.Sprintf("%s %s %s", what, v.msgID(i), v.msgs[i].kind)
}
