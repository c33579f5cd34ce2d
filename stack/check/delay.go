package check

import (
	"slices"

	"maestro/stack/trace"
)

// delay is the queue of a member's messages that have been submitted and not
// yet sent.
type delay struct {
	queue []waiting
	count uint64 // submissions so far
	views uint64 // views accepted so far
	// due is the number of queued messages that were there when the current
	// view was accepted and that it lets go.
	due     int
	last    [2][4]uint64 // last submission sent: multicast or not, by safety
	dropped bool
}

// waiting is one queued message.
type waiting struct {
	n      uint64
	number uint64 // of the submission, from 1
	view   uint64 // number of views accepted before the submission
	safety trace.Safety
	due    bool
	pair   bool
	time   int64
}

func (d *delay) submit(e *trace.Event) {
	d.count++
	d.queue = append(d.queue, waiting{
		n: e.Msg.N, number: d.count, view: d.views, safety: e.Safety.Level(),
		pair: e.MsgKind == trace.Pt2pt, time: e.Time,
	})
}

// take removes message n from the queue.
func (d *delay) take(n uint64) (waiting, bool) {
	for i, w := range d.queue {
		if w.n == n {
			d.queue = slices.Delete(d.queue, i, i+1)
			if w.due {
				d.due--
			}
			return w, true
		}
	}
	return waiting{}, false
}

// dueBefore counts the messages that are due and come before message n.
func (d *delay) dueBefore(n uint64) int {
	if d.due == 0 {
		return 0
	}
	k := 0
	for _, w := range d.queue {
		if w.n == n {
			break
		}
		if w.due {
			k++
		}
	}
	return k
}

// released checks the sending of a message against the queue: CS8, CS9, CS10.
func (c *Checker) released(p *proc, e *trace.Event) {
	d := &p.delay
	level := e.Safety.Level()
	if t := p.cur.first.ViewType; level < trace.Safety(t) {
		c.local("CS8", p, e, "%s message sent in a %s view", level, t)
	}
	before := d.dueBefore(e.Msg.N)
	w, ok := d.take(e.Msg.N)
	if !ok {
		return // submissions are not recorded
	}
	if before > 0 {
		c.local("CS9", p, e, "sent before %d messages that waited for this view", before)
		d.due = 0
		for i := range d.queue {
			d.queue[i].due = false
		}
	}
	k := 0
	if w.pair {
		k = 1
	}
	if last := &d.last[k][level&3]; w.number < *last {
		c.local("CS10", p, e, "sent after a later one of the same safety")
	} else {
		*last = w.number
	}
}

// delayedAt takes the acceptance of the next view. What was due in the old one
// may be so still: p may have accepted that one when its flush had begun
// already, or there was no room. It must not be overtaken then, nor wait at the
// end.
func (c *Checker) delayedAt(p *proc, e *trace.Event) {
	d := &p.delay
	if d.dropped {
		c.local("CS9", p, e, "dropped a message and stays in the group")
		d.dropped = false
	}
	d.views++
	d.due = 0
	for i := range d.queue {
		w := &d.queue[i]
		w.due = w.safety >= trace.Safety(e.View.ViewType)
		if w.due {
			d.due++
		}
	}
}

// stuck counts the queued messages that p could have sent for longer than the
// bound and has not: lost, or forgotten.
func (c *Checker) stuck(p *proc, since int64) int {
	n := 0
	for _, w := range p.delay.queue {
		if w.safety >= trace.Safety(p.own.ViewType) &&
			c.end-max(w.time, p.viewTime, since) > int64(c.opts.Bound) {
			n++
		}
	}
	return n
}

// drop takes the report that a message was given up. That is right for a
// point-to-point message whose destination has gone, and at the end.
func (c *Checker) drop(p *proc, e *trace.Event) {
	w, ok := p.delay.take(e.Msg.N)
	if !ok && p.sent.has(e.Msg.N) && c.opts.ClSv {
		c.local("CS9", p, e, "dropped after it was sent")
	}
	if ok && !w.pair {
		p.delay.dropped = true
	}
}

// unreported checks that a member that exits has sent or given up all that it
// submitted.
func (c *Checker) unreported(p *proc, e *trace.Event) {
	if n := len(p.delay.queue); n > 0 && c.opts.ClSv {
		c.local("CS9", p, e, "exits with %d messages neither sent nor reported", n)
	}
}

// gate is CS8 for the receiver that shows it first; the view as a whole is
// judged later.
func (c *Checker) gate(p *proc, m *msg, e *trace.Event) {
	if e.Safety != 0 && m.safety != 0 && e.Safety != m.safety {
		c.local("CS8", p, e, "safety %s, sent with %s", e.Safety, m.safety)
	}
}
