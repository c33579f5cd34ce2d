package csx

import (
	"context"
	"errors"
	"io"

	"maestro/clsv"
)

// The errors of this package, to be matched with errors.Is.
var (
	// ErrTerminated is what a transfer ends with that is not completed. It comes
	// together with its reason: clsv.ErrMergeLost, clsv.ErrSourcesLost,
	// clsv.ErrDeadline, clsv.ErrNotJoined, ErrBacklog, or what the member's Exit
	// reports.
	ErrTerminated = errors.New("csx: state transfer terminated")
	// ErrDone is what ends the requests that are outstanding when Done is called,
	// and those that come later.
	ErrDone = errors.New("csx: state transfer done")
	// ErrRestart says that what a Stream has handed over is void: the new source
	// has other bytes. Read again, from the beginning.
	ErrRestart = errors.New("csx: stream begins again")
	// ErrRemote is an error of the server that was asked.
	ErrRemote = errors.New("csx: server cannot answer")
	// ErrBacklog says that more came during a transfer than Options.MaxBacklog.
	ErrBacklog = errors.New("csx: backlog too large")
	ErrBusy    = errors.New("csx: too many requests outstanding")
	// ErrTooLarge says that a reply is larger than Options.MaxReply.
	ErrTooLarge = errors.New("csx: reply too large")
)

// Handler is what an application does. Embed NopHandler and write the methods
// that matter. A Handler that also is a clsv.Exchanger, a clsv.StateHasher, a
// clsv.PrimaryObserver or a Replayer is used as such.
type Handler interface {
	clsv.Receiver
	clsv.Observer
	Transferrer
}

// Transferrer takes part in state transfers.
type Transferrer interface {
	// StateTransfer gets the state, at a server that transfers. It runs on a
	// goroutine of its own, one call at a time. Ctx is done when the transfer is
	// over; then it should return soon. In a simulation it may wait by calls of x
	// and of the member only. The transfer goes on until x.Done is called.
	StateTransfer(ctx context.Context, x *Transfer)
	// AskState answers a request of Transfer.GetState, at a normal server. It is
	// a callback. The answer is written by another goroutine; ctx is done when
	// nobody wants it any more. It may be a *bytes.Reader, or for example a
	// struct whose WriteTo waits for something.
	AskState(ctx context.Context, origin clsv.Endpoint, request []byte) (io.WriterTo, error)
	// Snapshot captures the state at the beginning of a view, at a normal server:
	// after AcceptedView has returned and before anything of the view is
	// received. It is a callback, and should be quick; the copy is written later,
	// by other goroutines, perhaps several times and at the same time, always
	// from the beginning, or never. If it has Size and ReadAt, as bytes.Reader
	// and io.SectionReader have, it is read by those. When it is not needed any
	// more it is closed, if it is an io.Closer. Nil says that there is none.
	//
	// What it writes in pieces of several Options.Chunk is sent from where it lies;
	// smaller pieces are gathered first.
	Snapshot(v *clsv.View) io.WriterTo
}

// Replayer is a Handler that wants to know of which view the messages are that
// were held back during a transfer: Replay is called before those of each view.
type Replayer interface {
	Replay(v *clsv.View)
}

// NopHandler completes transfers at once, without a state, and otherwise does
// nothing. Embed it.
type NopHandler struct{ clsv.NopHandler }

// StateTransfer calls x.Done.
func (NopHandler) StateTransfer(_ context.Context, x *Transfer) { _ = x.Done() }

// AskState answers with nothing.
func (NopHandler) AskState(context.Context, clsv.Endpoint, []byte) (io.WriterTo, error) {
	return nil, nil
}

// Snapshot has none.
func (NopHandler) Snapshot(*clsv.View) io.WriterTo { return nil }

// From is an answer that is read from r, once.
func From(r io.Reader) io.WriterTo { return reader{r} }

type reader struct{ io.Reader }

func (r reader) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, r.Reader)
}

// Prefixed is a copy of a state, as Handler.Snapshot returns it, with bytes
// before it.
func Prefixed(head []byte, snap io.WriterTo) io.WriterTo { return prefixed{head, snap} }

type prefixed struct {
	head []byte
	snap io.WriterTo
}

func (p prefixed) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(p.head)
	if err != nil || p.snap == nil {
		return int64(n), err
	}
	src, err := (&snapshot{src: p.snap}).open()
	if err != nil {
		return int64(n), err
	}
	k, err := src.WriteTo(w)
	return int64(n) + k, err
}

func (p prefixed) Close() error {
	if c, ok := p.snap.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
