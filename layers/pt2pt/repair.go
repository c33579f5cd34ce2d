package pt2pt

import "maestro/wire"

// repair sends again what the peer lacks.
func (l *layer) repair(to int, n *wire.Nak) {
	o := &l.outs[to]
	total := 0
	for _, sp := range n.Spans {
		for seq := sp.From; seq <= min(sp.To, o.log.Sent()) && total < maxAnswer; seq++ {
			b := o.log.Body(seq)
			if b == nil {
				break
			}
			if send, _ := o.log.Again(seq, int64(l.Now()), int64(l.Config().Retry)*3/4, to); !send {
				l.Counters().RepairsHushed++
				continue
			}
			l.Counters().Repairs++
			l.again(to, seq, b)
			total += wire.HeaderLen + len(b)
		}
	}
}

// again sends a segment once more.
func (l *layer) again(to int, seq uint64, body []byte) {
	conn, _ := l.Conn()
	h := wire.Header{Kind: wire.KindSend, Sender: uint16(l.Me()), Low: uint16(min(seq, 65535)),
		Conn: conn, Seq: seq}
	l.buf = append(h.Append(l.buf[:0]), body...)
	l.Wire().Burst(to, l.buf, len(l.buf))
}
