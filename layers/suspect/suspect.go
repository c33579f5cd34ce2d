// Package suspect is failure detection.
//
// Guarantee: a member that is gone is suspected within Silence; one whose
// process was killed while its host lives, within about a Probe; one that lives
// and is connected, only after it was silent for Silence and did not answer
// probes in the last third of it. After false alarms Silence is longer for a
// while (Port.Silence). In views of more than few members it is longer, by as much
// as their heartbeats are farther apart, for all but the one that probes this member.
//
// Needs: datagrams; whatever comes from a member shows that it lives.
//
// Header: heartbeats (multicast) and probes (to one member) have no body. The
// sequence number of a probe is 1 if it is to be answered, by one with 0.
//
// Timers: a heartbeat each Heartbeat, in views of more than few members so much
// less often that nobody hears more of them (see interval); each Probe a probe to
// the next live rank, whose kernel answers with port unreachable if the process is
// gone; members that have been silent for two thirds of what they may be are probed
// then too, in larger views with each heartbeat only.
// When this member's own timer comes late by more than a quarter of Silence,
// it was itself that stood still, and everybody gets as much more time. A member
// that is probed, and is about to probe its own neighbour, does that at once, and
// sends its heartbeat along if that is due soon: so a ring of probes goes round as
// a wave, and an idle member wakes once for what would be two or three events.
//
// Source: heartbeats as in Ensemble's suspect and JGroups' FD_ALL3; the ring of
// probes as in FD_SOCK, with the kernel's ICMP instead of a TCP reset; the
// detection of one's own pause as corosync's.
package suspect

import (
	"fmt"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// few is how many members' heartbeats cost each other next to nothing. In a group of
// 64 that beat each 50 ms, each would be woken 1,300 times a second by an idle group.
const few = 16

// interval is how often a member of a view of n beats: at least so often that one
// falls into the last third of what others may be silent.
func interval(cfg *stack.Config, n int) time.Duration {
	most := (cfg.Silence - cfg.Heartbeat) / 2
	return max(cfg.Heartbeat, min(cfg.Heartbeat*time.Duration(n)/few, most))
}

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "suspect", Needs: stack.Datagrams, Gives: stack.Detect,
		Kinds: []wire.Kind{wire.KindHeartbeat, wire.KindProbe},
		New: func(p *stack.Port) stack.Layer {
			l := &layer{Port: p, failed: make(stack.Set, p.N()),
				beats: interval(p.Config(), p.N())}
			if p.N() > 1 {
				// Members' first heartbeats are spread, not all at once.
				spread := p.Rand().Int64N(int64(l.beats)) + 1
				l.beatAt = p.Now().Add(time.Duration(spread))
				l.probeAt = p.Now().Add(p.Config().Probe)
				l.due = min(l.beatAt, l.probeAt)
				p.SetDeadline(l.due)
			}
			return l
		}}
}

type layer struct {
	*stack.Port
	failed  stack.Set
	beats   time.Duration // from one heartbeat to the next
	beatAt  stack.Time
	probeAt stack.Time
	due     stack.Time // when Expire was asked for
	heard   stack.Heard
}

func (l *layer) Receive(d *stack.Datagram) {
	switch {
	case d.Kind == wire.KindProbe && d.Seq == 1:
		l.SendControl(int(d.Sender), wire.KindProbe, 0, nil)
	case d.Kind == wire.KindProbe && l.probeAt.Sub(l.Now()) < l.Config().Probe/2:
		l.heard.Shift = 0
		// The next wave comes before the next timer.
		l.round(l.Now(), l.Config().Probe+l.Config().Probe/8)
	}
}

func (l *layer) Event(e stack.Event) {
	if f, ok := e.(stack.Fail); ok {
		copy(l.failed, f.Failed)
	}
}

// Expire beats, probes and judges.
func (l *layer) Expire() {
	now := l.Now()
	l.heard.Shift = 0
	if late := now.Sub(l.due); late > l.Silence()/4 {
		l.heard.Shift = late
		l.Counters().SelfStalls++
	}
	if l.probeAt <= now {
		l.round(now, l.Config().Probe)
		return
	}
	l.beat(now, 0)
	l.judge(now)
	l.sleep()
}

// round probes, for the next time after d, and beats if that is due soon.
func (l *layer) round(now stack.Time, d time.Duration) {
	l.probeAt = now.Add(d)
	if r := l.neighbour(); r >= 0 {
		l.SendControl(r, wire.KindProbe, 0, nil)
	}
	l.beat(now, l.Config().Probe/2)
	l.judge(now)
	l.sleep()
}

// beat tells that this member lives, if that is due within d.
func (l *layer) beat(now stack.Time, d time.Duration) {
	if l.beatAt <= now.Add(d) {
		l.beatAt = now.Add(l.beats)
		l.CastControl(wire.KindHeartbeat, 0, nil)
	}
}

func (l *layer) sleep() {
	l.due = min(l.beatAt, l.probeAt)
	l.SetDeadline(l.due)
}

// neighbour is the next live rank after ours, or -1.
func (l *layer) neighbour() int {
	n := l.N()
	for i := 1; i < n; i++ {
		if r := (l.Me() + i) % n; !l.failed[r] {
			return r
		}
	}
	return -1
}

// judge suspects who has been silent for too long, and probes who soon will be.
func (l *layer) judge(now stack.Time) {
	ask := l.N() <= few || l.beatAt == now.Add(l.beats)
	l.Ask(&l.heard)
	for r, at := range l.heard.At {
		if r == l.Me() || l.failed[r] {
			continue
		}
		silent, may := now.Sub(at), l.may(r)
		switch {
		case silent >= may:
			l.Tell(stack.Suspect{Rank: r, Why: fmt.Sprintf("silent for %v", silent)})
		case silent >= may*2/3 && ask:
			l.SendControl(r, wire.KindProbe, 1, nil)
		}
	}
}

// may is how long a member may be silent. The one before us probes us; from others
// there are heartbeats only.
func (l *layer) may(r int) time.Duration {
	if (r+1)%l.N() == l.Me() {
		return l.Silence()
	}
	return l.Silence() + l.beats - l.Config().Heartbeat
}
