// Package kv is a map from strings to strings that the servers of a group hold
// and keep equal: the replicated state machine that maestro's commands show.
//
// An update is an scast in total order, so all servers apply the same updates
// in the same order. A member has at most one message of updates under way;
// what is asked for meanwhile goes with the next one. Each message has the
// number of its session, and servers remember the last number, and its results,
// of each session: an update that is sent again, because its acknowledgement
// was lost with a server, is applied once and answered twice.
//
// The same numbers make the state transfer simple. A server that transfers
// keeps the updates that it receives, gets a copy of the state as it is when
// its first request reaches the source, session numbers included, and applies
// what it has kept: what the copy contains already is skipped. The copy holds
// everything of the views before the transfer, everything since has been kept,
// so nothing is missing and nothing counts twice, whoever the source is and
// whenever it is replaced.
//
// An update is acknowledged when one server, the server coordinator, has
// applied it. It survives as long as the one who asked for it, or a server that
// has received it, goes on in the primary view. With a quorum, servers without
// one refuse updates.
package kv
