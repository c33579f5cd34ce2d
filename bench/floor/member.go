package floor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

const (
	helloEvery = 20 * time.Millisecond
	gather     = 10 * time.Second // for all receivers to be there
	stallAfter = 200 * time.Millisecond
	silence    = 5 * time.Second // a receiver gives up
)

var errGather = errors.New("floor: not all receivers have answered")

// sender is the process that sends.
type sender struct {
	cfg   Config
	p     port
	peers []netip.AddrPort // by receiver
	acked []uint64         // by receiver: bytes read
	done  []bool
	res   Result
}

func runSender(ctx context.Context, cfg Config, p port) (Result, error) {
	s := &sender{cfg: cfg, p: p, peers: make([]netip.AddrPort, cfg.Receivers),
		acked: make([]uint64, cfg.Receivers), done: make([]bool, cfg.Receivers)}
	s.res = Result{Role: Sender, Window: cfg.Window, RecvBuf: p.recvBuf()}
	if err := s.gather(ctx); err != nil {
		return s.res, err
	}
	if cfg.Mode == PingPong {
		err := s.ping(ctx)
		return s.res, err
	}
	if s.res.Window == 0 {
		s.res.Window = min(p.recvBuf()/4, 4<<20)
	}
	cpu := cpuSeconds()
	err := s.stream(ctx)
	s.res.CPUSeconds = cpuSeconds() - cpu
	return s.res, err
}

// gather calls until every receiver has answered.
func (s *sender) gather(ctx context.Context) error {
	hello := make([]byte, headerLen)
	putHeader(hello, kindHello, 0, 0, 0)
	for end := time.Now().Add(gather); slices.Contains(s.peers, netip.AddrPort{}); {
		if ctx.Err() != nil || time.Now().After(end) {
			return errGather
		}
		if err := s.p.send(netip.AddrPort{}, hello, headerLen); err != nil {
			return err
		}
		if err := s.listen(helloEvery); err != nil {
			return err
		}
	}
	return nil
}

// listen reads what the receivers say, and waits for the first of it.
func (s *sender) listen(wait time.Duration) error {
	for {
		b, seg, from, err := s.p.recv(wait)
		if err != nil || len(b) == 0 {
			return err
		}
		for len(b) > 0 {
			d := b[:min(seg, len(b))]
			b = b[len(d):]
			s.hear(d, from)
		}
		wait = 0
	}
}

func (s *sender) hear(d []byte, from netip.AddrPort) {
	kind := kindOf(d)
	if kind == 0 {
		return
	}
	m := memberOf(d) - 1
	if m < 0 || m >= len(s.peers) {
		return
	}
	switch kind {
	case kindHere:
		s.peers[m] = from
	case kindAck:
		s.acked[m] = max(s.acked[m], offsetOf(d))
	case kindDone:
		s.done[m] = true
	}
}

// stream sends for the duration, with at most the window under way.
func (s *sender) stream(ctx context.Context) error {
	msg := make([]byte, s.cfg.Message)
	for i := range msg {
		msg[i] = byte(i + 1)
	}
	pk := &packer{msg: msg, datagram: s.cfg.Datagram}
	run := make([]byte, s.cfg.Run*s.cfg.Datagram)
	start := time.Now()
	for n := 0; ; n++ {
		if n&63 == 0 && (time.Since(start) >= s.cfg.Duration || ctx.Err() != nil) {
			break
		}
		pk.fill(run)
		if err := s.credit(pk.offset); err != nil {
			return err
		}
		if err := s.p.send(netip.AddrPort{}, run, s.cfg.Datagram); err != nil {
			return err
		}
		s.res.Runs++
	}
	if err := s.finish(pk.offset); err != nil {
		return err
	}
	d := time.Since(start).Seconds()
	s.res.Seconds, s.res.Messages, s.res.Bytes = d, pk.messages, pk.offset
	s.res.MsgsPerSec = float64(pk.messages) / d
	s.res.MBPerSec = float64(pk.offset) / d / 1e6
	return nil
}

// credit waits until all that goes up to offset is within the window.
func (s *sender) credit(offset uint64) error {
	w := uint64(s.res.Window)
	if offset <= slices.Min(s.acked)+w {
		return nil
	}
	if err := s.listen(0); err != nil {
		return err
	}
	for offset > slices.Min(s.acked)+w {
		before := slices.Min(s.acked)
		start := time.Now()
		if err := s.listen(stallAfter); err != nil {
			return err
		}
		if slices.Min(s.acked) == before && time.Since(start) >= stallAfter {
			s.res.Stalls++ // what was under way is lost: go on as if it were not
			for i := range s.acked {
				s.acked[i] = max(s.acked[i], offset-w)
			}
		}
	}
	return nil
}

// finish tells the receivers that it is over, and waits until they have read all.
func (s *sender) finish(offset uint64) error {
	end := make([]byte, headerLen)
	putHeader(end, kindEnd, 0, offset, 0)
	for range 20 {
		if err := s.p.send(netip.AddrPort{}, end, headerLen); err != nil {
			return err
		}
		for resend := time.Now().Add(stallAfter); time.Now().Before(resend); {
			if err := s.listen(helloEvery); err != nil {
				return err
			}
			if !slices.Contains(s.done, false) {
				return nil
			}
		}
	}
	return errors.New("floor: a receiver has not confirmed the end")
}

// receiver is a process that receives.
type receiver struct {
	cfg   Config
	p     port
	to    netip.AddrPort // the sender
	ps    parser
	acked uint64
	every uint64 // bytes between acks
	out   [64]byte
	res   Result
	start time.Time
	cpu   float64
}

func runReceiver(ctx context.Context, cfg Config, p port) (Result, error) {
	r := &receiver{cfg: cfg, p: p}
	w := cfg.Window
	if w == 0 {
		w = min(p.recvBuf()/4, 4<<20)
	}
	r.every = uint64(max(w/4, 1))
	if cfg.Nap == 0 {
		r.cfg.Nap = time.Duration(float64(w/4) / napRate * 1e9)
	}
	r.res = Result{Role: Receiver, Member: cfg.Member, Window: w, RecvBuf: p.recvBuf()}
	for {
		b, seg, from, err := r.next()
		if err != nil {
			return r.res, err
		}
		if len(b) == 0 || ctx.Err() != nil {
			return r.res, fmt.Errorf("floor: receiver %d: the sender has gone silent", cfg.Member)
		}
		over, err := r.run(b, seg, from)
		if over || err != nil {
			return r.res, err
		}
	}
}

// Naps are for windows that outlast them, at a rate that no network here exceeds.
const (
	napRate  = 10e9 // bytes a second
	leastNap = 20 * time.Microsecond
)

// next is the next run of datagrams. A receiver that has read everything naps, and
// sleeps only if there is nothing then either. So the sender has nobody to wake, and
// the receivers are woken for many runs at once: 10 to 20 % more.
func (r *receiver) next() (b []byte, seg int, from netip.AddrPort, err error) {
	if r.ps.bytes > 0 && r.cfg.Nap >= leastNap {
		if b, seg, from, err = r.p.recv(0); err != nil || len(b) > 0 {
			return b, seg, from, err
		}
		nap(r.cfg.Nap)
		if b, seg, from, err = r.p.recv(0); err != nil || len(b) > 0 {
			return b, seg, from, err
		}
	}
	return r.p.recv(silence)
}

// run reads one run of datagrams; true ends the receiver.
func (r *receiver) run(b []byte, seg int, from netip.AddrPort) (bool, error) {
	switch kindOf(b) {
	case kindData:
		if r.ps.bytes == 0 {
			r.start, r.cpu = time.Now(), cpuSeconds()
		}
		r.res.Runs++
		for len(b) > headerLen {
			d := b[:min(seg, len(b))]
			b = b[len(d):]
			r.ps.datagram(d)
		}
		if r.ps.next-r.acked >= r.every {
			r.acked = r.ps.next
			return false, r.say(kindAck, r.acked)
		}
		return false, nil
	case kindHello:
		r.to = from
		if r.cfg.Mode == PingPong {
			r.p.unicast()
			if err := r.say(kindHere, 0); err != nil {
				return true, err
			}
			return true, r.pong()
		}
		return false, r.say(kindHere, 0)
	case kindEnd:
		r.end(offsetOf(b))
		return true, r.say(kindDone, r.ps.next)
	}
	return false, nil
}

func (r *receiver) end(total uint64) {
	d := time.Since(r.start).Seconds()
	r.res.LostBytes = r.ps.lost + (total - min(r.ps.next, total))
	r.res.Seconds, r.res.Messages, r.res.Bytes = d, r.ps.messages, r.ps.bytes
	r.res.MsgsPerSec = float64(r.ps.messages) / d
	r.res.MBPerSec = float64(r.ps.bytes) / d / 1e6
	r.res.CPUSeconds = cpuSeconds() - r.cpu
}

func (r *receiver) say(kind uint32, offset uint64) error {
	b := r.out[:headerLen]
	putHeader(b, kind, 0, offset, r.cfg.Member)
	return r.p.send(r.to, b, len(b))
}
