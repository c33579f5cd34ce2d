package group

import (
	"encoding/json"
	"fmt"
	"runtime"
	"time"

	"maestro/stack"
)

// Usage is what a process has used of its machine.
type Usage struct {
	CPU                    time.Duration // user and system
	Switches, Preempted    int64         // context switches it wanted, and did not
	RSS, MaxRSS            int64         // KiB
	Mallocs, Allocated, GC uint64
}

// Traffic is what a member's sockets and stack have counted.
type Traffic struct {
	DatagramsIn, DatagramsOut uint64
	BytesIn, BytesOut         uint64
	SyscallsIn, SyscallsOut   uint64
	Drops                     uint64 // datagrams, by full receive buffers
	Repairs, Naks, Limited    uint64
	Views, Suspicions, Stalls uint64
}

// Stats is what a member has done since the last reset.
type Stats struct {
	Count, Bytes uint64        // messages delivered
	Head         uint64        // of these, delivered at the first time that there were any
	Took         time.Duration // from the first delivery to the last
	Stall        time.Duration // longest time without a delivery
	Sent         int
	Casts, Trips Times // one way, there and back
	Members      int
	Usage        Usage
	Traffic      Traffic
}

// Rate is messages delivered a second, after the first delivery.
func (s *Stats) Rate() float64 {
	if s.Took <= 0 {
		return 0
	}
	return float64(s.Count-s.Head) / s.Took.Seconds()
}

// usage reads what the process has used up to now.
func usage() Usage {
	u := kernelUsage()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.Mallocs, u.Allocated, u.GC = m.Mallocs, m.TotalAlloc, uint64(m.NumGC)
	return u
}

func (m *Member) traffic() (t Traffic) {
	_, u := m.node.Stats()
	m.node.Do(func(g *stack.Group) {
		c := g.Counters()
		t = Traffic{DatagramsIn: u.DatagramsIn, DatagramsOut: u.DatagramsOut, BytesIn: u.BytesIn,
			BytesOut: u.BytesOut, SyscallsIn: u.SyscallsIn, SyscallsOut: u.SyscallsOut,
			Drops: u.SocketDrops, Repairs: c.Repairs, Naks: c.NaksOut, Limited: c.FlowLimited,
			Views: c.Views, Suspicions: c.Suspicions, Stalls: c.SelfStalls}
	})
	return t
}

func (t Traffic) since(o Traffic) Traffic {
	for _, f := range [][2]*uint64{{&t.DatagramsIn, &o.DatagramsIn},
		{&t.DatagramsOut, &o.DatagramsOut}, {&t.BytesIn, &o.BytesIn}, {&t.BytesOut, &o.BytesOut},
		{&t.SyscallsIn, &o.SyscallsIn}, {&t.SyscallsOut, &o.SyscallsOut}, {&t.Drops, &o.Drops},
		{&t.Repairs, &o.Repairs}, {&t.Naks, &o.Naks}, {&t.Limited, &o.Limited},
		{&t.Views, &o.Views}, {&t.Suspicions, &o.Suspicions}, {&t.Stalls, &o.Stalls}} {
		*f[0] -= *f[1]
	}
	return t
}

// since is what has been used since an earlier look; RSS is as it is now.
func (u Usage) since(o Usage) Usage {
	u.CPU -= o.CPU
	u.Switches -= o.Switches
	u.Preempted -= o.Preempted
	u.Mallocs -= o.Mallocs
	u.Allocated -= o.Allocated
	u.GC -= o.GC
	return u
}

// stats tells what there is, as one line of JSON.
func (w *work) stats() error {
	s := Stats{Usage: usage(), Traffic: w.m.traffic()}
	w.m.node.Do(func(*stack.Group) {
		a := &w.m.app.shown
		s.Count, s.Bytes, s.Stall = a.count, a.bytes, a.stall
		s.Took, s.Head = a.last.Sub(a.first), a.head
	})
	if v := w.m.now.Load(); v != nil {
		s.Members = len(v.Members)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Casts, s.Trips, s.Sent = w.casts, w.trips, w.sent
	s.Usage, s.Traffic = s.Usage.since(w.base), s.Traffic.since(w.before)
	b, err := json.Marshal(&s)
	if err != nil {
		return fmt.Errorf("group: %w", err)
	}
	w.m.say("STATS %s", b)
	return nil
}

// count tells how many messages have been delivered.
func (w *work) count() {
	n := uint64(0)
	w.m.node.Do(func(*stack.Group) { n = w.m.app.shown.count })
	w.m.say("COUNT %d", n)
}
