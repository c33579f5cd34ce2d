package clsv

import (
	"encoding/binary"

	"maestro/stack"
)

// What the membership protocol asks of this package.

// Attr is what this member says of itself when the group's view ends.
func (c *core) Attr() []byte {
	a := attr{role: c.opts.Role, place: place{list: inNone, xfer: c.opts.Xfer}, idle: c.idle}
	a.agreed, a.version = c.age(c.cur)
	if c.opts.Role == Client {
		a.place.xfer = NoXfer
	}
	if in := c.cur; in != nil {
		a.place.list, a.place.since = in.me.list, in.me.since
		a.untold = in.roles.lost && !in.entered
		// Who has lost its place gets it back when the application knows.
		a.idle = a.idle || in.me.list == inClients && c.app != in
		if in.me.list == inXfer {
			c.attrXfer(&a)
		}
		if !in.entered && c.app != nil && c.view.State == ServerNormal && in.me.list != inServers {
			a.kept = c.app.roles.lineage
			a.agreed, a.version = c.age(c.app)
		}
	}
	return a.append(nil)
}

// attrXfer adds what a server that transfers says.
func (c *core) attrXfer(a *attr) {
	since := a.place.since
	a.done = c.doneSince == since
	a.expired = c.expiredSince == since && !a.done
	if c.startedSince == since {
		a.progress = c.progress
	}
}

// Exchange tells whether this member wants state messages exchanged.
func (c *core) Exchange() bool { return c.x != nil }

// Compose completes the view that follows.
func (c *core) Compose(p *stack.Proposal) {
	c.composer.compose(p)
	if c.composer.broken != nil {
		c.fail(c.composer.broken)
	}
}

// Core is the servers, normal and transferring, if there are clients too: what
// is for servers does not reach the clients' sockets.
func (c *core) Core(v *stack.View) stack.Set {
	var r roles
	if v.Private || !r.parse(v.Extra, len(v.Members)) || r.count(inServers)+r.count(inXfer) == 0 {
		return nil
	}
	set := make(stack.Set, len(v.Members))
	for i := range r.places {
		set[i] = r.places[i].list != inClients
	}
	return set
}

// Weight is what the group's view weighs in a merge. It is the same for the
// whole life of the view, so that two sides do not change their minds.
func (c *core) Weight() []byte { return c.weight }

func (c *core) weigh() {
	r, v := &c.cur.roles, c.cur.view
	n := r.count(inServers)
	w := append(c.weight[:0:0], bit(n > 0, 1), bit(!r.tainted, 1))
	w = append(binary.BigEndian.AppendUint64(w, r.agreed), bit(v.Primary, 1))
	w = binary.BigEndian.AppendUint64(w, r.version)
	w = binary.BigEndian.AppendUint16(w, uint16(n))
	c.weight = binary.BigEndian.AppendUint16(w, uint16(len(v.Members)))
}

// Entered reports whether the application will accept the group's view, or has.
// While it is not certain, because state messages are being exchanged, the view
// should not be merged with others.
func (c *core) Entered() bool { return c.cur == nil || c.cur.entered || c.leaving }
