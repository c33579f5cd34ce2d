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
// Propose returns the result of Apply. At a server, the command has then been
// applied there too. At a client it has been applied by the server coordinator,
// and all later commands, whoever proposes them, come after it. Each command has
// a number and is applied once, however often it has to be sent because a server
// that should have answered dies; the table of what has been applied is part of
// the state (package once).
//
// Read waits until all that was acknowledged to anybody before has been applied
// at this server, and then looks at the machine.
//
// A command that was acknowledged survives as long as a server that was in the
// view goes on in the primary view. Without GroupOptions.Quorum both sides of a
// partition take commands, and what the losing side took is lost when they
// meet. With a quorum the smaller side refuses them: ErrNoQuorum.
//
// # Messages
//
// Scast is this package's, and so is Send of messages that begin with a zero
// byte. All else is the application's: Options.Handler gets it, views included.
package rsm
