package floor

import (
	"encoding/binary"
	"math"
	"time"
)

// headerLen is that of the stack's datagrams:
//
//	0      4         6       8        16       24
//	| kind | first   | -     | offset | member |  stream...
//
// First is where in the datagram the first whole message begins (0: nowhere), so
// that a receiver finds the messages again after a loss. Offset is the datagram's
// place in the stream, in bytes of datagrams.
const headerLen = 24

// The kinds of datagrams.
const (
	kindData  = 0x4D464C01 + iota
	kindHello // sender to all: who is there
	kindHere  // receiver to sender
	kindAck   // receiver to sender: offset is how far it has read
	kindEnd   // sender to all: offset is the stream's length
	kindDone  // receiver to sender
	kindPing
)

func putHeader(b []byte, kind uint32, first int, offset uint64, member int) {
	binary.LittleEndian.PutUint32(b, kind)
	binary.LittleEndian.PutUint32(b[4:], uint32(first))
	binary.LittleEndian.PutUint64(b[8:], offset)
	binary.LittleEndian.PutUint64(b[16:], uint64(member))
}

func kindOf(b []byte) uint32 {
	if len(b) < headerLen {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

func offsetOf(b []byte) uint64 { return binary.LittleEndian.Uint64(b[8:]) }
func memberOf(b []byte) int    { return int(binary.LittleEndian.Uint64(b[16:])) }

// packer writes messages of one size into datagrams as a byte stream: two bytes
// of length, then the message, which may go on in the next datagram. The two
// bytes are never split; a single byte that is left over is skipped.
type packer struct {
	msg      []byte
	rest     []byte // of a message that the last datagram could not take whole
	offset   uint64
	messages uint64 // whole ones written
	datagram int
}

// fill writes one run of datagrams, all of full length.
func (p *packer) fill(run []byte) {
	for len(run) > 0 {
		p.fillOne(run[:p.datagram])
		run = run[p.datagram:]
		p.offset += uint64(p.datagram)
	}
}

func (p *packer) fillOne(d []byte) {
	b := d[headerLen:]
	k := copy(b, p.rest)
	p.rest = p.rest[k:]
	b = b[k:]
	first := 0
	if len(b) >= 2 {
		first = len(d) - len(b)
	}
	putHeader(d, kindData, first, p.offset, 0)
	msg := p.msg
	n := len(msg)
	count := uint64(0)
	for len(b) >= n+2 {
		binary.LittleEndian.PutUint16(b, uint16(n))
		copy(b[2:], msg)
		b = b[n+2:]
		count++
	}
	p.messages += count
	if len(b) >= 2 {
		b[0], b[1] = byte(n), byte(n>>8)
		p.rest = msg[copy(b[2:], msg):]
		p.messages++
	}
}

// parser counts the messages of a stream and touches each: its length and its
// first byte.
type parser struct {
	next     uint64 // offset of the datagram that must come
	rest     int    // bytes that are still to come of a split message
	lost     uint64 // bytes of datagrams
	bytes    uint64
	messages uint64
	sum      uint64 // of first bytes, so that reading them cannot be left out
	fresh    bool   // a split message's first byte is in the next datagram
}

// datagram reads one datagram of the stream.
func (p *parser) datagram(d []byte) {
	off := offsetOf(d)
	b := d[headerLen:]
	if off != p.next {
		if off < p.next {
			return // a copy
		}
		p.lost += off - p.next
		first := int(binary.LittleEndian.Uint32(d[4:]))
		p.rest, p.fresh = 0, false
		if first == 0 || first > len(d) {
			b = nil
		} else {
			b = d[first:]
		}
	}
	p.next = off + uint64(len(d))
	p.bytes += uint64(len(d))
	if p.rest > 0 {
		b = p.continued(b)
	}
	sum, count := p.sum, uint64(0)
	for len(b) >= 3 {
		n := int(binary.LittleEndian.Uint16(b))
		sum += uint64(b[2])
		count++
		if len(b) < n+2 {
			p.rest = n + 2 - len(b)
			b = nil
			break
		}
		b = b[n+2:]
		// While lengths stay the same the processor need not wait for one to find the next.
		for len(b) >= n+2 && n > 0 && int(binary.LittleEndian.Uint16(b)) == n {
			sum += uint64(b[2])
			count++
			b = b[n+2:]
		}
	}
	if len(b) == 2 { // only the length: the rest follows
		p.rest = int(b[0]) | int(b[1])<<8
		p.fresh = true
		count++
	}
	p.sum, p.messages = sum, p.messages+count
}

// continued takes the rest of a split message.
func (p *parser) continued(b []byte) []byte {
	if p.fresh && len(b) > 0 {
		p.sum += uint64(b[0])
		p.fresh = false
	}
	k := min(p.rest, len(b))
	p.rest -= k
	return b[k:]
}

// memoryTries is how often Memory measures. The least counts, since others may run
// in between.
const memoryTries = 5

// Memory is what a message costs in the floor without the kernel, in nanoseconds:
// to pack it and to read it, batch of them at a time.
func Memory(message, batch, count int) float64 {
	all := batch * (message + 2)
	pk := &packer{msg: make([]byte, message), datagram: min(1472, headerLen+all)}
	body := pk.datagram - headerLen
	run := make([]byte, (all+body-1)/body*pk.datagram)
	ps := &parser{}
	least := math.Inf(1)
	for range memoryTries {
		began, before := time.Now(), ps.messages
		for ps.messages-before < uint64(max(count/memoryTries, 1)) {
			pk.fill(run)
			for b := run; len(b) > 0; b = b[pk.datagram:] {
				ps.datagram(b[:pk.datagram])
			}
		}
		least = min(least, float64(time.Since(began))/float64(ps.messages-before))
	}
	return least
}
