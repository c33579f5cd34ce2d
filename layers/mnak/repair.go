package mnak

import (
	"maestro/stack"
	"maestro/wire"
)

// repair sends again what a peer lacks and this member has.
func (l *layer) repair(to int, n *wire.Nak) {
	gap := int64(l.Config().Retry) * 3 / 4
	ans := answer{layer: l, to: to}
	for _, sp := range n.Spans {
		for seq := sp.From; seq <= sp.To && ans.total < maxAnswer; seq++ {
			body := l.body(n.Origin, seq)
			if body == nil {
				break
			}
			if n.Origin != l.Me() {
				l.Counters().RepairsForeign++
				ans.add(n.Origin, seq, body)
				continue
			}
			send, all := l.Log().Again(seq, int64(l.Now()), gap, to)
			switch {
			case !send:
				l.Counters().RepairsHushed++
			case all:
				ans.cast(n.Origin, seq, body)
			default:
				ans.add(n.Origin, seq, body)
			}
		}
	}
	ans.flush()
}

// body finds a segment's body, or nil.
func (l *layer) body(origin int, seq uint64) []byte {
	if origin != l.Me() {
		return l.streams[origin].win.Get(seq)
	}
	if seq > l.Log().Sent() {
		return nil
	}
	if b := l.Log().Segment(seq); b != nil {
		return b[wire.HeaderLen:]
	}
	return nil
}

// answer gathers repairs of one length into runs, so that they leave in bursts.
type answer struct {
	*layer
	to    int
	seg   int
	total int
}

func (a *answer) add(origin int, seq uint64, body []byte) {
	n := wire.HeaderLen + len(body)
	if a.seg != n || len(a.buf)+n > 60000 {
		a.flush()
		a.seg = n
	}
	a.buf = a.put(a.buf, origin, seq, body)
	a.total += n
	a.Counters().Repairs++
}

// cast sends a segment again to all: more than one lacks it.
func (a *answer) cast(origin int, seq uint64, body []byte) {
	a.flush()
	b := a.put(nil, origin, seq, body)
	a.Wire().Burst(stack.All, b, len(b))
	a.total += len(b)
	a.Counters().Repairs++
}

func (a *answer) put(b []byte, origin int, seq uint64, body []byte) []byte {
	conn, _ := a.Conn()
	h := wire.Header{Kind: wire.KindRepair, Sender: uint16(a.Me()), Low: uint16(origin),
		Conn: conn, Seq: seq}
	var hdr [wire.HeaderLen]byte
	h.Put(hdr[:])
	return append(append(b, hdr[:]...), body...)
}

func (a *answer) flush() {
	if a.seg > 0 && len(a.buf) > 0 {
		a.Wire().Burst(a.to, a.buf, a.seg)
	}
	a.buf, a.seg = a.buf[:0], 0
}
