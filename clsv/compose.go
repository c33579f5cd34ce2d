package clsv

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"

	"maestro/stack"
)

// Side is one of the views that merge, as a merge policy sees it.
type Side struct {
	View ViewID
	// Servers are its normal servers that go on, Members all that go on.
	Servers, Members int
	// Whole says that its state was not begun by a server that had lost its
	// sources in the middle of a transfer.
	Whole   bool
	Primary bool
	// Agreed is the logical time of the last primary view that is known to have been
	// installed by a quorum and that the state comes from, 0 if there is none or no
	// Options.Quorum. Version is the state's version, see SetStateVersion. Both are
	// those of the normal server for which they are the largest, in this order.
	Agreed, Version uint64
	Lineage         uint64
}

// MergePolicy compares two sides of a merge: the state of the larger one is
// kept, the servers of the others get it. It must be a total order, and equal
// at all members. It is called with the group locked: it must be quick, and make no
// downcalls. If it panics, PreferOlder decides, as if this member, which then leaves
// with ErrPanic, were no server.
type MergePolicy func(a, b Side) int

// PreferOlder is the default merge policy. It prefers, in this order: normal
// servers, a whole state, the later view that a quorum agreed on, the primary view,
// the higher state version, more servers, more members, the larger view id.
func PreferOlder(a, b Side) int {
	return cmp.Or(
		rank(a.Servers > 0, b.Servers > 0),
		rank(a.Whole, b.Whole),
		cmp.Compare(a.Agreed, b.Agreed),
		rank(a.Primary, b.Primary),
		cmp.Compare(a.Version, b.Version),
		cmp.Compare(a.Servers, b.Servers),
		cmp.Compare(a.Members, b.Members),
		a.View.Compare(b.View))
}

func rank(a, b bool) int { return int(bit(a, 1)) - int(bit(b, 1)) }

// composer makes the lists of the view that follows.
type composer struct {
	self   Endpoint
	policy MergePolicy
	lost   SourcesLost
	quorum int
	broken error // the policy has panicked
}

// party is one of the views that end.
type party struct {
	Side
	roles roles
	// had says that it had normal servers, of which perhaps none goes on.
	had bool
	// entered says that the members' applications accept it before the next.
	entered bool
	mine    bool // this member is one of its servers
}

// joint is a member of the next view and where it comes from.
type joint struct {
	attr
	party   int
	private bool // it comes from no view: it joins
	known   bool
}

// compose completes a proposal.
func (c *composer) compose(p *stack.Proposal) {
	parties, joints := c.read(p)
	p.Next.Primary = c.quorum == 0 || len(p.Next.Members) >= c.quorum
	r := c.roles(p.Next.ID, parties, joints)
	views := 0
	for i := range p.Parties {
		if p.Parties[i].Private {
			r.joined = true
		} else {
			views++
		}
	}
	r.merged = views > 1
	p.Next.Extra = r.append(nil)
}

// read takes in what the parties and their members say.
func (c *composer) read(p *stack.Proposal) ([]party, []joint) {
	parties := make([]party, len(p.Parties))
	found := make(map[Endpoint]joint, len(p.Next.Members))
	for i := range p.Parties {
		in, q := &p.Parties[i], &parties[i]
		q.View, q.Members = in.View, len(in.Members)
		if !in.Private {
			q.roles.parse(in.Extra, -1)
		}
		q.had = q.roles.count(inServers) > 0
		q.entered = in.Begun // with its view message, if there is one
		q.Lineage, q.Whole = q.roles.lineage, !q.roles.tainted
		q.Primary = !in.Private && (c.quorum == 0 || len(q.roles.places) >= c.quorum)
		for _, m := range in.Members {
			j := joint{party: i, private: in.Private, known: true}
			j.parse(m.Attr)
			if j.private {
				j.place.list = inNone
			}
			if j.serves() {
				q.Servers++
				q.see(j.agreed, j.version)
				q.mine = q.mine || m.ID == c.self
			}
			found[m.ID] = j
		}
	}
	joints := make([]joint, len(p.Next.Members))
	for i := range joints {
		j := &joints[i]
		*j = found[p.Next.Members[i].ID]
		if j.known && parties[j.party].entered {
			j.kept, j.untold = 0, false // its application hears of the view in time
		}
	}
	return parties, joints
}

// see takes in how old the state of one of a side's servers is.
func (s *Side) see(agreed, version uint64) {
	if cmp.Or(cmp.Compare(agreed, s.Agreed), cmp.Compare(version, s.Version)) > 0 {
		s.Agreed, s.Version = agreed, version
	}
}

// serves reports whether the member has the state of its party.
func (j *joint) serves() bool {
	return j.role == Server && (j.place.list == inServers || j.place.list == inXfer && j.done)
}

// roles decides who is what in the view with an id.
func (c *composer) roles(id ViewID, parties []party, joints []joint) roles {
	r := roles{places: make([]place, len(joints))}
	win := c.winner(parties)
	if win >= 0 {
		w := &parties[win]
		r.lineage, r.tainted = w.Lineage, !w.Whole
		r.agreed, r.version = w.Agreed, w.Version
	}
	for i := range joints {
		r.places[i] = joints[i].next(win, id.Ltime)
	}
	if win < 0 {
		c.begin(id, &r, parties, joints)
	}
	for i := range joints {
		r.lost = r.lost || joints[i].untold && (win < 0 || joints[i].party == win)
	}
	return r
}

// winner is the party whose state goes on, -1 if nobody has any. When the policy
// panics this member is about to leave: its state does not count.
func (c *composer) winner(parties []party) int {
	sound := c.broken == nil
	win := c.largest(parties)
	if sound && c.broken != nil {
		for i := range parties {
			parties[i].Servers -= int(bit(parties[i].mine, 1))
		}
		win = c.largest(parties)
	}
	return win
}

func (c *composer) largest(parties []party) int {
	win := -1
	for i := range parties {
		if parties[i].Servers > 0 && (win < 0 || c.prefer(parties[i].Side, parties[win].Side) > 0) {
			win = i
		}
	}
	return win
}

// prefer asks the policy; one that has panicked is not asked again.
func (c *composer) prefer(a, b Side) (n int) {
	if c.broken != nil {
		return PreferOlder(a, b)
	}
	defer func() {
		if r := recover(); r != nil {
			c.broken, n = panicked(r), PreferOlder(a, b)
		}
	}()
	return c.policy(a, b)
}

// next is the place of a member where the state of party win goes on, or of
// nobody.
func (j *joint) next(win int, now uint64) place {
	p := place{xfer: j.place.xfer}
	switch {
	case j.role == Client:
	case j.xferNone():
		// Without a transfer it keeps its state, but not its place, when it is
		// on the losing side: it is a server again in the view after.
		if !j.idle && (j.party == win || win < 0 || j.place.list != inServers) {
			p.list = inServers
		}
	case j.party == win && j.serves():
		p.list = inServers
	case j.expired && j.place.list == inXfer, j.idle:
	case j.place.list == inXfer && (j.party == win || win < 0):
		p.list, p.since = inXfer, j.place.since
	default:
		p.list, p.since = inXfer, now
	}
	return p
}

func (j *joint) xferNone() bool { return j.place.xfer == NoXfer }

// begin deals with a view whose servers have no state to go on with: either
// there never was one, or those who had it are gone.
func (c *composer) begin(id ViewID, r *roles, parties []party, joints []joint) {
	best, waiting, had := -1, 0, false
	for i := range parties {
		had = had || parties[i].had
	}
	for i := range joints {
		if r.places[i].list != inXfer && joints[i].kept == 0 {
			continue
		}
		if joints[i].place.list == inXfer {
			waiting++
		}
		if best < 0 || joints[i].fuller(&joints[best]) {
			best = i
		}
	}
	if best < 0 {
		if r.count(inServers) > 0 {
			r.lineage = lineage(id)
		}
		return
	}
	b := &joints[best]
	r.lost = waiting > 0 || had
	switch {
	case b.kept != 0: // it is a server still, as far as it knows
		r.lost = waiting > 1 || waiting == 1 && b.place.list != inXfer
		r.lineage, r.agreed, r.version = b.kept, b.agreed, b.version
	case r.lost && c.lost != Promote:
		return
	case r.lost:
		r.lineage, r.tainted = lineage(id), true
	case r.count(inServers) > 0:
		r.lineage = lineage(id)
		return // a server without transfer is there to ask
	default:
		r.lineage, r.agreed, r.version = lineage(id), b.agreed, b.version
	}
	for i := range r.places {
		if r.places[i].list == inXfer {
			r.places[i].since = id.Ltime
		}
	}
	r.places[best] = place{list: inServers, xfer: r.places[best].xfer}
}

// fuller reports whether j has more of the state than o, of lower rank.
func (j *joint) fuller(o *joint) bool {
	return cmp.Or(
		rank(j.kept != 0, o.kept != 0),
		rank(j.place.list == inXfer, o.place.list == inXfer),
		cmp.Compare(j.progress, o.progress)) > 0
}

// lineage is the name of a state that begins in a view.
func lineage(id ViewID) uint64 {
	h := fnv.New64a()
	var b [8]byte
	for _, x := range []uint64{id.Ltime, id.Coord.Incarnation} {
		binary.LittleEndian.PutUint64(b[:], x)
		h.Write(b[:])
	}
	h.Write([]byte(id.Coord.Name))
	return max(h.Sum64(), 1)
}
