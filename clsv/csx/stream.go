package csx

import (
	"context"
	"errors"
	"io"

	"github.com/cespare/xxhash/v2"
)

// Stream reads the whole state; see Transfer.Stream. It is used by one goroutine
// at a time.
type Stream struct {
	r      *request
	ctx    context.Context
	cur    []byte // what is left of the chunk that is being read
	slot   slot   // the chunk, if its memory is in use
	buf    []byte // for unpacking
	pos    uint64 // up to where all is verified
	digest xxhash.Digest
	err    error
}

var (
	_ io.ReadCloser = (*Stream)(nil)
	_ io.WriterTo   = (*Stream)(nil)
)

// Read reads on, and waits until there is something. ErrRestart says that all
// that has been read is void, and that the next Read begins again. Other errors
// are ErrTerminated, ErrDone, ErrRemote, ErrBusy and the context's; io.EOF is
// the end of the state.
func (s *Stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(s.cur) == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.cur)
	s.cur = s.cur[n:]
	return n, nil
}

// WriteTo is Read without a copy: it writes chunk by chunk, to the end.
func (s *Stream) WriteTo(w io.Writer) (n int64, err error) {
	for {
		if len(s.cur) > 0 {
			k, err := w.Write(s.cur)
			n += int64(k)
			s.cur = s.cur[k:]
			if err != nil {
				return n, err
			}
			continue
		}
		if err := s.next(); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}

// Close gives the stream up, if it has not come to its end.
func (s *Stream) Close() error {
	s.r.stop()
	if s.err == nil {
		s.err = ErrDone
	}
	s.drop()
	return nil
}

// drop gives back all memory, at the end.
func (s *Stream) drop() {
	s.slot.kept.Release()
	s.slot, s.cur = slot{last: s.slot.last}, nil
	m := s.r.x.m
	m.mu.Lock()
	s.r.drop()
	m.mu.Unlock()
	s.r.clean()
}

// next makes the next chunk current.
func (s *Stream) next() error {
	if s.err != nil {
		return s.err
	}
	s.release()
	for {
		got, err := s.take()
		switch {
		case errors.Is(err, ErrRestart):
			s.pos, s.cur = 0, nil
			s.digest.Reset()
			return err
		case err != nil:
			s.err = err
			s.drop()
			return err
		case !got || !s.verify():
			continue
		case len(s.cur) == 0 && s.slot.last:
			s.finish()
			return s.err
		case len(s.cur) > 0:
			return nil
		}
	}
}

// finish is the end of a stream that is complete.
func (s *Stream) finish() {
	s.err = io.EOF
	m := s.r.x.m
	m.mu.Lock()
	delete(s.r.x.reqs, s.r.id)
	m.mu.Unlock()
	s.drop()
}

// take takes a chunk from the queue, or waits for what is new.
func (s *Stream) take() (got bool, err error) {
	r := s.r
	m := r.x.m
	if s.slot.last {
		s.finish()
		return false, io.EOF
	}
	m.mu.Lock()
	switch {
	case r.restart:
		r.restart = false
		err = ErrRestart
	case r.queue.len() > 0:
		s.slot = r.queue.pop()
		r.handed = true
		got = true
	case r.err != nil:
		err = r.err
	default:
		if r.more == nil {
			r.more = make(chan struct{})
		}
		more := r.more
		m.mu.Unlock()
		return false, m.Wait(s.ctx, more)
	}
	m.mu.Unlock()
	return got, err
}

// verify unpacks the chunk and compares its hash. If that is another, the
// stream goes back to where it was right.
func (s *Stream) verify() bool {
	before := s.digest
	b, err := unpack(s.buf, s.slot.data, s.slot.packed, s.slot.length)
	if err == nil {
		_, _ = s.digest.Write(b)
		if s.digest.Sum64() == s.slot.hash {
			if s.slot.packed {
				s.buf = b
			}
			s.pos += uint64(len(b))
			s.cur = b
			return true
		}
	}
	s.digest = before
	m := s.r.x.m
	m.mu.Lock()
	var out []letter
	if s.r.err == nil && !s.r.restart {
		out = s.r.back(s.pos, before.Sum64())
	}
	bad := s.slot.kept
	s.slot = slot{}
	m.mu.Unlock()
	bad.Release()
	s.r.clean()
	s.r.x.post(out)
	return false
}

// release gives the chunk's memory back, which allows the source one more.
func (s *Stream) release() {
	if s.slot.kept == nil {
		return
	}
	r := s.r
	m := r.x.m
	s.slot.kept.Release()
	m.mu.Lock()
	last := s.slot.last
	s.slot = slot{last: last}
	var out []letter
	if r.err == nil && !r.restart && !last {
		out = r.grant()
	}
	m.mu.Unlock()
	r.x.post(out)
}

// attempt is a Stream up to its next error, which stays.
type attempt struct {
	s   *Stream
	err error
}

func (a *attempt) Read(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	n, err := a.s.Read(p)
	a.err = err
	return n, err
}

func (a *attempt) WriteTo(w io.Writer) (int64, error) {
	if a.err != nil {
		return 0, a.err
	}
	t := &tail{w: w}
	n, err := a.s.WriteTo(t)
	if err == nil {
		a.err = io.EOF
	} else if t.err == nil {
		a.err = err
	}
	return n, err
}

// tail tells the errors of a writer from those of a stream.
type tail struct {
	w   io.Writer
	err error
}

func (t *tail) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.err = err
	return n, err
}
