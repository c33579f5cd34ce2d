package clsv

import (
	"bytes"
	"encoding/binary"

	"maestro/stack"
	"maestro/stack/trace"
)

// exchange is the round of state messages before a view: every member sends its
// own to the coordinator, who makes the view message of them.
//
// Applications may be slow, but not for ever: state messages that have not come
// after BlockTimeout count as empty, and so does the view message after as much
// again. The coordinator sees to both, also while its own application is busy.
type exchange struct {
	msgs [][]byte // at the coordinator, by rank
	got  []bool
	left int
	told bool // the view message is on its way
	// until is when the coordinator stops waiting.
	until stack.Time
}

// changed sends this member's state message to the coordinator.
func (c *core) changed(ev *event) {
	if c.x != nil && ev.view != nil && c.failure == nil {
		c.record(&trace.Event{Kind: trace.Changing, View: ev.in.traced(ev.view, nil),
			Hash: hashOf(ev.data)})
	}
	if ev.in != c.cur || c.over {
		return
	}
	if ev.in.view.Rank == 0 {
		c.collect(ev.in, 0, ev.data)
	} else {
		c.tell(0, kindStateMsg, ev.data)
	}
}

// collect takes a member's state message, at the coordinator.
func (c *core) collect(in *intake, from int, msg []byte) {
	x := in.exchange
	if x.msgs == nil {
		n := len(in.view.Members)
		x.msgs, x.got, x.left = make([][]byte, n), make([]bool, n), n
	}
	if x.got[from] {
		c.stats.LateState++
		return
	}
	x.got[from], x.msgs[from] = true, msg
	if x.left--; x.left == 0 {
		c.push(item{op: opPropose, ev: &event{in: in, msgs: x.msgs}})
	}
}

// patience is when the coordinator stops waiting for the exchange.
func (c *core) patience() stack.Time {
	in := c.cur
	if in == nil || in.exchange == nil || in.exchange.told || in.view.Rank != 0 || c.leaving {
		return stack.Never
	}
	return in.exchange.until
}

// hurry goes on without what has not come.
func (c *core) hurry() {
	in, x := c.cur, c.cur.exchange
	c.Note("state messages or view message not in time")
	if x.msgs != nil && x.left == 0 {
		x.told = true
		c.tell(stack.All, kindViewMsg, nil)
		return
	}
	x.until = x.until.Add(c.group.Config().BlockTimeout)
	for r := range in.view.Members {
		if x.msgs == nil || !x.got[r] {
			c.collect(in, r, nil)
		}
	}
}

// proposed casts the view message, the first message of the view.
func (c *core) proposed(ev *event) {
	x := ev.in.exchange
	if x.told {
		return // too late
	}
	x.told = true
	if c.x != nil && ev.view != nil && c.failure == nil {
		c.record(&trace.Event{Kind: trace.Propose, View: ev.in.traced(ev.view, nil),
			Count: uint64(len(ev.msgs)), Hash: hashOf(ev.data)})
	}
	if ev.in == c.cur && !c.over {
		c.tell(stack.All, kindViewMsg, ev.data)
	}
}

// agreed takes the view message: the view can be entered.
func (c *core) agreed(from int, msg []byte) {
	in := c.cur
	if from != 0 || in.exchange == nil || in.entered {
		c.stats.Malformed++
		return
	}
	c.enter(in, bytes.Clone(msg))
}

// internal handles a message of our own, and reports whether it is to be kept
// for the application.
func (c *core) internal(in *intake, kind uint8, it *item) bool {
	from := int(it.from)
	if c.leaving && kind <= kindViewMsg {
		return false
	}
	if it.sends != (kind != kindViewMsg && kind != kindInstalled) {
		c.stats.Malformed++
		return false
	}
	switch kind {
	case kindStateMsg:
		if in.exchange == nil || in.view.Rank != 0 {
			c.stats.Malformed++
			return false
		}
		c.collect(in, from, bytes.Clone(it.data))
	case kindViewMsg:
		c.agreed(from, it.data)
	case kindInstalled:
		c.installed(from)
	case kindRequest:
		if in.view.Rank == 0 {
			c.requested()
		}
	case kindAsk, kindState:
		id, n := binary.Uvarint(it.data)
		if n <= 0 {
			c.stats.Malformed++
			return false
		}
		it.xfer, it.data = id, it.data[n:]
		return c.stateMessage(in, kind, it)
	default:
		c.stats.Malformed++
	}
	return false
}

// build makes the application's view of a view of the group.
func (c *core) build(in *intake) *View {
	g := in.view
	cfg := c.group.Config()
	v := &View{GroupView: GroupView{Group: g.Group, ID: g.ID, Members: g.Endpoints(), Me: c.self,
		MyRank: g.Rank, Primary: g.Primary, Protocol: cfg.StackName},
		MyXferType: c.opts.Xfer, MyMbrshipType: c.opts.Role, ViewType: in.typ, MyServerRank: -1,
		SourcesLost: in.roles.lost, Lineage: in.roles.lineage, Version: in.roles.version}
	for _, l := range cfg.Layers {
		v.Properties |= l.Gives
	}
	v.Coordinator = v.Members[0]
	for r, p := range in.roles.places {
		e := v.Members[r]
		switch p.list {
		case inServers:
			if r == v.MyRank {
				v.MyServerRank = len(v.Servers)
			}
			v.Servers = append(v.Servers, e)
		case inXfer:
			v.XferServers = append(v.XferServers, e)
			v.XferStarts = append(v.XferStarts, p.since)
		default:
			v.Clients = append(v.Clients, e)
		}
	}
	if len(v.Servers) > 0 {
		v.ServerCoordinator = v.Servers[0]
	}
	v.compare(c.view)
	v.State = c.stateIn(in)
	v.StartXfer = v.State == ServerXfer && in.me.since != c.startedSince
	return v
}

// stateIn is this member's state in a view.
func (c *core) stateIn(in *intake) State {
	switch {
	case in.me.list == inServers:
		return ServerNormal
	case in.me.list == inXfer && in.me.since == c.doneSince:
		return ServerXferDone
	case in.me.list == inXfer:
		return ServerXfer
	case c.opts.Role == Server:
		return BecomingServer
	}
	return ClientNormal
}

// accept begins a view for the application. What waited for the view goes out
// before the application's AcceptedView can send anything.
func (c *core) accept(ev *event) {
	in, old := ev.in, c.view
	v := c.build(in)
	ev.view = v
	ev.degraded = c.degrade(old, v, in)
	c.app, c.view = in, v
	c.countView(in, v)
	c.enterTransfer(in, v)
	if c.opts.HeartbeatEvery > 0 && c.beatAt == stack.Never {
		c.beatAt = c.group.Now().Add(c.opts.HeartbeatEvery)
	}
	if c.failure == nil {
		t := in.traced(v, ev.data)
		if old == nil && in.view.Prev.IsZero() || old != nil && old.ID == in.view.Prev {
			for r, with := range in.view.Together {
				if with {
					t.Trans = append(t.Trans, v.Members[r])
				}
			}
		}
		e := trace.Event{Kind: trace.ViewEvent, View: t}
		if c.hash != nil {
			c.run(func() { e.AppState = c.hash.StateHash() })
		}
		c.record(&e)
	}
	if v.SourcesLost && v.State == ServerXfer && c.opts.SourcesLost == Fail {
		c.cause = ErrSourcesLost
		c.todo |= doLeave
	}
	c.opts.Logger.Info("view", "group", v.Group, "member", c.self.String(), "view", v.ID.String(),
		"members", len(v.Members), "servers", len(v.Servers), "transferring",
		len(v.XferServers), "state", v.State.String())
	c.late()
	c.release()
	if in == c.cur && in.me.list == inClients && c.wants() {
		c.todo |= doRequest
	}
}

// accepted is called when the first AcceptedView, or a later one, has returned.
func (c *core) accepted() {
	select {
	case <-c.joined:
	default:
		close(c.joined)
	}
}

// traced is a view in terms of the trace.
func (in *intake) traced(v *View, viewMsg []byte) *trace.View {
	t := &trace.View{ID: v.ID, Members: v.Members, ClSv: true, Servers: v.Servers,
		XferServers: v.XferServers, Clients: v.Clients, ViewType: trace.Xfer(v.ViewType),
		ServerCoord: v.ServerCoordinator, Lineage: v.Lineage, SourcesLost: v.SourcesLost,
		MemberChange:   trace.Change{New: v.NewMembers, Departed: v.DepartedMembers},
		ServerChange:   trace.Change{New: v.NewServers, Departed: v.DepartedServers},
		XferChange:     trace.Change{New: v.NewXferServers, Departed: v.DepartedXferServers},
		ClientChange:   trace.Change{New: v.NewClients, Departed: v.DepartedClients},
		OldServerCoord: v.OldServerCoordinator, ServerRank: v.MyServerRank,
		OldServerRank: v.MyOldServerRank, State: v.State.traced(), OldState: v.OldState.traced(),
		StartXfer: v.StartXfer}
	t.ViewMsg = hashOf(viewMsg)
	return t
}

// hashOf is the hash of a state or view message, 0 if it is empty.
func hashOf(msg []byte) uint64 {
	if len(msg) == 0 {
		return 0
	}
	return trace.Hash(msg)
}
