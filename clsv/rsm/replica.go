package rsm

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"maestro/clsv"
	"maestro/clsv/csx"
	"maestro/clsv/once"
)

// Replica is one member of the service: a server, with a machine, or a client.
// All methods may be called from any goroutine and from within callbacks; those
// that wait return clsv.ErrWouldDeadlock there.
type Replica[C, R any] struct {
	*csx.Member
	o Options[C, R]

	// The state; with the machine, of callbacks, or of StateTransfer while have
	// is not set.
	applied *clsv.View // the view that what is being applied belongs to
	table   *once.Table
	hash    uint64 // of all that has been applied
	next    *restored
	untold  []answer // what others may not be told yet

	mu    sync.Mutex // never held while calling the handler or the member
	view  *clsv.View
	have  bool // this member has the state
	busy  bool // it is getting it
	block bool // the view is about to end
	// vouch says that others may be told what is applied: with a quorum, when the
	// view is one that a quorum has installed, and until Block.
	vouch bool
	proposer[C, R]
}

// restored is the state beside the machine, got and not yet in use.
type restored struct {
	table *once.Table
	hash  uint64
	event Event
}

// handler is a Replica as its member sees it.
type handler[C, R any] struct{ r *Replica[C, R] }

type exchanger[C, R any] struct {
	handler[C, R]
	clsv.Exchanger
}

func (h handler[C, R]) Degraded(d clsv.Degraded) { h.r.o.Handler.Degraded(d) }

func (h handler[C, R]) ReceiveCast(e clsv.Endpoint, msg []byte) {
	h.r.o.Handler.ReceiveCast(e, msg)
}

func (h handler[C, R]) ReceiveLsend(e clsv.Endpoint, msg []byte) {
	h.r.o.Handler.ReceiveLsend(e, msg)
}

// Block ends what may be told in the view.
func (h handler[C, R]) Block() {
	r := h.r
	r.mu.Lock()
	r.block, r.vouch = true, r.o.Quorum == 0
	r.mu.Unlock()
	r.o.Handler.Block()
}

// PrimaryView says that a quorum has installed the view.
func (h handler[C, R]) PrimaryView(v *clsv.View, viewMsg []byte) {
	r := h.r
	r.mu.Lock()
	r.vouch = r.vouch || r.view != nil && r.view.ID == v.ID && !r.block
	r.mu.Unlock()
	r.tell()
	r.post() // with PrimaryOnly it may be sent only now
	if p, ok := h.r.o.Handler.(clsv.PrimaryObserver); ok {
		p.PrimaryView(v, viewMsg)
	}
}

// Dropped passes on what is the application's. Commands are sent again, and with
// them the answers.
func (h handler[C, R]) Dropped(d clsv.Dropped) {
	switch {
	case d.Kind == clsv.Scast:
		h.r.dropped(d.Msg)
	case d.Kind != clsv.Send || !isReply(d.Msg):
		h.r.o.Handler.Dropped(d)
	}
}

// Ready reports whether this member can serve: it is in a view, and has the
// state if it is a server.
func (r *Replica[C, R]) Ready() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.view == nil {
		return false
	}
	return r.view.MyMbrshipType == clsv.Client || r.have && r.view.State == clsv.ServerNormal
}

// StateHash shows the state to traces.
func (h handler[C, R]) StateHash() uint64 {
	r := h.r
	if !r.has() {
		return 0
	}
	x := r.hash
	if m, ok := r.o.Machine.(interface{ Hash() uint64 }); ok {
		x = x*0x9e3779b97f4a7c15 ^ m.Hash()
	}
	return max(x, 1)
}

func (r *Replica[C, R]) has() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.have
}

// AcceptedView begins a view.
func (h handler[C, R]) AcceptedView(v *clsv.View, viewMsg []byte) {
	r := h.r
	r.mu.Lock()
	r.view, r.block, r.vouch = v, false, r.o.Quorum == 0
	found := v.State == clsv.ServerNormal && !r.have && !r.busy
	switch {
	case v.StartXfer:
		r.have, r.busy, r.next = false, true, nil
	case v.State == clsv.BecomingServer:
		r.have, r.busy, r.next = false, false, nil
	case found:
		r.have = true
	}
	if found {
		r.table, r.hash = once.New(r.o.Limits), 1
	}
	r.applied = v
	if !r.have {
		r.untold = nil
	}
	r.mu.Unlock()
	r.o.Handler.AcceptedView(v, viewMsg)
	if found {
		r.o.Notify(Event{What: Founded})
	}
	r.entered(v)
}

// Replay begins a view in what was held back while the state came. The first
// time the state is there.
func (h handler[C, R]) Replay(v *clsv.View) {
	r := h.r
	r.applied = v
	if r.next == nil {
		return
	}
	r.table, r.hash = r.next.table, r.next.hash
	e := r.next.event
	r.next = nil
	r.mu.Lock()
	r.have, r.busy = true, false
	r.mu.Unlock()
	r.o.Notify(e)
}

// StateTransfer gets the state.
func (h handler[C, R]) StateTransfer(ctx context.Context, x *csx.Transfer) {
	r := h.r
	before := r.Member.Stats()
	_ = r.Post(func() { r.o.Notify(Event{What: Transferring, Source: x.Source()}) })
	var got *restored
	err := x.Load(ctx, func(in io.Reader) (err error) {
		got, err = r.restore(in)
		return err
	})
	after := r.Member.Stats()
	if err == nil {
		got.event.Source, got.event.Bytes = x.Source(), after.BytesIn-before.BytesIn
		got.event.Held = after.Held - before.Held
		_ = r.Post(func() { r.take(got, x) })
		return
	}
	if r.lost(x) || ctx.Err() == nil {
		_ = r.Post(func() { r.o.Notify(Event{What: Failed, Err: err}) })
		_ = r.StartLeave()
	}
}

// lost reports whether this server has become a normal one without the state.
func (r *Replica[C, R]) lost(x *csx.Transfer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.busy && r.view != nil && r.view.State == clsv.ServerNormal && x.Current()
}

// take has the state that has come be the one to go on with. It is a callback.
func (r *Replica[C, R]) take(got *restored, x *csx.Transfer) {
	if !x.Current() {
		return
	}
	got.event.What = Restored
	r.next = got
	if x.Done() != nil {
		got.event.What = Promoted
	}
}

// Snapshot is the state at the beginning of a view.
func (h handler[C, R]) Snapshot(*clsv.View) io.WriterTo {
	r := h.r
	if !r.has() {
		return nil
	}
	t := r.table.AppendSnapshot(nil)
	head := binary.LittleEndian.AppendUint64([]byte{snapshotVersion}, r.hash)
	head = append(binary.AppendUvarint(head, uint64(len(t))), t...)
	return csx.Prefixed(head, r.o.Machine.Snapshot())
}

// A snapshot is: version (byte) | hash (8 bytes) | length | table | machine.
const (
	snapshotVersion = 1
	maxTable        = 1 << 30
)

// restore reads a snapshot.
func (r *Replica[C, R]) restore(in io.Reader) (*restored, error) {
	var head [9]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	n, err := binary.ReadUvarint(byteReader{in})
	if err != nil {
		return nil, err
	}
	if head[0] != snapshotVersion || n > maxTable {
		return nil, fmt.Errorf("%w snapshot", errFormat)
	}
	b, err := io.ReadAll(io.LimitReader(in, int64(n)))
	if err != nil {
		return nil, err
	}
	got := &restored{table: once.New(r.o.Limits), hash: binary.LittleEndian.Uint64(head[1:])}
	if err := got.table.Restore(b); err != nil {
		return nil, err
	}
	return got, r.o.Machine.Restore(in)
}

// byteReader reads single bytes.
type byteReader struct{ io.Reader }

func (r byteReader) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r, b[:])
	return b[0], err
}

// AskState is not used.
func (h handler[C, R]) AskState(context.Context, clsv.Endpoint, []byte) (io.WriterTo, error) {
	return nil, nil
}

// ReceiveSend takes replies.
func (h handler[C, R]) ReceiveSend(e clsv.Endpoint, msg []byte) {
	if len(msg) < 2 || msg[0] != 0 {
		h.r.o.Handler.ReceiveSend(e, msg)
		return
	}
	if !isReply(msg) || len(msg) < 6 {
		return
	}
	who, b := binary.LittleEndian.Uint32(msg[2:]), msg[6:]
	number, n := binary.Uvarint(b)
	if n <= 0 {
		return
	}
	clock, k := binary.Uvarint(b[n:])
	if k <= 0 || len(b) == n+k {
		return
	}
	h.r.complete(e, who, number, clock, b[n+k:])
}

// Heartbeat tries again what has got no answer.
func (h handler[C, R]) Heartbeat(since time.Duration) {
	r := h.r
	r.beaten()
	r.mu.Lock()
	retry := r.view != nil && r.view.State == clsv.BecomingServer
	r.mu.Unlock()
	if retry {
		_ = r.RetryTransfer() // not given up, then, or too late
	}
	r.o.Handler.Heartbeat(since)
}

// Exit ends everything that waits.
func (h handler[C, R]) Exit(err error) {
	r := h.r
	r.mu.Lock()
	r.view, r.have, r.busy = nil, false, false
	r.mu.Unlock()
	r.next, r.untold = nil, nil
	r.ended()
	r.o.Handler.Exit(err)
}
