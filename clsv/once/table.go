package once

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"slices"

	"maestro/wire"
)

// The errors of this package, to be matched with errors.Is.
var (
	// ErrForgotten means that the request was not executed now, and that it is
	// not known whether it was before.
	ErrForgotten = errors.New("once: request forgotten")
	// ErrBusy means that a client has too many requests without an answer.
	ErrBusy = errors.New("once: too many requests outstanding")
	// ErrFormat means that bytes are not what they should be.
	ErrFormat = errors.New("once: malformed")
	// ErrLimits means that a snapshot is of a table with other limits.
	ErrLimits = errors.New("once: table has other limits")
)

// ID names a request.
type ID struct {
	// Client is who asks: an endpoint, so that a new life of a client is a new
	// client.
	Client wire.Endpoint
	// Number counts the client's requests, from 1.
	Number uint64
	// Acked says that the client needs no more replies to requests up to this
	// number. It is below Number.
	Acked uint64
	// Base is the last clock of the table that the client had been told of when
	// it made the request. It stays the same when the request is repeated.
	Base uint64
}

// Limits bound a Table. Replicas must have the same. Zero means the default.
type Limits struct {
	Sessions int // clients. Default 4096.
	Window   int // replies of a client. Default 64.
	// Bytes is the total of the replies and the clients' names, beside what the
	// table itself takes: about 100 bytes a client and 40 a reply.
	// Default 16 MiB.
	Bytes int
}

// The defaults of Limits.
const (
	DefaultSessions = 4096
	DefaultWindow   = 64
	DefaultBytes    = 16 << 20
)

func (l *Limits) fill() {
	l.Sessions = cmp.Or(max(l.Sessions, 0), DefaultSessions)
	l.Window = cmp.Or(max(l.Window, 0), DefaultWindow)
	l.Bytes = cmp.Or(max(l.Bytes, 0), DefaultBytes)
}

// Table remembers what has been executed. It is not safe for concurrent use.
type Table struct {
	limits Limits
	// clock counts calls that changed something; evicted is the last use of the
	// client forgotten last: the latest among those forgotten.
	clock, evicted uint64
	bytes          int
	sessions       map[wire.Endpoint]*list.Element
	recent         *list.List // of *session, the least recently used first
}

// session is a client.
type session struct {
	client wire.Endpoint
	// born is Table.evicted when the session began: what has an older Base may
	// have been executed in an earlier session of the same client.
	born, last uint64
	floor      uint64  // requests up to this number are forgotten
	replies    []reply // by number, all above floor
}

type reply struct {
	number uint64
	data   []byte
}

// New makes an empty table.
func New(l Limits) *Table {
	l.fill()
	return &Table{limits: l, sessions: map[wire.Endpoint]*list.Element{}, recent: list.New()}
}

// Clock is the table's time, to be told to clients in each reply.
func (t *Table) Clock() uint64 { return t.clock }

// Len is how many clients the table knows.
func (t *Table) Len() int { return len(t.sessions) }

// Bytes is what Limits.Bytes bounds.
func (t *Table) Bytes() int { return t.bytes }

// Do executes a request, unless it has been executed: then its reply is
// returned again. The reply is the table's, which keeps what f returns; neither
// may be changed. f must not call the table.
//
// Errors: ErrForgotten; ErrFormat if the id cannot be. f is not called then.
func (t *Table) Do(id ID, f func() []byte) ([]byte, error) {
	if id.Number == 0 || id.Acked >= id.Number || len(id.Client.Name) > wire.MaxName {
		return nil, fmt.Errorf("%w: request %d of %v", ErrFormat, id.Number, id.Client)
	}
	e := t.sessions[id.Client]
	var s *session
	if e != nil {
		s = e.Value.(*session)
		if r := s.find(id.Number); r != nil {
			data := r.data
			t.use(e, id)
			return data, nil
		}
	}
	if !t.isNew(s, id) {
		return nil, ErrForgotten
	}
	data := f()
	if s == nil {
		s = &session{client: id.Client, born: t.evicted}
		e = t.recent.PushBack(s)
		t.sessions[id.Client] = e
		t.bytes += len(id.Client.Name)
	}
	t.insert(s, reply{id.Number, data})
	t.use(e, id)
	t.shrink()
	return data, nil
}

// isNew reports whether a request whose reply is not known has certainly not
// been executed.
func (t *Table) isNew(s *session, id ID) bool {
	if id.Base > t.clock {
		return false // of another history
	}
	if s == nil {
		return id.Base >= t.evicted
	}
	return id.Number > s.floor && id.Base >= s.born
}

// find returns the reply to a request, nil if there is none.
func (s *session) find(number uint64) *reply {
	if i, ok := s.search(number); ok {
		return &s.replies[i]
	}
	return nil
}

func (s *session) search(number uint64) (int, bool) {
	return slices.BinarySearchFunc(s.replies, number,
		func(r reply, n uint64) int { return cmp.Compare(r.number, n) })
}

// use notes that a client has spoken, and forgets what it needs no more.
func (t *Table) use(e *list.Element, id ID) {
	s := e.Value.(*session)
	t.clock++
	s.last = t.clock
	t.recent.MoveToBack(e)
	if id.Acked > s.floor {
		i, found := s.search(id.Acked)
		if found {
			i++
		}
		t.forget(s, i)
		s.floor = id.Acked
	}
}

// insert adds a reply, and forgets the oldest if there are too many.
func (t *Table) insert(s *session, r reply) {
	i, _ := s.search(r.number)
	s.replies = slices.Insert(s.replies, i, r)
	t.bytes += len(r.data)
	if n := len(s.replies) - t.limits.Window; n > 0 {
		t.forget(s, n)
	}
}

// forget forgets the first n replies of a client.
func (t *Table) forget(s *session, n int) {
	if n == 0 {
		return
	}
	for _, r := range s.replies[:n] {
		t.bytes -= len(r.data)
	}
	s.floor = max(s.floor, s.replies[n-1].number)
	s.replies = slices.Delete(s.replies, 0, n)
}

// shrink forgets the clients that have been silent for longest, until the
// limits are kept. The last one keeps its last reply, however large it is.
func (t *Table) shrink() {
	for len(t.sessions) > t.limits.Sessions || t.bytes > t.limits.Bytes {
		e := t.recent.Front()
		s := e.Value.(*session)
		if e == t.recent.Back() {
			if len(s.replies) < 2 {
				return
			}
			t.forget(s, 1)
			continue
		}
		t.forget(s, len(s.replies))
		t.bytes -= len(s.client.Name)
		t.evicted = s.last
		t.recent.Remove(e)
		delete(t.sessions, s.client)
	}
}
