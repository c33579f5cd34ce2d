package udp

import (
	"errors"
	"os"
	"syscall"
)

// Stats counts what a Conn has done since it was opened. Datagrams are counted
// as they are on the wire: a run of 44 counts 44.
type Stats struct {
	DatagramsIn, BytesIn    uint64 // handed to the caller
	DatagramsOut, BytesOut  uint64 // accepted by the kernel
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

	SendEPERM, SendENOBUFS, SendENETUNREACH   uint64 // ENOBUFS: EAGAIN too
	SendEMSGSIZE, SendECONNREFUSED, SendOther uint64 // ENETUNREACH: EHOSTUNREACH too

	PortUnreachable uint64 // ICMP answers that say that a peer's port is closed
	GSOFallbacks    uint64 // how often GSO was found broken and turned off

	LifelineHeld     bool   // one holds now
	Lifelines        uint64 // that have held
	LifelineBreaks   uint64 // of these, that broke
	LifelineRefusals uint64 // connections of others, closed because there were too many
}

// countError counts the error of a datagram that was given up. The numbers are
// those of the system's own errno; where it has other numbers for its sockets
// (Windows) everything is SendOther.
func (s *Stats) countError(err error) {
	var e syscall.Errno
	if errors.Is(err, os.ErrDeadlineExceeded) { // the portable path's EAGAIN
		e = syscall.EAGAIN
	} else {
		errors.As(err, &e)
	}
	switch e {
	case syscall.EPERM, syscall.EACCES:
		s.SendEPERM++
	case syscall.ENOBUFS, syscall.EAGAIN, syscall.ENOMEM:
		s.SendENOBUFS++
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EADDRNOTAVAIL:
		s.SendENETUNREACH++
	case syscall.EMSGSIZE:
		s.SendEMSGSIZE++
	case syscall.ECONNREFUSED:
		s.SendECONNREFUSED++
	default:
		s.SendOther++
	}
}
