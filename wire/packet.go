package wire

import "net/netip"

// Packet is what one receive gave: one datagram, or a run of datagrams of one
// sender that the kernel joined (GRO). The receiver borrows it; Buf.Keep and
// Buf.Drop extend its life.
type Packet struct {
	From netip.AddrPort
	Buf  *Buf
	Data []byte // within Buf.B
	Seg  int    // length of each datagram in Data; only the last may be shorter
}
