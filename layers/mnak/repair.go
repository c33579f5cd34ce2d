package mnak

import (
	"maestro/stack"
	"maestro/wire"
)

// repair sends again what a peer lacks and this member has.
func (l *layer) repair(to int, n *wire.Nak) {
	if s := &l.streams[n.Stream]; s.to == stack.Core && !l.View().InCore(to) {
		l.Counters().Malformed++
		return
	}
	gap := int64(l.Config().Retry) * 3 / 4
	ans := answer{layer: l, to: to}
	log := l.logOf(n.Stream)
	for _, sp := range n.Spans {
		for seq := sp.From; seq <= sp.To && ans.total < maxAnswer; seq++ {
			body := l.body(n.Stream, log, seq)
			if body == nil {
				break
			}
			if log == nil {
				l.Counters().RepairsForeign++
				ans.add(n.Stream, seq, body)
				continue
			}
			send, all := log.Again(seq, int64(l.Now()), gap, to)
			switch {
			case !send:
				l.Counters().RepairsHushed++
			case all:
				ans.cast(n.Stream, seq, body)
			default:
				ans.add(n.Stream, seq, body)
			}
		}
	}
	ans.flush()
}

// logOf is the log of one of our own streams, nil of another's.
func (l *layer) logOf(stream int) *wire.Log {
	if !l.ours(stream) {
		return nil
	}
	return l.Logs()[stream/l.N()]
}

// body finds a segment's body, or nil.
func (l *layer) body(stream int, log *wire.Log, seq uint64) []byte {
	if log == nil {
		return l.streams[stream].win.Get(seq)
	}
	if seq > log.Sent() {
		return nil
	}
	return log.Body(seq)
}

// answer gathers repairs of one length into runs, so that they leave in bursts.
type answer struct {
	*layer
	to    int
	seg   int
	total int
}

func (a *answer) add(stream int, seq uint64, body []byte) {
	n := wire.HeaderLen + len(body)
	if a.seg != n || len(a.buf)+n > 60000 {
		a.flush()
		a.seg = n
	}
	a.buf = a.put(a.buf, stream, seq, body)
	a.total += n
	a.Counters().Repairs++
}

// cast sends a segment again to all whom the stream is for: more than one
// lacks it.
func (a *answer) cast(stream int, seq uint64, body []byte) {
	a.flush()
	b := a.put(nil, stream, seq, body)
	a.Wire().Burst(a.streams[stream].to, b, len(b))
	a.total += len(b)
	a.Counters().Repairs++
}

func (a *answer) put(b []byte, stream int, seq uint64, body []byte) []byte {
	conn, _ := a.Conn()
	h := wire.Header{Kind: wire.KindRepair, Sender: uint16(a.Me()), Low: uint16(stream),
		Conn: conn, Seq: seq}
	return append(h.Append(b), body...)
}

func (a *answer) flush() {
	if a.seg > 0 && len(a.buf) > 0 {
		a.Wire().Burst(a.to, a.buf, a.seg)
	}
	a.buf, a.seg = a.buf[:0], 0
}
