package kv

import (
	"context"
	"slices"
)

// Update is an update that is under way.
type Update struct {
	op
	done chan struct{}
	was  bool
	err  error
	gone bool // nobody waits any more
}

// Done is closed when the update has been applied or refused.
func (u *Update) Done() <-chan struct{} { return u.done }

// Result tells, after Done, whether the key was there before, or the error.
func (u *Update) Result() (was bool, err error) { return u.was, u.err }

// writer sends this member's updates.
type writer struct {
	session uint64
	seq     uint64
	queue   []*Update // not yet sent
	flight  []*Update // sent in the message
	message []byte    // nil if none is under way
}

// Set sets a key and waits until that is acknowledged.
func (s *Store) Set(ctx context.Context, key, value string) error {
	_, err := s.wait(ctx, s.StartSet(key, value))
	return err
}

// Delete deletes a key and waits until that is acknowledged. It reports whether
// the key was there.
func (s *Store) Delete(ctx context.Context, key string) (was bool, err error) {
	return s.wait(ctx, s.StartDelete(key))
}

// Sync waits until this server has applied everything that was acknowledged to
// anybody before the call: what is read afterwards is not out of date. At a
// client, it is the server coordinator that has.
func (s *Store) Sync(ctx context.Context) error {
	_, err := s.wait(ctx, s.StartSync())
	return err
}

// StartSync is Sync, but does not wait.
func (s *Store) StartSync() *Update { return s.start(op{sync: true}) }

// StartSet is Set, but does not wait.
func (s *Store) StartSet(key, value string) *Update {
	return s.start(op{key: key, value: value})
}

// StartDelete is Delete, but does not wait.
func (s *Store) StartDelete(key string) *Update { return s.start(op{del: true, key: key}) }

func (s *Store) start(o op) *Update {
	u := &Update{op: o, done: make(chan struct{})}
	e := s.m.Endpoint()
	s.mu.Lock()
	switch {
	case len(o.key) > MaxKey || len(o.value) > MaxValue:
		u.err = ErrTooLarge
		close(u.done)
	case s.closed:
		u.err = ErrClosed
		close(u.done)
	default:
		s.queue = append(s.queue, u)
	}
	if s.session == 0 && e.Name != "" {
		s.session = sessionOf(e)
	}
	out := s.next()
	s.mu.Unlock()
	s.post(out)
	return u
}

func (s *Store) wait(ctx context.Context, u *Update) (was bool, err error) {
	select {
	case <-u.done:
		return u.Result()
	case <-ctx.Done():
		s.mu.Lock()
		u.gone = true
		s.mu.Unlock()
		return false, ctx.Err()
	}
}

// next makes the next message of updates, if it is time. Called with s.mu held.
func (s *Store) next() []post {
	w := &s.writer
	if w.message != nil || w.session == 0 || s.view == nil || s.closed {
		return nil
	}
	u := update{session: w.session, seq: w.seq + 1}
	size := 0
	for len(w.queue) > 0 && len(u.ops) < maxBatch {
		x := w.queue[0]
		if !x.gone {
			if size += len(x.key) + len(x.value); size > maxBatchBytes && len(u.ops) > 0 {
				break
			}
			u.ops, w.flight = append(u.ops, x.op), append(w.flight, x)
		}
		w.queue[0], w.queue = nil, w.queue[1:]
	}
	if len(u.ops) == 0 {
		return nil
	}
	w.seq++
	w.message = u.append(nil)
	return []post{{data: w.message}}
}

// complete takes the acknowledgement of the message under way. Called with s.mu
// held.
func (s *Store) complete(a *ack) {
	w := &s.writer
	if w.message == nil || a.seq != w.seq {
		return
	}
	for i, u := range w.flight {
		switch {
		case a.status != statusOK:
			u.err = ErrNoQuorum
		case i < len(a.results):
			u.was = a.results[i] != 0
		}
		close(u.done)
	}
	w.flight, w.message = nil, nil
}

// again is everything that has got no answer, to be sent again. Called with
// s.mu held.
func (s *Store) again() (out []post) {
	if s.view == nil || s.closed {
		return nil
	}
	if s.session == 0 {
		s.session = sessionOf(s.view.Me)
	}
	if s.message != nil {
		out = append(out, post{data: s.message})
	} else {
		out = s.next()
	}
	return append(out, s.askAgain()...)
}

// fail ends all that waits. Called with s.mu held.
func (s *Store) fail() {
	for _, u := range slices.Concat(s.flight, s.queue) {
		u.err = ErrClosed
		close(u.done)
	}
	s.flight, s.queue, s.message = nil, nil, nil
	for id, a := range s.asks {
		a.err = ErrClosed
		close(a.done)
		delete(s.asks, id)
	}
}
