package floor

import (
	"context"
	"errors"
	"slices"
	"time"
)

const (
	pingWait = time.Second
	warmUp   = 500 // round trips that are not counted
)

// ping sends one datagram, waits for it to come back, and does it again.
func (s *sender) ping(ctx context.Context) error {
	b := make([]byte, max(s.cfg.Message, headerLen))
	times := make([]time.Duration, 0, s.cfg.Count)
	start, cpu := time.Now(), cpuSeconds()
	warmUp := warmUp
	if s.cfg.Every > 0 {
		warmUp = min(warmUp, s.cfg.Count/10)
	}
	for n := range s.cfg.Count + warmUp {
		time.Sleep(time.Until(start.Add(time.Duration(n) * s.cfg.Every)))
		if n&255 == 0 && (ctx.Err() != nil || time.Since(start) > time.Minute) {
			break
		}
		putHeader(b, kindPing, 0, uint64(n), 0)
		sent := time.Now()
		if err := s.p.send(s.peers[0], b, len(b)); err != nil {
			return err
		}
		back, err := await(s.p, kindPing, s.cfg.Wait)
		if err != nil {
			return err
		}
		if offsetOf(back) == uint64(n) && n >= warmUp {
			times = append(times, time.Since(sent))
		}
	}
	putHeader(b, kindEnd, 0, 0, 0)
	if err := s.p.send(s.peers[0], b, len(b)); err != nil {
		return err
	}
	if len(times) == 0 {
		return errors.New("floor: no round trip was measured")
	}
	slices.Sort(times)
	at := func(q float64) float64 {
		return float64(times[int(q*float64(len(times)-1))].Nanoseconds()) / 1e3
	}
	s.res.RoundTrips = len(times)
	s.res.MinUs, s.res.P50us, s.res.P99us = at(0), at(0.5), at(0.99)
	s.res.P999us, s.res.MaxUs = at(0.999), at(1)
	s.res.Seconds, s.res.CPUSeconds = time.Since(start).Seconds(), cpuSeconds()-cpu
	return nil
}

// pong sends every datagram back.
func (r *receiver) pong() error {
	for {
		b, err := await(r.p, kindPing, r.cfg.Wait)
		if err != nil || kindOf(b) == kindEnd {
			return err
		}
		if err := r.p.send(r.to, b, len(b)); err != nil {
			return err
		}
	}
}

// await gives the next datagram of the kind, or the end.
func await(p port, kind uint32, how Wait) ([]byte, error) {
	start := time.Time{}
	for n := 1; ; n++ {
		b, err := next(p, how)
		if err != nil {
			return nil, err
		}
		if k := kindOf(b); k == kind || k == kindEnd {
			return b, nil
		}
		if n&1023 == 0 || how != Spin {
			if start.IsZero() {
				start = time.Now()
			} else if time.Since(start) > pingWait {
				return nil, errors.New("floor: a datagram of the ping-pong was lost")
			}
		}
	}
}

// next waits for a datagram, in one of the ways.
func next(p port, how Wait) (b []byte, err error) {
	switch how {
	case Spin:
		b, _, _, err = p.recv(0)
		return b, err
	case Hybrid:
		for began := time.Now(); time.Since(began) < HybridSpin; {
			if b, _, _, err = p.recv(0); err != nil || len(b) > 0 {
				return b, err
			}
		}
	}
	b, _, _, err = p.recv(pingWait)
	return b, err
}
