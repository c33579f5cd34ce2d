package stack

import (
	"time"

	"maestro/wire"
)

// patience is how long a member may be silent, and learns from false alarms: who
// was taken for failed and is back in the same life soon after had not failed.
// Each view in which that shows doubles the patience, each calm time halves it.
// Without it, members whose view changes take longer than Silence, on a slow
// network or on machines with too much to do, would suspect each other for ever.
type patience struct {
	extra  time.Duration // on top of Silence
	since  Time          // of the last false alarm or halving
	failed map[wire.Endpoint]Time
}

const (
	// MaxSilence bounds what Silence grows to by false alarms. A larger Silence
	// does not grow.
	MaxSilence = time.Second
	// soonBack and calm are in units of the patience at the time.
	soonBack = 8
	calm     = 16
)

// silence is how long a member may be silent now.
func (p *patience) silence(now Time, least time.Duration) time.Duration {
	for p.extra > 0 {
		d := calm * (least + p.extra)
		if now.Sub(p.since) < d {
			break
		}
		p.since = p.since.Add(d)
		if p.extra /= 2; p.extra < least/2 {
			p.extra = 0
		}
	}
	return least + p.extra
}

// changed learns from a view change: who failed in the old view, and who is in
// the next one.
func (p *patience) changed(now Time, least time.Duration, old *View, failed Set, next *View) {
	soon := soonBack * p.silence(now, least)
	for e, at := range p.failed {
		if now.Sub(at) > soon {
			delete(p.failed, e)
		}
	}
	for r, f := range failed {
		if f && r < len(old.Members) {
			if p.failed == nil {
				p.failed = map[wire.Endpoint]Time{}
			}
			p.failed[old.Members[r].ID] = now
		}
	}
	back := false
	for i := range next.Members {
		if _, ok := p.failed[next.Members[i].ID]; ok {
			delete(p.failed, next.Members[i].ID)
			back = true
		}
	}
	if back {
		p.extra = max(0, min(2*(least+p.extra), MaxSilence)-least)
		p.since = now
	}
}
