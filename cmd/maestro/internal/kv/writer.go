package kv

import (
	"context"
	"errors"

	"maestro/clsv/rsm"
)

// Update is an update that is under way.
type Update struct {
	op
	call *rsm.Call[bool] // nil if it was never sent
	done chan struct{}   // then
	err  error           // then
}

// Done is closed when the update has been applied or refused.
func (u *Update) Done() <-chan struct{} {
	if u.call == nil {
		return u.done
	}
	return u.call.Done()
}

// Result tells, after Done, whether the key was there before, or the error.
func (u *Update) Result() (was bool, err error) {
	if u.call == nil {
		return false, u.err
	}
	was, err = u.call.Result()
	return was, translate(err)
}

// translate turns a replica's errors into those of this package.
func translate(err error) error {
	switch {
	case errors.Is(err, rsm.ErrNoQuorum):
		return ErrNoQuorum
	case errors.Is(err, rsm.ErrClosed):
		return ErrClosed
	}
	return err
}

// Set sets a key and waits until that is acknowledged.
func (s *Store) Set(ctx context.Context, key, value string) error {
	_, err := s.update(ctx, op{key: key, value: value})
	return err
}

// Delete deletes a key and waits until that is acknowledged. It reports whether
// the key was there.
func (s *Store) Delete(ctx context.Context, key string) (was bool, err error) {
	return s.update(ctx, op{del: true, key: key})
}

func (s *Store) update(ctx context.Context, o op) (was bool, err error) {
	if err := o.check(); err != nil {
		return false, err
	}
	was, err = s.r.Propose(ctx, o)
	return was, translate(err)
}

// Sync waits until this server has applied everything that was acknowledged to
// anybody before the call: what is read afterwards is not out of date. At a
// client, it is another server that has.
func (s *Store) Sync(ctx context.Context) error { return translate(s.r.Barrier(ctx)) }

// StartSync is Sync, but does not wait.
func (s *Store) StartSync() *Update { return &Update{call: s.r.StartBarrier()} }

// StartSet is Set, but does not wait.
func (s *Store) StartSet(key, value string) *Update {
	return s.start(op{key: key, value: value})
}

// StartDelete is Delete, but does not wait.
func (s *Store) StartDelete(key string) *Update { return s.start(op{del: true, key: key}) }

func (s *Store) start(o op) *Update {
	if err := o.check(); err != nil {
		u := &Update{op: o, err: err, done: make(chan struct{})}
		close(u.done)
		return u
	}
	return &Update{op: o, call: s.r.Start(o)}
}

// check reports what is too large.
func (o *op) check() error {
	if len(o.key) > MaxKey || len(o.value) > MaxValue {
		return ErrTooLarge
	}
	return nil
}
