// Package udp moves datagrams over real sockets: one multicast socket that
// receives, and one unicast socket that receives and sends everything. Without
// multicast it sends a copy to each peer instead.
//
// The kernel's price is paid per system call and per run of datagrams, not per
// datagram, so on Linux runs leave by UDP_SEGMENT (GSO) and arrive by UDP_GRO,
// in batches of sendmmsg and recvmmsg, into reference-counted buffers, and
// nothing is allocated in the steady state. Elsewhere (and with Config.Portable)
// golang.org/x/net moves them with the same meaning and less speed.
//
// Beside them a Conn keeps a TCP connection to one address, its lifeline, and has a
// listener for those of others: so it hears at once of the end of a process.
//
// A Conn has one owner, the event loop; only Wake and Close may be called from
// other goroutines. Errors of the network are counted, never returned: whatever
// was lost is the protocol's to repair.
package udp
