package kv

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/fnv"
	"io"
	"maps"
	"slices"
)

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

// table is the state, without locks.
type table struct {
	data  map[string]string
	bytes int
	sum   uint64 // of all entries, in no order
}

func newTable() *table { return &table{data: map[string]string{}} }

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

// apply carries an operation out, and reports whether the key was there.
func (t *table) apply(o *op) bool {
	if o.del {
		return t.del(o.key)
	}
	return t.set(o.key, o.value)
}

// hash is the state's hash, never 0.
func (t *table) hash() uint64 {
	h := t.sum + uint64(len(t.data))*0x9e3779b97f4a7c15
	return max(h, 1)
}

func (t *table) entries() []Entry { return sorted(t.data) }

func sorted(m map[string]string) []Entry {
	out := make([]Entry, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, Entry{k, m[k]})
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

// snapshot is a copy of a table that is written later: the same state, the same
// bytes.
type snapshot map[string]string

func (t *table) snapshot() snapshot { return maps.Clone(t.data) }

// WriteTo writes the entries in the order of their keys.
func (s snapshot) WriteTo(w io.Writer) (n int64, err error) {
	var b []byte
	for _, e := range sorted(s) {
		if b = appendString(appendString(b, e.Key), e.Value); len(b) > 64<<10 {
			k, err := w.Write(b)
			n += int64(k)
			if err != nil {
				return n, err
			}
			b = b[:0]
		}
	}
	k, err := w.Write(b)
	return n + int64(k), err
}

// restore adds what a snapshot has written, up to the end or to an error, which
// it returns. N is how many bytes it has read.
func (t *table) restore(in io.Reader) (n int, err error) {
	r := bufio.NewReader(in)
	for {
		key, err := readString(r, MaxKey)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		value, err := readString(r, MaxValue)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return n, err
		}
		t.set(key, value)
		n += len(key) + len(value)
	}
}

// readString reads a length and as many bytes. It returns io.EOF if there is
// nothing at all.
func readString(r *bufio.Reader, limit uint64) (string, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return "", err
	}
	if n > limit {
		return "", errFormat
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); errors.Is(err, io.EOF) {
		return "", io.ErrUnexpectedEOF
	} else if err != nil {
		return "", err
	}
	return string(b), nil
}
