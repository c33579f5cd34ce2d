// Package stack is the frame that layers of protocol are stacked in: the layer
// interface, the events that layers tell each other, views, composition from
// properties, and the group, which lives across views and gives each view a
// fresh stack.
//
// Everything here is a deterministic state machine. Time, datagrams and
// downcalls go in; datagrams, upcalls and the next deadline come out. There is
// no goroutine, lock, clock, socket or random source inside; a driver brings
// them (stack/node over real sockets, stack/sim in virtual time).
//
// # Writing a layer
//
// A layer is a struct that embeds *Port, made anew for each view by its Maker.
// It overrides those of the five methods of Layer that it cares for; the Port
// passes on the rest. It sends through the Port: PassDown and PassUp to its
// neighbours, Tell to all layers, Ask to those that can fill in an answer,
// CastControl and SendControl to its peers in other stacks. The rules:
//
//   - A message is borrowed for the call. Who wants it longer keeps its buffer.
//   - Bytes from the network are checked once, counted and dropped when bad.
//     A contradiction of our own panics with Broken.
//   - Time is Now, the same during one input. A layer has one deadline, set by
//     SetDeadline, and is woken by Expire, after which its next deadline must
//     lie later.
//   - Events told are delivered when the current input has been handled, in the
//     order in which they were told, to all layers from the bottom up. Queries
//     are answered at once.
//
// layers/local is the smallest example.
package stack
