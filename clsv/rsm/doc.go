// Package rsm makes a deterministic machine a replicated service: the servers
// of a group apply the same commands in the same order.
//
// A Machine applies commands, and can be copied. Any member proposes commands,
// clients too:
//
//	result, err := replica.Propose(ctx, command)
//
// Commands are multicast in total order to the servers. A server that joins, or
// that has lost a merge, gets the state from another by package csx, while the
// others go on; it misses nothing and applies nothing twice.
//
// # What is promised
//
// Propose returns the result of Apply when enough servers have applied the
// command: Options.Copies, by default a majority of the servers of the view, at
// least GroupOptions.Quorum, and all if there are fewer. At a server, it has then
// been applied there too. All later commands, whoever proposes them, come after
// it. Each command has a number and is applied once, however often it has to be
// sent because a server that should have answered dies; the table of what has been
// applied is part of the state (package once).
//
// Read waits until all that was acknowledged to anybody before has been applied
// at this server, and then looks at the machine.
//
// A command that was acknowledged survives as long as one of the servers that had
// applied it goes on: the others get it from that one in the next view change, if
// they do not have it already, as they mostly do. So of five servers any two may
// crash at any moment. A command may be lost when more crash at the same time;
// with AllCopies, only when all servers do, but then the slowest one holds up
// every command. Nothing is written to disks: what is applied is in the servers'
// memory.
//
// An Apply that panics takes its server out of the group, and since it is
// deterministic, all servers.
//
// Without GroupOptions.Quorum both sides of a partition take commands, and what
// the losing side took is lost when they meet. With a quorum the smaller side
// refuses them, ErrNoQuorum, and each later primary view that has a quorum of
// members out of less than two quorums contains a server that has applied what was
// acknowledged, if there are as many normal servers as the quorum. Clients count
// for the quorum and keep no state: a group needs more servers than clients.
//
// # Which state prevails
//
// A view may have a quorum on its list and be installed by one member only, which
// is then cut off; the rest of the list goes to another primary view. That one
// member applies commands too, perhaps many. So a server answers for what it has
// applied only in a view that it knows to be agreed on, which a quorum has installed
// (clsv.PrimaryObserver), and until its Block. How old a state is, is the last such
// view that it comes from, and then how much of that view's one order it has
// (clsv.Side, Agreed and Version); commands of other views do not count. Any two
// quorums have a member in common, so agreed views follow each other, and each
// begins with what was acknowledged before. Hence in a merge a state that holds an
// acknowledged command wins over every state that does not, however many
// unacknowledged ones that has. With a MergePolicy of one's own it is as that says.
//
// # Messages
//
// Scast is this package's, and so is Send of messages that begin with a zero
// byte. All else is the application's: Options.Handler gets it, views included.
package rsm
