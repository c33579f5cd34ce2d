package once

import (
	"encoding/binary"
	"fmt"

	"maestro/wire"
)

// snapshotVersion begins a snapshot.
const snapshotVersion = 1

// cursor takes values off the front of bytes. After the first one that is not
// there, bad stays set and every value reads as zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 || n > 1 && c.b[n-1] == 0 { // one form only, so that bytes can be compared
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) bytes() []byte {
	n := c.uvarint()
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) endpoint() wire.Endpoint {
	name := c.bytes()
	c.bad = c.bad || len(name) > wire.MaxName
	return wire.Endpoint{Name: string(name[:min(len(name), wire.MaxName)]),
		Incarnation: c.uvarint()}
}

func appendBytes[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendUvarints(b []byte, v ...uint64) []byte {
	for _, x := range v {
		b = binary.AppendUvarint(b, x)
	}
	return b
}

// Append appends the id:
//
//	length of name | name | incarnation | number | acked | base
//
// All numbers are uvarints.
func (id ID) Append(b []byte) []byte {
	b = appendBytes(b, id.Client.Name)
	return appendUvarints(b, id.Client.Incarnation, id.Number, id.Acked, id.Base)
}

// ParseID takes an id off the front of b, and returns what follows it. The
// error is ErrFormat.
func ParseID(b []byte) (ID, []byte, error) {
	c := cursor{b: b}
	id := ID{Client: c.endpoint(), Number: c.uvarint(), Acked: c.uvarint(), Base: c.uvarint()}
	if c.bad || id.Number == 0 || id.Acked >= id.Number {
		return ID{}, nil, fmt.Errorf("%w: request id", ErrFormat)
	}
	return id, c.b, nil
}

// AppendSnapshot appends the whole table. Tables that have seen the same
// requests in the same order give the same bytes:
//
//	version | sessions, window, bytes of Limits | clock | evicted | sessions
//	for each, least recently used first:
//	  length of name | name | incarnation | born | last | floor | replies
//	  for each, by number: number | length | reply
//
// All numbers are uvarints.
func (t *Table) AppendSnapshot(b []byte) []byte {
	l := t.limits
	b = appendUvarints(b, snapshotVersion, uint64(l.Sessions), uint64(l.Window), uint64(l.Bytes),
		t.clock, t.evicted, uint64(len(t.sessions)))
	for e := t.recent.Front(); e != nil; e = e.Next() {
		s := e.Value.(*session)
		b = appendBytes(b, s.client.Name)
		b = appendUvarints(b, s.client.Incarnation, s.born, s.last, s.floor,
			uint64(len(s.replies)))
		for _, r := range s.replies {
			b = binary.AppendUvarint(b, r.number)
			b = appendBytes(b, r.data)
		}
	}
	return b
}

// Restore makes the table what AppendSnapshot wrote, all of b. The bytes are
// copied. After an error the table is what it was: ErrFormat, or ErrLimits if
// the snapshot's table has other limits than this one.
func (t *Table) Restore(b []byte) error {
	c := cursor{b: b}
	if c.uvarint() != snapshotVersion {
		return fmt.Errorf("%w: version of snapshot", ErrFormat)
	}
	sessions, window, bytes := c.uvarint(), c.uvarint(), c.uvarint()
	l := t.limits
	if c.bad {
		return fmt.Errorf("%w: snapshot", ErrFormat)
	}
	if sessions != uint64(l.Sessions) || window != uint64(l.Window) || bytes != uint64(l.Bytes) {
		return fmt.Errorf("%w: %d sessions, window %d, %d bytes; here %+v", ErrLimits, sessions,
			window, bytes, l)
	}
	n := New(l)
	n.clock, n.evicted = c.uvarint(), c.uvarint()
	last := n.evicted
	for k := c.uvarint(); k > 0 && !c.bad; k-- {
		s := n.restore(&c)
		if s.last <= last { // in order of use, and used later than those forgotten
			c.bad = true
			break
		}
		last = s.last
	}
	over := n.bytes > l.Bytes && (len(n.sessions) > 1 || n.replies() > 1)
	if c.bad || len(c.b) > 0 || last > n.clock || len(n.sessions) > l.Sessions || over {
		return fmt.Errorf("%w: snapshot", ErrFormat)
	}
	*t = *n
	return nil
}

// replies is how many replies the most recent client has.
func (t *Table) replies() int {
	if e := t.recent.Back(); e != nil {
		return len(e.Value.(*session).replies)
	}
	return 0
}

// restore reads a session.
func (t *Table) restore(c *cursor) *session {
	s := &session{client: c.endpoint(), born: c.uvarint(), last: c.uvarint(), floor: c.uvarint()}
	k := c.uvarint()
	if s.born > t.evicted || t.sessions[s.client] != nil || k > uint64(t.limits.Window) {
		c.bad = true
		return s
	}
	last := s.floor
	for ; k > 0 && !c.bad; k-- {
		r := reply{number: c.uvarint(), data: c.bytes()}
		c.bad = c.bad || r.number <= last
		last = r.number
		r.data = append([]byte(nil), r.data...)
		s.replies = append(s.replies, r)
		t.bytes += len(r.data)
	}
	t.bytes += len(s.client.Name)
	t.sessions[s.client] = t.recent.PushBack(s)
	return s
}
