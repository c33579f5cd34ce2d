package udp

// Stats counts what a Conn has done since it was opened. Datagrams are counted
// as they are on the wire: a run of 44 counts 44.
type Stats struct {
	DatagramsIn, BytesIn   uint64 // handed to the caller
	DatagramsOut, BytesOut uint64 // accepted by the kernel
	SyscallsIn, SyscallsOut uint64

	Own       uint64 // our own multicasts come back, dropped (runs)
	Truncated uint64 // datagrams longer than a buffer, dropped
	Empty     uint64 // datagrams without a payload, dropped

	// SocketDrops is what the kernel dropped because a socket's receive buffer
	// was full, over both sockets. It becomes known with the next datagram that
	// does get through.
	SocketDrops uint64

	// LostOut is datagrams that the kernel did not accept; the errors of these
	// and of later retries are counted by class below.
	LostOut uint64

	SendEPERM, SendENOBUFS, SendENETUNREACH    uint64 // ENOBUFS: EAGAIN too
	SendEMSGSIZE, SendECONNREFUSED, SendOther uint64 // ENETUNREACH: EHOSTUNREACH too

	PortUnreachable uint64 // ICMP answers that say that a peer's port is closed
	GSOFallbacks    uint64 // how often GSO was found broken and turned off
}
