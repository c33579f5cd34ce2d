package kv

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"maestro/clsv"
	"maestro/clsv/rsm"
)

// The errors of updates and questions.
var (
	ErrNoQuorum = errors.New("kv: refused: the view has no quorum")
	ErrTooLarge = errors.New("kv: too large")
	ErrClosed   = errors.New("kv: not in the group")
)

// Options are a store's. The zero value is an empty map.
type Options struct {
	// Load gives the entries that a new group begins with. Only the server that
	// founds the group calls it.
	Load func() ([]Entry, error)
	// Notify is told what happens; nil is nobody. It is called from callbacks,
	// one at a time.
	Notify func(Event)
	// Chunk and Window are those of package csx.
	Chunk, Window int
}

// What an Event is about.
const (
	ViewAccepted = "view"     // View
	Founded      = "founded"  // this server began the map: Entries, Err
	Transferring = "transfer" // this server asks Source for the state
	Restored     = "restored" // and has it: Entries, Bytes, Source, Backlog
	Promoted     = "promoted" // and has what there was of it: Entries
	Failed       = "failed"   // and cannot have it: Err
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

// Store is one member of the group.
type Store struct {
	clsv.NopHandler
	r *rsm.Replica[op, bool]
	o Options

	mu     sync.Mutex // never held while calling the replica
	view   *clsv.View
	closed bool
	have   bool // this member has the state
	t      *table
	asker
}

// New makes a store and its member, on a driver or, if nil, on real sockets.
// The member has not joined yet.
func New(o Options, c clsv.Options, d clsv.Driver) (*Store, error) {
	if o.Notify == nil {
		o.Notify = func(Event) {}
	}
	s := &Store{o: o, t: newTable()}
	s.asks = map[uint64]*ask{}
	ro := rsm.Options[op, bool]{Handler: s, Machine: machine{s}, Notify: s.notify,
		Command: rsm.Codec[op]{Append: appendOp, Parse: parseOp},
		Result:  rsm.Codec[bool]{Append: appendBool, Parse: parseBool}}
	ro.Options.Options, ro.Chunk, ro.Window = c, o.Chunk, o.Window
	if d == nil {
		d = clsv.Net{}
	}
	var err error
	s.r, err = rsm.NewReplica(ro, d)
	return s, err
}

// Member is the store's member of the group.
func (s *Store) Member() *clsv.Member { return s.r.Member.Member }

// Join joins the group and, if this is a server, goes on until it has the
// state; see Ready.
func (s *Store) Join(ctx context.Context) error { return s.r.Join(ctx) }

// View is the view accepted last, nil if there is none.
func (s *Store) View() *clsv.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

// Ready reports whether this member can serve: it is in a view, and has the
// state if it is a server.
func (s *Store) Ready() bool { return s.r.Ready() }

// machine is the store as its replica uses it.
type machine struct{ s *Store }

// Apply carries out an update.
func (m machine) Apply(o op) bool {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	return m.s.t.apply(&o)
}

// Snapshot is a copy of the map.
func (m machine) Snapshot() io.WriterTo { return m.s.t.snapshot() }

// Restore makes the map what a snapshot has written. When all who had the map
// are gone, it is what has come of it.
func (m machine) Restore(r io.Reader) error {
	t := newTable()
	_, err := t.restore(r)
	if errors.Is(err, clsv.ErrSourcesLost) {
		err = nil
	}
	if err == nil {
		m.s.mu.Lock()
		m.s.t = t
		m.s.mu.Unlock()
	}
	return err
}

// Hash shows the map to traces.
func (m machine) Hash() uint64 {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	return m.s.t.hash()
}

// notify follows what becomes of the state.
func (s *Store) notify(e rsm.Event) {
	n := Event{Source: e.Source, Bytes: int(e.Bytes), Backlog: int(e.Held), Err: e.Err}
	s.mu.Lock()
	switch e.What {
	case rsm.Founded:
		n.What, s.t = Founded, newTable()
		if s.o.Load != nil {
			var list []Entry
			list, n.Err = s.o.Load()
			for _, x := range list {
				s.t.set(x.Key, x.Value)
			}
		}
		s.have = true
	case rsm.Transferring:
		n.What = Transferring
	case rsm.Restored:
		n.What, s.have = Restored, true
	case rsm.Promoted:
		n.What, s.have = Promoted, true
	case rsm.Failed:
		n.What = Failed
	}
	n.Entries = len(s.t.data)
	var out []post
	if s.have {
		out = s.askAgain()
	}
	s.mu.Unlock()
	s.o.Notify(n)
	s.post(out)
}

// AcceptedView begins a view.
func (s *Store) AcceptedView(v *clsv.View, _ []byte) {
	s.mu.Lock()
	s.view = v
	if v.StartXfer || v.State == clsv.BecomingServer {
		s.have = false
	}
	out := s.askAgain()
	s.mu.Unlock()
	s.o.Notify(Event{What: ViewAccepted, View: v})
	s.post(out)
}

// ReceiveSend takes questions and answers.
func (s *Store) ReceiveSend(origin clsv.Endpoint, msg []byte) {
	s.mu.Lock()
	var out []post
	switch {
	case len(msg) == 0:
	case msg[0] == tagAsk:
		if q, err := decodeQuestion(msg); err == nil && s.have {
			a := s.answer(&q)
			out = append(out, post{to: origin, data: a.append(nil)})
		}
	case msg[0] == tagAnswer:
		if a, err := decodeAnswer(msg); err == nil {
			s.answered(&a)
		}
	}
	s.mu.Unlock()
	s.post(out)
}

// Degraded tells that this server loses its place.
func (s *Store) Degraded(d clsv.Degraded) { s.o.Notify(Event{What: Degraded, Err: d.Err}) }

// Heartbeat asks again what has got no answer.
func (s *Store) Heartbeat(time.Duration) {
	s.mu.Lock()
	var out []post
	for _, a := range s.asks {
		a.server = clsv.Endpoint{}
	}
	if s.view != nil && !s.closed {
		out = s.askAgain()
	}
	s.mu.Unlock()
	s.post(out)
}

// Exit ends everything that waits.
func (s *Store) Exit(err error) {
	s.mu.Lock()
	s.closed = true
	for id, a := range s.asks {
		a.err = ErrClosed
		close(a.done)
		delete(s.asks, id)
	}
	s.mu.Unlock()
	s.o.Notify(Event{What: Ended, Err: err})
}

// post is a message to be sent when s.mu is free.
type post struct {
	to   clsv.Endpoint
	data []byte
}

// post sends messages. What cannot go now is asked for again by Heartbeat.
func (s *Store) post(list []post) {
	for _, p := range list {
		_, _ = s.r.TrySend(p.to, p.data, clsv.MsgOptions{Safety: clsv.Safe})
	}
}
