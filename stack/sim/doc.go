// Package sim runs many members of a group in one process, over a virtual
// network and in virtual time. Everything follows from one seed: two runs of a
// seed are the same run, packet by packet, so that a failure can be looked at
// as often as it takes.
//
// A World is a network of hosts and the discrete-event loop that drives it.
// Add starts a member on a host: a stack.Group, the driver it needs, and the
// application above it, which can be any stack.Runner. Applications test
// themselves with it:
//
//	w := sim.New(1, sim.Options{})
//	a, err := w.Add("a", cfg, appA)
//	b, err := w.Add("b", cfg, appB)
//	w.RunFor(time.Second)
//	w.Partition([]string{"a"}, []string{"b"})
//	w.RunFor(time.Second)
//	w.Heal()
//
// # The network
//
// Each ordered pair of hosts is a link with its own loss, bursts of loss,
// delay, jitter, reordering, duplication, replay of old datagrams and cuts. A
// run of datagrams that a member transmits in one piece (GSO) arrives in one
// piece (GRO) unless something happens to one of them. Hosts have finite
// receive queues, and optionally finite bandwidth. A datagram to a host that is
// up but has no process is answered by an ICMP port unreachable. Members keep
// lifelines: who watches a process hears when it ends, unless the link is cut.
//
// # A member's turn
//
// A member wakes when a datagram has arrived or its deadline has come: it
// advances its clock, takes all datagrams that are there, lets the application
// run, and ends the turn. Turns may cost virtual time, in which datagrams
// queue, as they do at a real process.
package sim
