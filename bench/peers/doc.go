// Package peers builds programs that do the benchmarks' work on other systems,
// to hold them beside ours. Each system has a folder with an adapter: a Go
// module of its own behind the build tag peers, a C file, or a Java class. None
// of it belongs to our module, so that what it depends on touches nothing; it
// is built, in a temporary folder, when it is to be measured.
//
// An adapter is one member. Its arguments are key=value:
//
//	member, members  its number, from 1, and how many there are
//	mode             stream: member 1 sends to all. ping: so that member 2 answers
//	variant          of the system, may be empty
//	size, ms, count  bytes of a message, for how long, at most how many round trips
//	hosts            the members' addresses, joined by commas
//	iface            the network interface
//	group, port      a multicast address and a port; the 64 ports above are free too
//
// It writes lines, and reads some:
//
//	ABOUT JSON       version and settings, by member 1
//	SKIP WHY         the system cannot do this; the process ends
//	READY            the sender may send; a receiver has heard it
//	go               to member 1: begin
//	SENT N           the stream has ended
//	end N            to the receivers: so many messages have been sent
//	RESULT JSON      count and seconds from the first to the last message of a stream;
//	                 p50_us and p99_us of round trips
//
// It ends when its standard input does. The first byte of a message tells probes,
// which the sender sends until "go", from what counts.
package peers
