// Package once has a replicated service execute each request of its clients at
// most once, however often and through whichever server it arrives.
//
// A client numbers its requests (Client); each replica of the service keeps a
// Table of the clients that it has heard of lately, with the replies to their
// last requests, and executes through it:
//
//	reply, err := table.Do(id, func() []byte { return service.apply(command) })
//
// A request that has been executed is not executed again, its reply is
// returned again instead. The Table is part of the replicated state: all
// replicas must call Do with the same requests in the same order, and hand the
// Table on with the state (AppendSnapshot, Restore). Then all decide alike, and
// it does not matter which of them a client asks again.
//
// # Memory is bounded
//
// Of each client the replies to the last Limits.Window requests are kept, less
// those that the client has said it needs no more; of clients, the
// Limits.Sessions that spoke last. What falls out is decided by the order of
// requests only. A request that may have been executed and has been forgotten
// since is never executed: Do reports ErrForgotten.
//
// How can a Table know that a client that it does not know has not been
// forgotten? It has a clock, which counts requests. Servers tell it in replies,
// and clients put the last they have seen into each new request (ID.Base). What
// was executed, and forgotten since, was executed after its Base and before its
// client was forgotten. So a request that is not known is new if its Base is not
// older than that, and otherwise nobody knows: it is refused.
package once
