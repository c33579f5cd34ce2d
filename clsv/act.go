package clsv

import (
	"errors"
	"time"

	"maestro/stack"
	"maestro/stack/trace"
)

// gather is how long the coordinator waits for more servers to finish their
// transfers before it makes a view for those that have.
const gather = 10 * time.Millisecond

// Timed is what a stack.Runner may also be: a driver then calls Expire, with
// the group locked and between inputs, when Next has come, whether or not a
// callback is running. After Expire, Next is later than now.
type Timed interface {
	Next() stack.Time
	Expire(now stack.Time)
}

var (
	_ stack.Runner = (*core)(nil)
	_ Timed        = (*core)(nil)
)

// Next is when Expire wants to be called.
func (c *core) Next() stack.Time {
	if c.closed {
		return stack.Never
	}
	if c.over {
		return c.hastenAt
	}
	if c.todo != 0 {
		return 0
	}
	return min(c.beatAt, c.gatherAt, c.deadline(), c.patience(), c.timers.next())
}

// Expire does what waits or is due.
func (c *core) Expire(now stack.Time) {
	if c.over && c.hastenAt <= now {
		c.hastenAt = stack.Never
		c.hasten.Store(true)
	}
	if c.over || c.closed {
		return
	}
	if c.beatAt <= now {
		c.beatAt = now.Add(c.opts.HeartbeatEvery)
		if !c.beating {
			c.beating = true
			c.push(item{op: opHeartbeat})
		}
	}
	c.ring(now)
	if c.gatherAt <= now {
		c.todo |= doView
	}
	if c.patience() <= now {
		c.hurry()
	}
	if c.deadline() <= now {
		c.expiredSince = c.app.me.since
		c.stats.XferExpired++
		c.Note("state transfer made no progress in time")
		c.todo |= doRequest
	}
	c.act()
}

// act does what waits to be done. What it does may lead to more.
func (c *core) act() {
	for c.todo != 0 && !c.closed {
		t := c.todo
		c.todo = 0
		if c.over {
			t &= doSignal
		}
		if t&doStop != 0 {
			c.group.Stopped()
		}
		if t&doUrgent != 0 {
			c.sendUrgent()
		}
		if t&doRequest != 0 {
			c.request()
		}
		if t&doView != 0 {
			c.gatherAt = stack.Never
			c.group.RequestView("roles")
		}
		if t&doRelease != 0 {
			c.release()
			c.sendUrgent()
		}
		if t&doLeave != 0 {
			_ = c.leave(c.cause)
		}
		if (t|c.todo)&doSignal != 0 && c.room != nil {
			c.todo &^= doSignal
			close(c.room)
			c.room = nil
		}
	}
}

// tell queues a message of our own in the group's view.
func (c *core) tell(to int, kind uint8, data []byte) {
	c.urgent = append(c.urgent, urgent{c.cur.epoch, to, kind, data})
	c.todo |= doUrgent
}

// sendUrgent sends our own messages, as far as there is room. What a flush is
// too early for is void: the next view makes it anew.
func (c *core) sendUrgent() {
	for len(c.urgent) > 0 {
		u := c.urgent[0]
		if u.epoch == c.group.Epoch() {
			var err error
			if u.to == stack.All {
				err = c.group.Cast(u.kind, nil, u.data)
			} else {
				err = c.group.Send(u.to, u.kind, nil, u.data)
			}
			if errors.Is(err, stack.ErrWouldBlock) {
				return // Writable comes
			}
			c.sentUrgent(&u, err)
		}
		if len(c.urgent) == 0 {
			return // a view came in between
		}
		c.urgent = c.urgent[1:]
	}
}

func (c *core) sentUrgent(u *urgent, err error) {
	switch {
	case errors.Is(err, stack.ErrTooLarge):
		c.Note("state or view message too large, sent empty")
		u.data = nil
		c.tell(u.to, u.kind, nil)
	case err != nil:
	case u.kind == kindViewMsg && c.opts.NoLocal:
		c.agreed(0, u.data)
	case u.kind == kindInstalled && c.opts.NoLocal:
		c.installed(c.cur.view.Rank)
	}
}

// wants reports whether this member needs a new view for itself: its transfer
// is done, or over its deadline, and the group's view does not know yet; or it
// has lost its place and wants it back.
func (c *core) wants() bool {
	me := c.cur.me
	switch me.list {
	case inXfer:
		return me.since == c.doneSince || me.since == c.expiredSince
	case inClients:
		return c.opts.Role == Server && (c.again || c.opts.Xfer == NoXfer)
	}
	return false
}

// request asks the coordinator for a new view, unless one is under way: then
// what this member wants is part of it, or is asked for again in the next.
func (c *core) request() {
	if c.cur == nil || c.cur.stopping || !c.wants() {
		return
	}
	if c.cur.view.Rank == 0 {
		c.requested()
	} else {
		c.tell(0, kindRequest, nil)
	}
}

// requested counts a request, at the coordinator. It waits for others that are
// likely to come: those of all who transfer.
func (c *core) requested() {
	in := c.cur
	in.requests++
	if in.stopping {
		return
	}
	now := c.group.Now()
	if in.requests >= in.roles.count(inXfer) {
		c.todo |= doView
		return
	}
	if c.gatherAt == stack.Never {
		c.gatherAt = now.Add(gather)
	}
}

// record stamps an event and hands it on. The group is locked.
func (c *core) record(e *trace.Event) {
	if c.rec != nil {
		c.recordAt(e, c.group.Now())
	}
}

func (c *core) recordAt(e *trace.Event, now stack.Time) {
	e.Time, e.P = int64(now), c.self
	c.rec.Record(e)
}
