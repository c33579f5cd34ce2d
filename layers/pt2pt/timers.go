package pt2pt

import (
	"math"

	"maestro/stack"
	"maestro/wire"
)

func (l *layer) arm(i *in) {
	soon := l.Now().Add(max(l.Config().Reorder, 1))
	if i.nakAt == stack.Never || i.win.High() > i.asked && i.nakAt > soon {
		i.nakAt = soon
		l.wake(soon)
	}
}

func (l *layer) wake(t stack.Time) { l.SetDeadline(min(t, l.Deadline())) }

// Expire repeats marks and naks.
func (l *layer) Expire() {
	now := l.Now()
	for r := range l.outs {
		if o := &l.outs[r]; o.markAt <= now {
			l.mark(r, o)
		}
		if i := &l.ins[r]; i.nakAt <= now {
			l.ask(r, i)
		}
		l.wake(min(l.outs[r].markAt, l.ins[r].nakAt))
	}
}

func (l *layer) mark(r int, o *out) {
	o.markAt = stack.Never
	if o.log == nil || o.consumed == o.log.Sent() && !o.log.Pending() {
		return
	}
	m := wire.Mark{Sent: o.log.Sent(), Stable: o.received}
	l.buf = m.Append(l.buf[:0])
	l.SendControl(r, wire.KindSendMark, 0, l.buf)
	o.wait = min(o.wait*2, maxMark)
	o.markAt = l.Now().Add(o.wait)
}

func (l *layer) ask(r int, i *in) {
	i.nakAt = stack.Never
	if i.win == nil || !i.win.Open() || l.failed[r] {
		return
	}
	l.nak.Stream = r
	l.nak.Spans = i.win.Gaps(l.nak.Spans[:0], math.MaxUint64)
	i.asked = i.win.High()
	wait := l.Config().Retry
	for range min(i.tries, 12) {
		wait = min(wait*3/2, maxRetry)
	}
	i.tries++
	i.nakAt = l.Now().Add(wait)
	l.Counters().NaksOut++
	l.buf = l.nak.Append(l.buf[:0])
	l.SendControl(r, wire.KindSendNak, 0, l.buf)
}

// remind sets the time of the next mark.
func (l *layer) remind(o *out) {
	if o.log.Sent() > o.seen || o.log.Pending() && o.markAt == stack.Never {
		o.seen = o.log.Sent()
		o.wait = l.Config().Retry / 2
		o.markAt = l.Now().Add(o.wait)
		l.wake(o.markAt)
	}
}
