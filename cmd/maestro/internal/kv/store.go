package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"maestro/clsv"
)

// The errors of updates and questions.
var (
	ErrNoQuorum = errors.New("kv: refused: the view has no quorum")
	ErrTooLarge = errors.New("kv: too large")
	ErrClosed   = errors.New("kv: not in the group")
)

// beat is how often what has got no answer is tried again.
const beat = time.Second

// Options are a store's. The zero value is an empty map.
type Options struct {
	// Load gives the entries that a new group begins with. Only the server that
	// founds the group calls it.
	Load func() ([]Entry, error)
	// Notify is told what happens; nil is nobody. It is called from callbacks,
	// one at a time.
	Notify func(Event)
	// Chunk is the size of a portion of the state in a transfer, in bytes.
	// Default 32 KiB.
	Chunk int
	// Window is how many portions may be under way. Default 8.
	Window int
}

// What an Event is about.
const (
	ViewAccepted = "view"     // View
	Founded      = "founded"  // this server began the map: Entries, Err
	Transferring = "transfer" // this server asks Source for the state
	Restored     = "restored" // and has it: Entries, Bytes, Source, Backlog
	Promoted     = "promoted" // and has what there was of it: Entries
	Degraded     = "degraded" // this server loses its place: Err
	Ended        = "exit"     // this member is out of the group: Err
)

// Event is something worth a line.
type Event struct {
	What    string
	View    *clsv.View
	Source  clsv.Endpoint
	Entries int // in the map
	Bytes   int // of state received
	Backlog int // updates that came during the transfer
	Err     error
}

// Store is one member of the group: the Handler of a clsv.Member.
type Store struct {
	clsv.NopHandler
	m    *clsv.Member
	o    Options
	hash atomic.Uint64 // of the map, 0 if there is none

	mu      sync.Mutex // never held while calling the member
	view    *clsv.View
	closed  bool
	have    bool // this member has the state
	t       *table
	backlog []*update // while it has not
	in      incoming
	snaps   map[clsv.Endpoint]*snapshot
	writer
	asker
}

// New makes a store and its member, on a driver or, if nil, on real sockets.
// The member has not joined yet.
func New(o Options, c clsv.Options, d clsv.Driver) (*Store, error) {
	if o.Chunk == 0 {
		o.Chunk = 32 << 10
	}
	if o.Window == 0 {
		o.Window = 8
	}
	if o.Notify == nil {
		o.Notify = func(Event) {}
	}
	s := &Store{o: o, snaps: map[clsv.Endpoint]*snapshot{}}
	s.asks = map[uint64]*ask{}
	c.Handler, c.Total, c.HeartbeatEvery = s, true, beat
	if c.Role == clsv.Server && c.Xfer == clsv.NoXfer {
		c.Xfer = clsv.FreeXfer
	}
	var err error
	if d == nil {
		s.m, err = clsv.New(c)
	} else {
		s.m, err = clsv.NewMember(c, d)
	}
	return s, err
}

// Member is the store's member of the group.
func (s *Store) Member() *clsv.Member { return s.m }

// Join joins the group and, if this is a server, goes on until it has the
// state; see WaitReady.
func (s *Store) Join(ctx context.Context) error { return s.m.Join(ctx) }

// View is the view accepted last, nil if there is none.
func (s *Store) View() *clsv.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

// Ready reports whether this member can serve: it is in a view, and has the
// state if it is a server.
func (s *Store) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil || s.closed {
		return false
	}
	return s.view.MyMbrshipType == clsv.Client || s.have && s.view.State == clsv.ServerNormal
}

// StateHash shows the state to traces.
func (s *Store) StateHash() uint64 { return s.hash.Load() }

// changed notes that the state is another. Called with s.mu held.
func (s *Store) changed() {
	if s.have {
		s.hash.Store(s.t.hash())
	} else {
		s.hash.Store(0)
	}
}

// AcceptedView begins a view.
func (s *Store) AcceptedView(v *clsv.View, _ []byte) {
	s.mu.Lock()
	s.view = v
	events := []Event{{What: ViewAccepted, View: v}}
	var first []post
	switch {
	case v.StartXfer:
		s.have, s.t, s.backlog = false, nil, nil
		s.in = incoming{attempt: s.in.attempt}
		events, first = s.begin(events)
	case v.State == clsv.ServerXfer && !s.have && !v.IsServer(s.in.source):
		events, first = s.begin(events)
	case v.State == clsv.ServerNormal && !s.have:
		events = s.found(events)
	case v.State == clsv.BecomingServer:
		s.have, s.t, s.backlog, s.in = false, nil, nil, incoming{attempt: s.in.attempt}
	}
	for e := range s.snaps {
		if !v.IsXferServer(e) {
			delete(s.snaps, e)
		}
	}
	s.changed()
	first = append(first, s.again()...)
	s.mu.Unlock()
	for _, e := range events {
		s.o.Notify(e)
	}
	s.post(first)
}

// found makes this server's state from nothing, or from what it has got so far.
// Called with s.mu held.
func (s *Store) found(events []Event) []Event {
	e := Event{What: Founded}
	s.t, s.have = newTable(), true
	if s.in.t != nil {
		e.What, s.t = Promoted, s.in.t
	} else if s.o.Load != nil {
		var list []Entry
		list, e.Err = s.o.Load()
		for _, x := range list {
			s.t.set(x.Key, x.Value)
		}
	}
	e.Backlog = s.catchUp()
	e.Entries = len(s.t.data)
	s.in = incoming{attempt: s.in.attempt}
	return append(events, e)
}

// catchUp applies the backlog. Called with s.mu held.
func (s *Store) catchUp() (n int) {
	n = len(s.backlog)
	for _, u := range s.backlog {
		s.apply(u)
	}
	s.backlog = nil
	return n
}

// apply applies an update here, and completes it if it is this member's.
// Called with s.mu held.
func (s *Store) apply(u *update) *ack {
	results, ok := s.t.apply(u)
	if !ok {
		return nil
	}
	a := &ack{seq: u.seq, results: results}
	if u.session == s.session {
		s.complete(a)
	}
	return a
}

// ReceiveScast takes an update.
func (s *Store) ReceiveScast(origin clsv.Endpoint, msg []byte) {
	u, err := decodeUpdate(msg)
	if err != nil {
		return
	}
	s.mu.Lock()
	v := s.view
	a := s.take(u)
	s.changed()
	var out []post
	if a != nil && origin != v.Me && v.ServerCoordinator == v.Me {
		out = append(out, post{to: origin, data: a.append(nil)})
	}
	out = append(out, s.next()...)
	s.mu.Unlock()
	s.post(out)
}

// take applies an update, or keeps it, or refuses it. Called with s.mu held.
func (s *Store) take(u *update) *ack {
	switch {
	case s.view.Primary && s.have:
		return s.apply(u)
	case s.view.Primary:
		s.backlog = append(s.backlog, u)
		return nil
	case !s.have:
		return nil // whether it has been applied before, others know
	}
	if l := s.t.last(u.session); l != nil && u.seq <= l.seq {
		return s.apply(u)
	}
	a := &ack{seq: u.seq, status: statusNoQuorum}
	if u.session == s.session {
		s.complete(a)
	}
	return a
}

// ReceiveSend takes acknowledgements, questions and answers.
func (s *Store) ReceiveSend(origin clsv.Endpoint, msg []byte) {
	if len(msg) == 0 {
		return
	}
	s.mu.Lock()
	var out []post
	switch msg[0] {
	case tagAck:
		if a, err := decodeAck(msg); err == nil {
			s.complete(&a)
			out = s.next()
		}
	case tagAsk:
		if q, err := decodeQuestion(msg); err == nil && s.have {
			a := s.answer(&q)
			out = append(out, post{to: origin, data: a.append(nil)})
		}
	case tagAnswer:
		if a, err := decodeAnswer(msg); err == nil {
			s.answered(&a)
		}
	}
	s.mu.Unlock()
	s.post(out)
}

// Degraded tells that this server loses its place.
func (s *Store) Degraded(d clsv.Degraded) { s.o.Notify(Event{What: Degraded, Err: d.Err}) }

// Heartbeat tries again what has got no answer.
func (s *Store) Heartbeat(time.Duration) {
	s.mu.Lock()
	for _, a := range s.asks {
		a.server = clsv.Endpoint{}
	}
	out := s.again()
	events, more := s.prod()
	retry := s.view != nil && s.view.State == clsv.BecomingServer
	s.mu.Unlock()
	for _, e := range events {
		s.o.Notify(e)
	}
	s.post(append(out, more...))
	if retry {
		_ = s.m.RetryTransfer() // not given up, then, or too late
	}
}

// Exit ends everything that waits.
func (s *Store) Exit(err error) {
	s.mu.Lock()
	s.closed = true
	s.fail()
	s.mu.Unlock()
	s.o.Notify(Event{What: Ended, Err: err})
}

// post is a message to be sent when s.mu is free.
type post struct {
	to    clsv.Endpoint // zero: an update to the servers
	data  []byte
	state bool // part of a state transfer
	ask   bool
}

// post sends messages. What cannot go now is tried again by and by: by
// Heartbeat, by the next view, or by who waits for the answer.
func (s *Store) post(list []post) {
	for _, p := range list {
		switch {
		case p.state && p.ask:
			_ = s.m.AskState(p.to, p.data)
		case p.state:
			_ = s.m.SendState(p.to, p.data)
		case p.to == clsv.Endpoint{}:
			_, _ = s.m.TryScast(p.data)
		default:
			_, _ = s.m.TrySend(p.to, p.data, clsv.MsgOptions{Safety: clsv.Safe})
		}
	}
}

// sessionOf names the session of a member's life.
func sessionOf(e clsv.Endpoint) uint64 {
	h := fnv.New64a()
	h.Write(binary.BigEndian.AppendUint64([]byte(e.Name), e.Incarnation))
	return max(h.Sum64(), 1)
}
