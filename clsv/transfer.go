package clsv

import (
	"encoding/binary"
	"time"

	"maestro/stack"
	"maestro/stack/trace"
)

// transfer is this member's part in state transfers. A transfer is named by the
// logical time of the view in which it began: its id, the same at all members.
type transfer struct {
	startedSince uint64 // the transfer last begun here
	toldSince    uint64 // the transfer whose beginning the application knows
	doneSince    uint64 // the transfer last completed here
	expiredSince uint64 // the transfer last given up here
	progress     uint64 // bytes received in startedSince
	moved        stack.Time
	idle         bool // given up: not a server until RetryTransfer
	again        bool // RetryTransfer was called

	versioned bool // the application keeps the version
	version   uint64

	// asked is, by member, the transfer in which it asked this server last.
	asked map[Endpoint]uint64
}

// degrade tells what a server loses by a view, nil if nothing.
func (c *core) degrade(old, v *View, in *intake) *Degraded {
	if old == nil {
		return nil
	}
	d := &Degraded{View: v.ID, Winner: in.roles.version}
	_, d.Version = c.age(c.app)
	restarted := v.StartXfer && (old.State == ServerXfer || old.State == ServerXferDone)
	switch {
	case old.State == ServerNormal && v.State != ServerNormal, restarted:
		d.Err = ErrMergeLost
		if v.SourcesLost {
			d.Err = ErrSourcesLost
		}
	case old.State == ServerXfer && v.State == BecomingServer:
		d.Err = ErrDeadline
	default:
		return nil
	}
	return d
}

// age is how old this member's state is, in a view, nil for none: see Side.
func (c *core) age(in *intake) (agreed, version uint64) {
	if in != nil {
		agreed, version = in.age()
	}
	if c.versioned {
		version = c.version
	}
	return agreed, version
}

// enterTransfer follows this member's transfer into a view.
func (c *core) enterTransfer(in *intake, v *View) {
	for e := range c.asked {
		if !v.IsXferServer(e) {
			delete(c.asked, e)
		}
	}
	if v.StartXfer {
		c.startedSince, c.progress, c.moved = in.me.since, 0, c.group.Now()
	}
	if len(v.Servers) == 0 {
		c.moved = c.group.Now()
	}
	switch v.State {
	case BecomingServer:
		c.idle = c.idle || c.expiredSince != 0 && c.expiredSince == c.startedSince && !c.again
	case ServerXfer, ServerXferDone, ServerNormal:
		c.idle, c.again = false, false
	}
}

// deadline is when this member's transfer is given up, for want of progress.
func (c *core) deadline() stack.Time {
	if c.opts.XferTimeout < 0 || c.view == nil || c.leaving || c.view.State != ServerXfer ||
		len(c.view.Servers) == 0 {
		return stack.Never
	}
	since := c.app.me.since
	if since == c.doneSince || since == c.expiredSince {
		return stack.Never
	}
	return c.moved.Add(max(c.opts.XferTimeout, time.Nanosecond))
}

// place is where a member is in the view, inNone if nowhere.
func (in *intake) place(e Endpoint) place {
	r := in.view.RankOf(e)
	if r < 0 {
		return place{list: inNone}
	}
	return in.roles.places[r]
}

// transferring reports whether the application transfers, and knows of it: what
// it does just before it is told that its transfer begins again is not about the
// new one.
func (c *core) transferring() bool {
	return c.state() == ServerXfer && c.toldSince == c.app.me.since
}

// mayAsk checks an AskState against the application's view.
func (c *core) mayAsk(server Endpoint) error {
	if !c.transferring() {
		return ErrNotInTransfer
	}
	switch c.app.place(server).list {
	case inNone:
		return ErrNotMember
	case inServers:
		return nil
	}
	return ErrNotServer
}

// maySend checks a SendState against the application's view.
func (c *core) maySend(to Endpoint) error {
	if c.state() != ServerNormal {
		return ErrNotServer
	}
	switch p := c.app.place(to); {
	case p.list == inNone:
		return ErrNotMember
	case p.list != inXfer || c.asked[to] != p.since:
		return ErrNotTransferring
	}
	return nil
}

// stateTransfer submits an AskState or a SendState.
func (c *core) stateTransfer(p *post) (sv SendView, err error) {
	if c.leaving || c.view == nil {
		return sv, ErrNotJoined
	}
	kind := trace.Ask
	if p.state == kindAsk {
		err = c.mayAsk(p.to)
		p.xfer = c.app.me.since
		c.moved = c.group.Now()
	} else {
		kind = trace.SendState
		err = c.maySend(p.to)
		p.xfer = c.asked[p.to]
	}
	if err != nil {
		return SendView{ID: c.view.ID}, err
	}
	p.safety = XferSafe
	if sv, err = c.submit(p); err == nil && c.rec != nil {
		c.recordState(kind, p.to, p.xfer, p.whole())
	}
	if err == nil && p.more {
		c.group.More()
	}
	return sv, err
}

// recordState records what happens to a message of a transfer.
func (c *core) recordState(kind trace.Kind, peer Endpoint, xfer uint64, data []byte) {
	if c.rec != nil {
		c.record(&trace.Event{Kind: kind, Peer: peer, XferID: xfer, Hash: trace.Hash(data)})
	}
}

// stateMessage decides whether a request or a portion of the state is for this
// member as it is in this view.
func (c *core) stateMessage(in *intake, kind uint8, it *item) bool {
	from := in.roles.places[it.from]
	if kind == kindAsk {
		it.op = opAsk
		if in.me.list == inServers && from.list == inXfer && from.since == it.xfer {
			return true
		}
	} else {
		it.op = opState
		if in.me.list == inXfer && in.me.since == it.xfer && from.list == inServers {
			return true
		}
	}
	c.stats.LateState++
	return false
}

// callAsk hands a request to the handler.
func (c *core) callAsk(it *item) {
	origin := c.view.Members[it.from]
	c.do(func(*stack.Group) {
		c.asked[origin] = it.xfer
		c.recordState(trace.AskCb, origin, it.xfer, it.data)
	})
	c.h.AskState(origin, it.data)
}

// callState hands a portion of the state to the handler, unless the transfer is
// over meanwhile.
func (c *core) callState(it *item) {
	origin := c.view.Members[it.from]
	ok := false
	c.do(func(*stack.Group) {
		if c.doneSince == it.xfer || c.expiredSince == it.xfer {
			c.stats.LateState++
			return
		}
		ok = true
		c.progress += uint64(len(it.data))
		c.stats.StateIn += uint64(len(it.data))
		c.moved = c.group.Now()
		c.recordState(trace.RcvState, origin, it.xfer, it.data)
	})
	if ok {
		c.h.RcvState(origin, it.data)
	}
}

// xferDone completes this member's transfer.
func (c *core) xferDone() error {
	if c.leaving || c.over {
		return ErrNotJoined
	}
	if !c.transferring() {
		return ErrNotInTransfer
	}
	c.doneSince = c.app.me.since
	c.stats.XferDone++
	c.record(&trace.Event{Kind: trace.XferDone, XferID: c.doneSince})
	c.todo |= doRequest
	return nil
}

// retry asks for another transfer after one has been given up.
func (c *core) retry() error {
	if c.leaving || c.over {
		return ErrNotJoined
	}
	if c.state() != BecomingServer {
		return ErrNotInTransfer
	}
	c.idle, c.again = false, true
	c.todo |= doRequest
	return nil
}

// stateHead is what precedes the bytes of an AskState or SendState.
func stateHead(b []byte, xfer uint64) []byte { return binary.AppendUvarint(b, xfer) }
