// Package suspect is failure detection.
//
// Guarantee: a member that is gone is suspected within Silence; one whose
// process was killed while its host lives, at once where the lifeline to it held, else
// within about a Probe; one that lives and is connected, only after it was silent for
// Silence and did not answer questions in the last third of it. After false alarms
// Silence is longer for a while (Port.Silence).
//
// Needs: datagrams; whatever comes from a member shows that it lives.
//
// Header: heartbeats (multicast) and probes (to one member) have no body. The
// sequence number of a probe is 1 if it is to be answered, by one with 0.
//
// Timers: each Probe a probe to the next live rank, whose kernel answers with port
// unreachable if the process is gone. While the driver holds a lifeline to that rank
// (Port.Watch) it is told so sooner; then probes are only a sign of life, and go each
// Heartbeat, if that is more, until a member is late or the view changes: then they tell
// who has not heard that it is over. When the lifeline breaks, or that rank is another, a
// probe goes at once. Heartbeats for all others are as far apart as
// can be (see interval), since each is a wake-up for everybody. The rank before one's own
// is watched, since it probes this member; others may be silent for as much longer as
// their heartbeats are farther apart than Heartbeat, unless all that would watch them
// are gone too (see judge). Who has been silent for two thirds of that is asked, again
// and again: that is what makes few heartbeats enough.
// When this member's own timer comes late by more than a quarter of Silence,
// it was itself that stood still, and everybody gets as much more time. A member
// that is probed, and is about to probe its own neighbour, does that at once, and
// sends its heartbeat along if that is due soon: so a ring of probes goes round as
// a wave, and an idle member wakes once for what would be two or three events.
//
// Source: heartbeats as in Ensemble's suspect and JGroups' FD_ALL3; the ring of
// probes as in FD_SOCK, with its TCP connections where they come about, and with the
// kernel's ICMP where they do not; questions to who is late as in SWIM; the detection
// of one's own pause as corosync's.
package suspect

import (
	"fmt"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// In views of at most few members everybody who is silent is asked often. In larger
// ones, of which half can fall silent at once, less often.
const (
	few      = 16
	oftenIn  = 24 // questions in a Silence: 8 in its last third
	seldomIn = 9  // 3
)

// interval is how far heartbeats are apart in a view of n: so far that one falls into
// the last third of what others may be silent. Where probes are not more frequent than
// Heartbeat, who is probed needs heartbeats too.
func interval(cfg *stack.Config, n int) time.Duration {
	most := (cfg.Silence - cfg.Heartbeat) / 2
	if cfg.Probe > cfg.Heartbeat {
		most = min(most, cfg.Heartbeat*time.Duration(n)/few)
	}
	return max(cfg.Heartbeat, most)
}

// Maker makes the layer.
func Maker() stack.Maker {
	return stack.Maker{Name: "suspect", Needs: stack.Datagrams, Gives: stack.Detect,
		Kinds: []wire.Kind{wire.KindHeartbeat, wire.KindProbe},
		New: func(p *stack.Port) stack.Layer {
			l := &layer{Port: p, failed: make(stack.Set, p.N()),
				beats: interval(p.Config(), p.N())}
			l.next = l.neighbour()
			l.held = p.Watch(l.next)
			if l.next >= 0 {
				// Members' first heartbeats are spread, not all at once.
				spread := p.Rand().Int64N(int64(l.beats)) + 1
				l.beatAt = p.Now().Add(time.Duration(spread))
				l.probeAt = p.Now().Add(l.period())
				l.judgeAt = p.Now().Add(p.Silence() * 2 / 3)
				l.sleep()
			}
			return l
		}}
}

type layer struct {
	*stack.Port
	failed  stack.Set
	next    int           // the neighbour, which is probed; -1: there is none
	held    bool          // the lifeline to it
	late    bool          // somebody has been silent for long
	changes bool          // the view is about to end
	beats   time.Duration // from one heartbeat to the next
	beatAt  stack.Time
	probeAt stack.Time
	judgeAt stack.Time // when somebody may have been silent for long
	due     stack.Time // when Expire was asked for
	askedAt stack.Time // when somebody was asked last
	heard   stack.Heard
}

func (l *layer) Receive(d *stack.Datagram) {
	switch {
	case d.Kind == wire.KindProbe && d.Seq == 1:
		l.SendControl(int(d.Sender), wire.KindProbe, 0, nil)
	case d.Kind == wire.KindProbe && l.probeAt.Sub(l.Now()) < l.period()/2:
		l.heard.Shift = 0
		// The next wave comes before the next timer.
		l.round(l.Now(), l.wave())
	}
}

func (l *layer) Event(e stack.Event) {
	switch e := e.(type) {
	case stack.Fail:
		copy(l.failed, e.Failed)
		if r := l.neighbour(); r != l.next {
			l.next = r
			l.held = l.Watch(r)
			l.look()
		}
	case stack.Lifeline:
		if e.Rank == l.next {
			l.held = e.Held
			l.look()
		}
	case stack.Stop:
		l.changes = true
		if l.next >= 0 {
			l.hurry()
			l.sleep()
		}
	}
}

// look probes the neighbour at once if nothing else would tell that it is gone.
func (l *layer) look() {
	if l.next >= 0 && !l.held {
		l.heard.Shift = 0
		l.round(l.Now(), l.period())
	}
}

// period is how far probes are apart.
func (l *layer) period() time.Duration {
	if l.held && !l.late && !l.changes {
		return max(l.Config().Probe, l.Config().Heartbeat)
	}
	return l.Config().Probe
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
		l.round(now, l.period())
		return
	}
	l.judge(now, l.beat(now, 0))
	l.sleep()
}

// round probes, for the next time after d, and beats if that is due soon.
func (l *layer) round(now stack.Time, d time.Duration) {
	l.probeAt = now.Add(d)
	if l.next >= 0 {
		l.SendControl(l.next, wire.KindProbe, 0, nil)
	}
	l.beat(now, l.period()/2)
	l.judge(now, true)
	l.sleep()
}

// wave is so long that the wave that one's own probe is part of comes round before.
func (l *layer) wave() time.Duration { return l.period() + l.period()/8 }

// hurry has the next probe go as soon as it would without a lifeline.
func (l *layer) hurry() { l.probeAt = min(l.probeAt, l.Now().Add(l.wave())) }

// beat tells that this member lives, if that is due within d.
func (l *layer) beat(now stack.Time, d time.Duration) bool {
	if l.beatAt > now.Add(d) {
		return false
	}
	l.beatAt = now.Add(l.beats)
	l.CastControl(wire.KindHeartbeat, 0, nil)
	return true
}

// sleep sets the next deadline. A heartbeat that is due shortly before a probe waits
// for it.
func (l *layer) sleep() {
	l.due = min(l.probeAt, l.judgeAt)
	if slack := min(l.Config().Probe/2, l.beats/8); l.beatAt.Add(slack) < l.probeAt {
		l.due = min(l.due, l.beatAt)
	}
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

// judge suspects who has been silent for too long, and asks who soon will be. It goes
// from rank to rank backwards: when the one that this member watches is gone, it
// watches the one before. It suspects with heartbeats and probes only, and not at the
// very moment when the time is over: answers may be on their way. So that it can do so in
// time, probes are close together while somebody is late.
func (l *layer) judge(now stack.Time, suspect bool) {
	apart := l.Silence() / oftenIn
	if l.N() > few {
		apart = l.Silence() / seldomIn
	}
	ask := l.askedAt == 0 || now.Sub(l.askedAt) >= apart
	watched := true
	l.late = false
	l.judgeAt = stack.Never
	l.Ask(&l.heard)
	for i := 1; i < l.N(); i++ {
		r := (l.Me() - i + l.N()) % l.N()
		if l.failed[r] {
			continue
		}
		at, may := l.heard.At[r], l.Silence()
		if !watched {
			may += l.beats - l.Config().Heartbeat
		}
		switch silent := now.Sub(at); {
		case silent >= may && suspect:
			l.Tell(stack.Suspect{Rank: r, Why: fmt.Sprintf("silent for %v", silent)})
			continue
		case silent >= may*2/3:
			l.late = true
			if ask {
				l.askedAt = now
				l.SendControl(r, wire.KindProbe, 1, nil)
			}
			l.judgeAt = min(l.judgeAt, l.askedAt.Add(apart))
		default:
			l.judgeAt = min(l.judgeAt, at.Add(may*2/3))
		}
		watched = false
	}
	l.judgeAt = max(l.judgeAt, now+1)
	if l.late {
		l.hurry()
	}
}
