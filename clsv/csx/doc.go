// Package csx is the state transfer of clsv made easy: a server that joins runs
// one function, which reads the group's state from an io.Reader.
//
//	type store struct {
//		csx.NopHandler
//		...
//	}
//
//	// Snapshot is asked at a normal server, at the moment a newcomer's copy is of.
//	func (s *store) Snapshot(*clsv.View) io.WriterTo { return bytes.NewReader(s.encode()) }
//
//	// StateTransfer runs at the newcomer.
//	func (s *store) StateTransfer(ctx context.Context, x *csx.Transfer) {
//		if err := x.Load(ctx, s.decode); err == nil {
//			_ = x.Done()
//		}
//	}
//
// A Member is a clsv.Member with another Handler. What is said of clsv holds,
// but for AskState, SendState and XferDone of the raw member, which are this
// package's own.
//
// # The newcomer
//
// When a transfer begins (View.StartXfer), StateTransfer is called on a
// goroutine of its own, after AcceptedView has returned; other callbacks go on
// meanwhile. Transfer.GetState asks for a portion of the state, Transfer.Stream
// for all of it; both may be used at the same time, from several goroutines.
// Whom to ask, and to ask another if that one dies, is not the caller's
// business. Transfer.Done ends it. A transfer that is superseded, because the
// group has merged with another whose state won, because the member leaves or
// is promoted for want of anybody to ask, cancels its context; the cause is
// ErrTerminated together with the reason. When it begins again, StateTransfer is
// called again, with a larger id, after the call before has returned.
//
// # The stream
//
// The state comes in chunks, of which Options.Window may be under way. Chunks
// are compressed (S2) where that is measured to be faster. With each comes the
// hash of the whole stream up to its end, which the reader verifies. If the
// source dies, another is told how many bytes there are already and their hash:
// it makes its own copy of the state, skips as much, compares, and goes on. If
// the copies differ, because the state has no canonical serialization, reading
// begins again: Stream.Read says ErrRestart once, and Load calls its function
// again. Several newcomers ask several servers.
//
// # The cut
//
// Snapshot is called at normal servers for each view in which a newcomer's
// transfer begins, as the last part of AcceptedView: the copy is of the state
// between two views. All messages of earlier views are in it, those of later
// ones the newcomer receives. With Options.Hold it gets them when they can be
// applied: they are held back until Done, and then handed over, in their order
// and only those that are not in the copy, before newer ones. So the handler of
// a replicated state machine applies what it gets and never sees a gap or a
// duplicate, with FreeXfer and ProtectedXfer as with AtomicXfer. Package rsm is
// made that way.
package csx
