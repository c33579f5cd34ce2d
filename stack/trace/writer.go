package trace

import (
	"encoding/binary"
	"errors"
	"io"
	"os"

	"maestro/wire"
)

// flushAt is the number of buffered bytes that makes a Writer write.
const flushAt = 32 << 10

// Writer is a Recorder that appends to a file. It writes out what it has
// gathered when that is large enough and after every event that is not data, so
// that a killed process leaves everything up to its last view and a little
// more. The first error stays; see Err.
type Writer struct {
	w    io.Writer
	c    io.Closer
	err  error
	buf  []byte // encoded and not yet written
	body []byte // scratch: the record being made
	ends map[wire.Endpoint]uint64
	last []uint64 // by endpoint number: its last message number
	p    wire.Endpoint
	time int64
}

// NewWriter makes a writer on w and writes the header.
func NewWriter(w io.Writer) *Writer {
	t := &Writer{w: w, ends: map[wire.Endpoint]uint64{}, last: []uint64{0}}
	t.buf = appendHeader(make([]byte, 0, flushAt+4096))
	t.flush()
	return t
}

// Create makes a writer on a new file.
func Create(path string) (*Writer, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	t := NewWriter(f)
	t.c = f
	if t.err != nil {
		return nil, errors.Join(t.err, f.Close())
	}
	return t, nil
}

// Record encodes e. It does nothing after an error or Close.
func (t *Writer) Record(e *Event) {
	if t.err != nil || !e.Kind.Valid() {
		return
	}
	t.event(e)
	if len(t.buf) >= flushAt || !data(e.Kind) {
		t.flush()
	}
}

// data reports whether events of kind k are too many to be flushed one by one.
func data(k Kind) bool {
	return k == Submit || k == Send || k == Deliver || k == Stable
}

// Err is the first error of a write.
func (t *Writer) Err() error {
	if errors.Is(t.err, os.ErrClosed) {
		return nil
	}
	return t.err
}

// Flush writes out what is buffered.
func (t *Writer) Flush() error {
	t.flush()
	return t.Err()
}

// Close writes the end mark, and closes the file if Create opened it. The
// trace then counts as complete.
func (t *Writer) Close() error {
	if t.err == nil {
		t.body = append(t.body[:0], bodyEnd)
		t.record()
		t.flush()
	}
	err := t.Err()
	if t.c != nil {
		err = errors.Join(err, t.c.Close())
		t.c = nil
	}
	if t.err == nil {
		t.err = os.ErrClosed
	}
	return err
}

func (t *Writer) flush() {
	if t.err == nil && len(t.buf) > 0 {
		_, t.err = t.w.Write(t.buf)
	}
	t.buf = t.buf[:0]
}

// record appends the body that has been made.
func (t *Writer) record() {
	if len(t.body) > maxRecord {
		t.err = errors.New("trace: event too large")
		return
	}
	t.buf = binary.AppendUvarint(t.buf, uint64(len(t.body)))
	t.buf = append(t.buf, t.body...)
}

// mask says which fields of e are worth writing.
func (t *Writer) mask(e *Event) byte {
	var m byte
	set := func(bit byte, on bool) {
		if on {
			m |= bit
		}
	}
	set(hasP, e.P != t.p)
	set(hasMsg, e.Msg != MsgID{})
	set(hasAttr, attr(e) != 0)
	set(hasHash, e.Hash != 0)
	set(hasDests, len(e.Dests) > 0)
	set(hasPeer, !e.Peer.IsZero())
	set(hasView, e.View != nil)
	set(hasExtra, e.Role|Role(e.Xfer) != 0 || e.Up || e.XferID|e.Count|e.AppState != 0)
	return m & (kindFields(e.Kind) | hasP)
}

// attr packs the attributes of a message into seven bits.
func attr(e *Event) byte {
	return byte(e.MsgKind)&3 | byte(e.Order)&7<<2 | byte(e.Safety)&3<<5
}

// event appends e, and before it the endpoints it is the first to name.
func (t *Writer) event(e *Event) {
	m := t.mask(e)
	p, origin := uint64(0), uint64(0)
	if m&hasP != 0 {
		p = t.end(e.P)
		t.p = e.P
	}
	if m&hasMsg != 0 {
		origin = t.end(e.Msg.Origin)
	}
	t.defineAll(e, m)
	b := append(t.body[:0], byte(e.Kind), m)
	b = binary.AppendVarint(b, e.Time-t.time)
	t.time = e.Time
	if m&hasP != 0 {
		b = binary.AppendUvarint(b, p)
	}
	if m&hasMsg != 0 {
		b = binary.AppendUvarint(b, origin)
		b = binary.AppendVarint(b, int64(e.Msg.N-t.last[origin]))
		t.last[origin] = e.Msg.N
	}
	if m&hasAttr != 0 {
		b = append(b, attr(e))
	}
	if m&hasHash != 0 {
		b = binary.BigEndian.AppendUint64(b, e.Hash)
	}
	if m&hasDests != 0 {
		b = t.list(b, e.Dests)
	}
	if m&hasPeer != 0 {
		b = binary.AppendUvarint(b, t.end(e.Peer))
	}
	if m&hasView != 0 {
		b = t.view(b, e.View)
	}
	if m&hasExtra != 0 {
		b = append(b, byte(e.Role)&1|byte(e.Xfer)&3<<1|bit(e.Up, 8))
		b = binary.AppendUvarint(b, e.XferID)
		b = binary.AppendUvarint(b, e.Count)
		b = binary.BigEndian.AppendUint64(b, e.AppState)
	}
	t.body = b
	t.record()
}

// bit is b if on.
func bit(on bool, b byte) byte {
	if on {
		return b
	}
	return 0
}

// end is the number of p, which is defined if it is new; 0 is nobody.
func (t *Writer) end(p wire.Endpoint) uint64 {
	if p.IsZero() {
		return 0
	}
	if n, ok := t.ends[p]; ok {
		return n
	}
	t.body = append(t.body[:0], bodyDefine)
	t.body = binary.AppendUvarint(t.body, p.Incarnation)
	t.body = append(t.body, p.Name...)
	t.record()
	t.last = append(t.last, 0)
	n := uint64(len(t.ends) + 1)
	t.ends[p] = n
	return n
}

// defineAll defines the endpoints of e's lists, which must be done before the
// body is begun.
func (t *Writer) defineAll(e *Event, m byte) {
	if m&hasPeer != 0 {
		t.end(e.Peer)
	}
	if m&hasDests != 0 {
		t.defineList(e.Dests)
	}
	if m&hasView == 0 {
		return
	}
	v := e.View
	t.end(v.ID.Coord)
	t.end(v.ServerCoord)
	t.end(v.OldServerCoord)
	for _, l := range v.lists() {
		t.defineList(*l)
	}
}

func (t *Writer) defineList(l []wire.Endpoint) {
	for _, p := range l {
		t.end(p)
	}
}

func (t *Writer) list(b []byte, l []wire.Endpoint) []byte {
	b = binary.AppendUvarint(b, uint64(len(l)))
	for _, p := range l {
		b = binary.AppendUvarint(b, t.end(p))
	}
	return b
}

func (t *Writer) view(b []byte, v *View) []byte {
	b = binary.AppendUvarint(b, v.ID.Ltime)
	b = binary.AppendUvarint(b, t.end(v.ID.Coord))
	b = binary.AppendUvarint(b, v.Primary)
	b = binary.BigEndian.AppendUint64(b, v.ViewMsg)
	b = binary.BigEndian.AppendUint64(b, v.Lineage)
	b = append(b, byte(v.ViewType), byte(v.State), byte(v.OldState),
		bit(v.ClSv, viewClSv)|bit(v.SourcesLost, viewSourcesLost)|
			bit(v.StartXfer, viewStartXfer))
	b = binary.AppendUvarint(b, t.end(v.ServerCoord))
	b = binary.AppendUvarint(b, t.end(v.OldServerCoord))
	b = binary.AppendVarint(b, int64(v.ServerRank))
	b = binary.AppendVarint(b, int64(v.OldServerRank))
	for _, l := range v.lists() {
		b = t.list(b, *l)
	}
	return b
}
