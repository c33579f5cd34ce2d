package kv

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"maestro/clsv"
)

// maxAnswer bounds the answer to a question.
const maxAnswer = 48 << 20

// asker is the questions that this member has asked.
type asker struct {
	lastID uint64
	asks   map[uint64]*ask
}

type ask struct {
	question
	server clsv.Endpoint
	done   chan struct{}
	body   []byte
	err    error
}

// Get returns the value of a key: of this server's map, or, if this member does
// not have the map, of another server's.
func (s *Store) Get(ctx context.Context, key string) (value string, ok bool, err error) {
	s.mu.Lock()
	if s.have {
		value, ok = s.t.data[key]
		s.mu.Unlock()
		return value, ok, nil
	}
	s.mu.Unlock()
	b, err := s.ask(ctx, askGet, key)
	if err != nil || len(b) == 0 {
		return "", false, err
	}
	return string(b[1:]), b[0] == 1, nil
}

// Dump returns all entries in the order of their keys, as Get does.
func (s *Store) Dump(ctx context.Context) ([]Entry, error) {
	s.mu.Lock()
	if s.have {
		defer s.mu.Unlock()
		return s.t.entries(), nil
	}
	s.mu.Unlock()
	b, err := s.ask(ctx, askDump, "")
	if err != nil {
		return nil, err
	}
	t := newTable()
	if _, err := t.restore(bytes.NewReader(b)); err != nil {
		return nil, err
	}
	return t.entries(), nil
}

// Digest tells what the map is like, as Get does.
func (s *Store) Digest(ctx context.Context) (d Digest, err error) {
	s.mu.Lock()
	if s.have {
		defer s.mu.Unlock()
		return s.t.digest(), nil
	}
	s.mu.Unlock()
	b, err := s.ask(ctx, askDigest, "")
	if err != nil {
		return d, err
	}
	return d, json.Unmarshal(b, &d)
}

// ask asks the server coordinator, and others if it departs.
func (s *Store) ask(ctx context.Context, what uint8, key string) ([]byte, error) {
	a := s.startAsk(what, key)
	select {
	case <-a.done:
		return a.body, a.err
	case <-ctx.Done():
		s.mu.Lock()
		delete(s.asks, a.id)
		s.mu.Unlock()
		return nil, ctx.Err()
	}
}

// startAsk is ask, but does not wait.
func (s *Store) startAsk(what uint8, key string) *ask {
	s.mu.Lock()
	s.lastID++
	a := &ask{question: question{s.lastID, what, key}, done: make(chan struct{})}
	var out []post
	if s.closed {
		a.err = ErrClosed
		close(a.done)
	} else {
		s.asks[a.id] = a
		if s.view != nil {
			out = s.askAgain()
		}
	}
	s.mu.Unlock()
	s.post(out)
	return a
}

// askAgain sends questions that wait for no server of the view, or answers them
// if the state has come here meanwhile. Called with s.mu held.
func (s *Store) askAgain() (out []post) {
	if s.view == nil {
		return nil
	}
	if s.have {
		for _, a := range s.asks {
			s.answered(s.answer(&a.question))
		}
		return nil
	}
	to := s.view.ServerCoordinator
	if to == (clsv.Endpoint{}) || to == s.view.Me {
		return nil
	}
	for _, a := range s.asks {
		if !s.view.IsServer(a.server) {
			a.server = to
			out = append(out, post{to: to, data: a.question.append(nil)})
		}
	}
	slices.SortFunc(out, func(a, b post) int { return cmp.Compare(string(a.data), string(b.data)) })
	return out
}

// answer answers a question. Called with s.mu held, and with the state.
func (s *Store) answer(q *question) *answer {
	a := &answer{id: q.id}
	switch q.what {
	case askGet:
		v, ok := s.t.data[q.key]
		a.body = append(a.body, 0)
		if ok {
			a.body[0] = 1
		}
		a.body = append(a.body, v...)
	case askDump:
		if s.t.bytes > maxAnswer {
			a.status = statusTooLarge
			break
		}
		var b bytes.Buffer
		_, _ = snapshot(s.t.data).WriteTo(&b) // cannot fail
		a.body = b.Bytes()
	case askDigest:
		a.body, _ = json.Marshal(s.t.digest()) // cannot fail
	}
	return a
}

// answered takes an answer. Called with s.mu held.
func (s *Store) answered(a *answer) {
	q := s.asks[a.id]
	if q == nil {
		return
	}
	delete(s.asks, a.id)
	q.body = a.body
	if a.status != statusOK {
		q.err = ErrTooLarge
	}
	close(q.done)
}
