// Package request is requests and replies on top of a clsv.Member: a call to
// one member, to some, to all servers or to all members, that collects one
// reply, a majority, a number of them or all.
//
//	d, err := request.New(request.Options{Serve: app.serve})
//	o := clsv.Options{Role: clsv.Server, Handler: d.Wrap(app)}
//	o.Group = "bank"
//	m, err := clsv.New(o)
//	d.Bind(m)
//	err = m.Join(ctx)
//	replies, err := d.Do(ctx, request.Call{To: request.AllServers(),
//		Collect: request.Majority, Data: question})
//
// The Dispatcher stands between the member and the application's handler, which
// gets all callbacks but those of the Dispatcher's own messages: the ones that
// begin with Options.Prefix, four bytes that no text in UTF-8 begins with.
//
// # Views and replies
//
// A call to all servers or all members is for those of one view, the one in
// which it goes out; a call that is made during a view change waits for the next
// view. What is said of virtual synchrony holds for it: it is a Scast or a Cast,
// with the Total property in one order with all others. When a view shows that
// a member that was asked has left, or is no normal server any more, its reply
// is an ErrMemberLeft; the other replies are kept. A call ends when it has
// the replies it wants, or when nobody is left who might answer. A reply that
// comes later is dropped and counted.
//
// # Retry
//
// A Call with Retry, and every call to AnyServer, is repeated when those who
// were asked are lost before enough of them have answered: in the same view to
// another server, or in the next view that has one. Nobody knows then whether the
// first attempt has been executed. So such requests have an identity,
// Request.ID, which is the same each time, and a service executes them through a
// once.Table; see Once and the package once. With a table that is replicated
// with the service's state, each request whose reply arrives was executed
// exactly once, and no request more than once. Where two partitions merge, this
// is said of the state that prevails.
//
// Such a service, to which calls go to AllServers, Collect First, with Retry:
//
//	request.Options{Serve: request.Once(table, app.apply)}
//
// with GroupOptions.Total, and the table among the state that is transferred.
// A server that is transferring gets these requests too, from the first view on
// in which it does; its replies are not sent.
//
// # Threads
//
// Do waits, from any goroutine but a callback's, until its context is done. Start
// does not, and may be called from anywhere; its completions run as callbacks of
// the member, at the latest after the call's Timeout. Serve runs in the member's
// callbacks; ServeLater may answer at any time, from any goroutine.
package request
