package kv

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"maps"
	"slices"
)

// maxSessions bounds the sessions that a table remembers; the one that has been
// silent longest goes first, at all servers the same.
const maxSessions = 1024

// Entry is a key and its value.
type Entry struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Digest tells whether two maps are equal.
type Digest struct {
	SHA256  string `json:"sha256"` // of all entries in the order of their keys
	Entries int    `json:"entries"`
	Bytes   int    `json:"bytes"` // of keys and values
}

// table is the state: a deterministic machine without locks.
type table struct {
	data     map[string]string
	bytes    int
	sum      uint64 // of all entries, in no order
	sessions map[uint64]*list.Element
	recent   *list.List // of *session, the longest silent first
}

// session is what is known of one writer.
type session struct {
	id, seq uint64
	results []byte
}

func newTable() *table {
	return &table{data: map[string]string{}, sessions: map[uint64]*list.Element{},
		recent: list.New()}
}

// mix hashes one entry.
func mix(key, value string) uint64 {
	h := fnv.New64a()
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(key)))
	h.Write(n[:])
	h.Write([]byte(key))
	h.Write([]byte(value))
	x := h.Sum64() // and spread it, because sums of FNV are weak
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (t *table) set(key, value string) (was bool) {
	was = t.del(key)
	t.data[key] = value
	t.bytes += len(key) + len(value)
	t.sum += mix(key, value)
	return was
}

func (t *table) del(key string) (was bool) {
	old, was := t.data[key]
	if was {
		t.bytes -= len(key) + len(old)
		t.sum -= mix(key, old)
		delete(t.data, key)
	}
	return was
}

// last is what a session did last, nil if nothing is known.
func (t *table) last(id uint64) *session {
	if e := t.sessions[id]; e != nil {
		return e.Value.(*session)
	}
	return nil
}

// apply carries an update out, unless it has been before. It returns the
// results; ok is false for an update that is older than the session's last.
func (t *table) apply(u *update) (results []byte, ok bool) {
	if s := t.last(u.session); s != nil && u.seq <= s.seq {
		return s.results, u.seq == s.seq
	}
	results = make([]byte, len(u.ops))
	for i, o := range u.ops {
		var was bool
		switch {
		case o.sync:
		case o.del:
			was = t.del(o.key)
		default:
			was = t.set(o.key, o.value)
		}
		if was {
			results[i] = 1
		}
	}
	t.note(session{u.session, u.seq, results})
	return results, true
}

// note remembers what a session did last.
func (t *table) note(s session) {
	if e := t.sessions[s.id]; e != nil {
		t.recent.Remove(e)
	}
	t.sessions[s.id] = t.recent.PushBack(&s)
	if t.recent.Len() > maxSessions {
		old := t.recent.Front()
		t.recent.Remove(old)
		delete(t.sessions, old.Value.(*session).id)
	}
}

// hash is the state's hash, never 0.
func (t *table) hash() uint64 {
	h := t.sum + uint64(len(t.data))*0x9e3779b97f4a7c15
	return max(h, 1)
}

func (t *table) entries() []Entry {
	out := make([]Entry, 0, len(t.data))
	for _, k := range slices.Sorted(maps.Keys(t.data)) {
		out = append(out, Entry{k, t.data[k]})
	}
	return out
}

func (t *table) digest() Digest {
	h := sha256.New()
	var b []byte
	for _, e := range t.entries() {
		b = appendString(appendString(b[:0], e.Key), e.Value)
		h.Write(b)
	}
	return Digest{hex.EncodeToString(h.Sum(nil)), len(t.data), t.bytes}
}

// snapshot is the whole state in portions of about size bytes, at least one.
func (t *table) snapshot(size int) [][]byte {
	var chunks [][]byte
	var b []byte
	cut := func() {
		if len(b) >= size {
			chunks, b = append(chunks, b), nil
		}
	}
	for e := t.recent.Front(); e != nil; e = e.Next() {
		s := e.Value.(*session)
		b = binary.BigEndian.AppendUint64(append(b, 's'), s.id)
		b = binary.AppendUvarint(b, s.seq)
		b = appendString(b, string(s.results))
		cut()
	}
	for _, e := range t.entries() { // sorted: the same state, the same portions
		b = appendString(appendString(append(b, 'e'), e.Key), e.Value)
		cut()
	}
	if len(b) > 0 || len(chunks) == 0 {
		chunks = append(chunks, b)
	}
	return chunks
}

// restore adds a portion of a snapshot.
func (t *table) restore(records []byte) error {
	for r := (reader{b: records}); len(r.b) > 0; {
		switch r.byte() {
		case 's':
			s := session{id: r.uint64(), seq: r.uvarint()}
			s.results = []byte(r.string())
			if !r.bad {
				t.note(s)
			}
		case 'e':
			k, v := r.string(), r.string()
			if !r.bad {
				t.set(k, v)
			}
		default:
			r.bad = true
		}
		if r.bad {
			return errFormat
		}
	}
	return nil
}
