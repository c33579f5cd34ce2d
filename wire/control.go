package wire

import (
	"math"
	"net/netip"
)

// Member is one member as a view names it.
type Member struct {
	ID      Endpoint
	Addr    netip.AddrPort // its unicast address
	RecvBuf uint32         // bytes its kernel granted to a receiving socket
	// Attr is what the layer above the stack says of it to those who compose a view,
	// at most MaxAttr; not in views.
	Attr []byte
}

func (m *Member) put(w *writer) {
	w.endpoint(m.ID)
	w.addr(m.Addr)
	w.u32(m.RecvBuf)
	w.bytes(m.Attr)
}

func (m *Member) get(r *reader) {
	m.ID = r.endpoint()
	m.Addr = r.addr()
	m.RecvBuf = r.u32()
	m.Attr = r.bytes(MaxAttr)
}

// MaxDecision bounds the members and cuts of a decision in bytes: with what the
// layer above adds it is one datagram.
const MaxDecision = 48 << 10

// MembersSize is about how long members are in a decision, in bytes: without what
// they say of themselves, which is for those who decide.
func MembersSize(members []Member) int {
	n := 0
	for i := range members {
		n += 35 + len(members[i].ID.Name)
		if a := members[i].Addr.Addr(); a.Is4() {
			n -= 12
		}
	}
	return n
}

// PartySize is about how long a party is whose view has so many streams and this
// coordinator. Few streams are so long that they need more.
func PartySize(streams int, coord Endpoint) int { return 32 + len(coord.Name) + 8*streams }

func (w *writer) members(v []Member) {
	w.u16(uint16(len(v)))
	for i := range v {
		v[i].put(w)
	}
}

func (r *reader) members() []Member {
	n := r.count(MaxMembers, 2+8+7+4+2)
	if n == 0 {
		return nil
	}
	v := make([]Member, n)
	for i := range v {
		v[i].get(r)
	}
	return v
}

// View is a view as it travels: everything in it is equal at all its members.
type View struct {
	ID       ViewID
	Members  []Member // in rank order
	Exchange bool     // the members exchange state messages before they use it
	Primary  bool
	Extra    []byte // what the layer above composed for it, at most MaxExtra
}

func (v *View) put(w *writer) {
	w.viewID(v.ID)
	w.members(v.Members)
	w.bool(v.Exchange)
	w.bool(v.Primary)
	w.bytes(v.Extra)
}

func (v *View) get(r *reader) {
	v.ID = r.viewID()
	v.Members = r.members()
	v.Exchange = r.bool()
	v.Primary = r.bool()
	v.Extra = r.bytes(MaxExtra)
}

// Block asks the members of a view to stop sending and to report: the first
// round of a view change. Ballots of one view are ordered by (Round, sender's
// rank); a member that has answered one ignores smaller ones from then on.
type Block struct {
	Round  uint32
	Failed []int // ranks that the new view will be without, increasing
}

// Append appends the encoded message to b.
func (m *Block) Append(b []byte) []byte {
	w := writer(b)
	w.u32(m.Round)
	w.ranks(m.Failed)
	return w
}

// Parse decodes a message.
func (m *Block) Parse(b []byte) error {
	r := reader{b: b}
	m.Round = r.u32()
	m.Failed = r.ranks()
	return r.end()
}

// FlushOk is a member's answer to a Block. From then on it sends nothing in the
// view, and delivers nothing more of the members that failed until it is told
// the cut.
type FlushOk struct {
	Round    uint32
	Leaving  bool     // the member wants to be left out of the next view
	Exchange bool     // the member wants state messages exchanged
	Recv     []uint64 // for each stream: last segment received without a gap; own: sent
	Failed   []int    // ranks this member takes for failed, increasing
	Attr     []byte
}

// Append appends the encoded message to b.
func (m *FlushOk) Append(b []byte) []byte {
	w := writer(b)
	w.u32(m.Round)
	w.bool(m.Leaving)
	w.bool(m.Exchange)
	w.uvarints(m.Recv)
	w.ranks(m.Failed)
	w.bytes(m.Attr)
	return w
}

// Parse decodes a message.
func (m *FlushOk) Parse(b []byte) error {
	r := reader{b: b}
	m.Round = r.u32()
	m.Leaving = r.bool()
	m.Exchange = r.bool()
	m.Recv = r.uvarints()
	m.Failed = r.ranks()
	m.Attr = r.bytes(MaxAttr)
	return r.end()
}

// Party is one of the views that a decision brings to its end.
type Party struct {
	View  ViewID
	Round uint32 // the ballot under which its members answered
	By    uint16 // rank of the coordinator of that ballot
	// Failed are the ranks that the ballot took for failed. Their messages
	// after the cut are delivered by nobody.
	Failed []int
	Cut    []uint64 // for each stream: the last segment to deliver
	Holder []uint16 // for each stream: the rank that is known to hold all up to the cut
}

func (p *Party) put(w *writer) {
	w.viewID(p.View)
	w.u32(p.Round)
	w.u16(p.By)
	w.ranks(p.Failed)
	w.uvarints(p.Cut)
	for s, h := range p.Holder {
		w.uvarint(uint64(h) ^ uint64(s)) // 0 where the sender itself holds its stream
	}
}

func (p *Party) get(r *reader) {
	p.View = r.viewID()
	p.Round = r.u32()
	p.By = r.u16()
	p.Failed = r.ranks()
	p.Cut = r.uvarints()
	p.Holder = make([]uint16, len(p.Cut))
	for s := range p.Holder {
		h := r.uvarint() ^ uint64(s)
		if h > math.MaxUint16 {
			r.bad = true
			return
		}
		p.Holder[s] = uint16(h)
	}
}

// MaxParties bounds the views that one decision can merge.
const MaxParties = 256

func (w *writer) parties(v []Party) {
	w.u16(uint16(len(v)))
	for i := range v {
		v[i].put(w)
	}
}

func (r *reader) parties() []Party {
	n := r.count(MaxParties, 30)
	v := make([]Party, n)
	for i := range v {
		v[i].get(r)
	}
	return v
}

// Decision is the second round of a view change: for each view that ends, the
// cut up to which its messages are delivered, and the view that follows.
type Decision struct {
	Parties []Party
	Next    View
}

// Append appends the encoded message to b.
func (m *Decision) Append(b []byte) []byte {
	w := writer(b)
	w.parties(m.Parties)
	m.Next.put(&w)
	return w
}

// Parse decodes a message.
func (m *Decision) Parse(b []byte) error {
	r := reader{b: b}
	m.Parties = r.parties()
	m.Next.get(&r)
	if len(m.Parties) == 0 {
		r.bad = true
	}
	return r.end()
}

// Presence announces a view to members of other views of the group.
type Presence struct {
	View    ViewID
	From    Member // its coordinator
	Members uint16
	Private bool   // its only member is still looking for the group
	Weight  []byte // larger leads a merge, compared bytewise
	Hushed  bool   // an answer: do not answer it
}

// Append appends the encoded message to b.
func (m *Presence) Append(b []byte) []byte {
	w := writer(b)
	w.viewID(m.View)
	m.From.put(&w)
	w.u16(m.Members)
	w.bool(m.Private)
	w.bytes(m.Weight)
	w.bool(m.Hushed)
	return w
}

// Parse decodes a message.
func (m *Presence) Parse(b []byte) error {
	r := reader{b: b}
	m.View = r.viewID()
	m.From.get(&r)
	m.Members = r.u16()
	m.Private = r.bool()
	m.Weight = r.bytes(MaxAttr)
	m.Hushed = r.bool()
	return r.end()
}

// Merge asks the coordinator of another view to take the members of a blocked
// and flushed view into its next view.
type Merge struct {
	Target   ViewID // the view that is asked
	Party    Party  // the asking view and the cut that its members will obey
	Members  []Member
	Ranks    []int // the rank in the asking view of each of Members
	Exchange bool
	Private  bool
	Extra    []byte // the asking view's extra
	// Of is how many members ask in all, if these are not all: where they do not fit
	// one datagram they come in parts, which are equal but for Members and Ranks.
	Of uint16
}

// Append appends the encoded message to b.
func (m *Merge) Append(b []byte) []byte {
	w := writer(b)
	w.viewID(m.Target)
	m.Party.put(&w)
	w.members(m.Members)
	w.ranks(m.Ranks)
	w.bool(m.Exchange)
	w.bool(m.Private)
	w.bytes(m.Extra)
	if m.Of > 0 {
		w.u16(m.Of)
	}
	return w
}

// Parse decodes a message.
func (m *Merge) Parse(b []byte) error {
	r := reader{b: b}
	m.Target = r.viewID()
	m.Party.get(&r)
	m.Members = r.members()
	m.Ranks = r.ranks()
	m.Exchange = r.bool()
	m.Private = r.bool()
	m.Extra = r.bytes(MaxExtra)
	m.Of = 0
	if len(r.b) > 0 {
		m.Of = r.u16()
		r.bad = r.bad || int(m.Of) <= len(m.Members) || m.Of > MaxMembers
	}
	if len(m.Members) == 0 || len(m.Ranks) != len(m.Members) {
		r.bad = true
	}
	return r.end()
}

// ViewRef names a view: the one that is asked after (Query), refuses a merge
// (MergeDeny), or no longer has the member that it is sent to (Excluded).
type ViewRef struct {
	View ViewID // the view spoken of
	Now  ViewID // the sender's view
	// Members are the members of Now, so that an excluded member knows who has
	// gone on without it.
	Members []Endpoint
}

// Append appends the encoded message to b.
func (m *ViewRef) Append(b []byte) []byte {
	w := writer(b)
	w.viewID(m.View)
	w.viewID(m.Now)
	w.u16(uint16(len(m.Members)))
	for _, e := range m.Members {
		w.endpoint(e)
	}
	return w
}

// Parse decodes a message.
func (m *ViewRef) Parse(b []byte) error {
	r := reader{b: b}
	m.View = r.viewID()
	m.Now = r.viewID()
	n := r.count(MaxMembers, 10)
	m.Members = make([]Endpoint, n)
	for i := range m.Members {
		m.Members[i] = r.endpoint()
	}
	return r.end()
}

// Ranks is a set of ranks: who is suspected.
type Ranks struct {
	Ranks []int // increasing
}

// Append appends the encoded message to b.
func (m *Ranks) Append(b []byte) []byte {
	w := writer(b)
	w.ranks(m.Ranks)
	return w
}

// Parse decodes a message.
func (m *Ranks) Parse(b []byte) error {
	r := reader{b: b}
	m.Ranks = r.ranks()
	return r.end()
}
