package suite

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"maestro/bench/floor"
	"maestro/bench/group"
	"maestro/bench/peers"
	"maestro/bench/result"
)

// other is a system beside ours, built.
type other struct {
	*result.System
	command []string
	cannot  map[string]bool // jobs that have failed, not to be tried again
}

// benchPeers has other systems do the same work in the same network: one sends as
// fast as it can to all others, and a round trip.
func benchPeers(s *session) error {
	if s.o.Net == Machines {
		return errors.New("suite: other systems are measured on one machine only")
	}
	all, clean, err := s.others()
	defer clean()
	if err != nil {
		return err
	}
	for _, n := range s.members([]int{3}, []int{3}) {
		if err := s.peerRates(all, n); err != nil {
			return err
		}
	}
	return s.peerTrips(all)
}

// The systems of ours that stand beside others, and what they guarantee.
func ours() []result.System {
	return []result.System{
		{Name: "maestro-vsync", Guarantee: "virtual synchrony; FIFO of each sender",
			Settings: "IP multicast, defaults"},
		{Name: "maestro-total", Guarantee: "virtual synchrony; total order by a sequencer",
			Settings: "IP multicast, defaults"},
	}
}

// others builds what has been asked for and can be had, and says why the rest cannot.
func (s *session) others() (all []*other, clean func(), err error) {
	clean = func() {}
	list := s.o.Peers
	if list == nil {
		list = peers.All()
	}
	if s.o.plan.dry {
		return make([]*other, len(list)), clean, nil
	}
	dir, err := peers.Find(s.o.PeerFolder)
	if err != nil {
		return nil, clean, err
	}
	out, err := os.MkdirTemp("", "maestro-peers-")
	if err != nil {
		return nil, clean, fmt.Errorf("suite: %w", err)
	}
	clean = func() { _ = os.RemoveAll(out) }
	for _, o := range ours() {
		o.Version = s.machine.Version
		s.systems = append(s.systems, &o)
		s.own = append(s.own, &other{System: &o})
	}
	for _, p := range list {
		if s.ctx.Err() != nil {
			return nil, clean, s.ctx.Err()
		}
		s.progress("peers: building " + p.String())
		o := &other{System: &result.System{Name: p.String(), Guarantee: p.Guarantee},
			cannot: map[string]bool{}}
		s.systems = append(s.systems, o.System)
		if p.Spaces && s.o.Net != Namespaces {
			o.Skipped = "needs --net ns"
			continue
		}
		if o.command, err = p.Build(s.ctx, dir, out); err != nil {
			o.Skipped = err.Error()
			continue
		}
		all = append(all, o)
	}
	return all, clean, nil
}

// job is what a system is to do.
type job struct {
	mode    string
	members int
	size    int
	d       time.Duration
	count   int
}

// outcome is what a receiver of a stream, or the one who asks, tells.
type outcome struct {
	Sent    int64
	Count   int64   `json:"count"`
	Seconds float64 `json:"seconds"`
	P50     float64 `json:"p50_us"`
	P99     float64 `json:"p99_us"`
}

// peerRates measures streams from one member to all others.
func (s *session) peerRates(all []*other, n int) error {
	w, err := newNetwork(s.ctx, &s.o, n, true)
	if err != nil {
		return err
	}
	defer w.close()
	for _, size := range pick(s, s.o.Sizes, []int{64}, []int{64, 1000, 8192}) {
		rows := newRows("peers", map[string]any{"members": n, "size": size, "wait": "block"})
		j := job{mode: "stream", members: n, size: size, d: s.duration(time.Second)}
		what := fmt.Sprintf("peers: %d members, %d B", n, size)
		about := streams(3*(1+len(all)), j.d)
		if err := s.repeat(s.reps(), about, what, func() error {
			return s.theirRates(w, all, rows, &j)
		}); err != nil {
			return err
		}
		rows.finish(s)
	}
	return nil
}

// theirRates is one repetition: everybody takes a turn.
func (s *session) theirRates(w *network, all []*other, rows *rows, j *job) error {
	f, err := w.rawStream(j.size, j.d)
	if err != nil {
		return err
	}
	if err := s.ourRates(w, rows, j, f.MsgsPerSec); err != nil {
		return err
	}
	for _, o := range all {
		s.progress(fmt.Sprintf("peers: %s, %d members, %d B", o.Name, w.n, j.size))
		got, err := s.peer(w, o, j)
		if err != nil {
			return err
		}
		if got.Count < 2 || got.Seconds == 0 {
			continue
		}
		rows.of(o.Name).rate(float64(got.Count-1)/got.Seconds, f.MsgsPerSec, j.size,
			1-float64(got.Count)/float64(max(got.Sent, 1)))
	}
	return nil
}

// peer has a system do a job. That it cannot is noted, and no end of the run if
// that goes on.
func (s *session) peer(w *network, o *other, j *job) (got outcome, err error) {
	what := fmt.Sprintf("%s of %d B", j.mode, j.size)
	if o.cannot[what] {
		return got, nil
	}
	got, err = w.peer(o, j)
	if err != nil {
		o.cannot[what] = true
		return outcome{}, s.unable(o, j, err)
	}
	return got, nil
}

// unable notes an error of a system, if the run goes on.
func (s *session) unable(o *other, j *job, err error) error {
	if err == nil || s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	o.Skipped = strings.TrimPrefix(fmt.Sprintf("%s; %s of %d B: %.200s", o.Skipped, j.mode, j.size,
		first), "; ")
	return nil
}

// ourRates is our own stacks' part of a repetition.
func (s *session) ourRates(w *network, rows *rows, j *job, floor float64) error {
	for k, o := range s.own {
		s.progress(fmt.Sprintf("peers: %s, %d members, %d B", o.Name, w.n, j.size))
		b := &bed{session: s, w: w, number: k, stack: strings.TrimPrefix(o.Name, "maestro-")}
		rate := 0.0
		c, err := b.ready()
		if err == nil {
			// Not the first: it may be the one that orders.
			var all []*group.Stats
			all, err = c.stream([]int{w.n}, j.size, j.d)
			rate = slowest(all, []int{w.n})
		}
		if err := s.unable(o, j, err); err != nil {
			return err
		}
		b.release()
		if rate > 0 {
			rows.of(o.Name).rate(rate, floor, j.size, 0)
		}
	}
	return nil
}

// rate adds one repetition.
func (r *series) rate(rate, floor float64, size int, lost float64) {
	r.more("rate", "msgs/s", rate).against("floor", floor)
	r.more("bytes", "MB/s", rate*float64(size)/1e6).minor()
	r.less("lost", "%", max(lost*100, 0)).minor()
}

// peerTrips measures round trips of 64 bytes between two members.
func (s *session) peerTrips(all []*other) error {
	w, err := newNetwork(s.ctx, &s.o, 2, true)
	if err != nil {
		return err
	}
	defer w.close()
	rows := newRows("peers", map[string]any{"members": 2, "size": 64, "wait": "block"})
	j := job{mode: "ping", members: 2, size: 64, count: s.rounds(2000), d: pingTime}
	if s.o.Smoke {
		j.d = 300 * time.Millisecond
	}
	about := time.Duration(2+len(all)) * 2 * trips(j.count, j.count)
	if err := s.repeat(s.reps(), about, "peers: round trips", func() error {
		f, err := w.rawPing(string(floor.Block), j.size, j.count)
		if err != nil {
			return err
		}
		if err := s.ourTrips(w, rows, &j, &f); err != nil {
			return err
		}
		for _, o := range all {
			s.progress(fmt.Sprintf("peers: %s, round trip", o.Name))
			got, err := s.peer(w, o, &j)
			if err != nil {
				return err
			}
			if got.Count > 0 {
				rows.of(o.Name).trip(got.P50, got.P99, &f)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	rows.finish(s)
	return nil
}

// ourTrips is our own stacks' part of a repetition.
func (s *session) ourTrips(w *network, rows *rows, j *job, f *floor.Result) error {
	for k, o := range s.own {
		b := &bed{session: s, w: w, number: k, stack: strings.TrimPrefix(o.Name, "maestro-")}
		var st *group.Stats
		c, err := b.ready()
		if err == nil {
			st, err = c.ask(j.size, j.count)
		}
		if err == nil {
			rows.of(o.Name).trip(st.Trips.Late.Micros(0.5), st.Trips.Late.Micros(0.99), f)
		}
		if err := s.unable(o, j, err); err != nil {
			return err
		}
		b.release()
	}
	return nil
}

func (r *series) trip(p50, p99 float64, f *floor.Result) {
	r.less("round trip p50", "us", p50).against("ping-pong", f.P50us)
	r.less("round trip p99", "us", p99).against("ping-pong", f.P99us)
}

// rows is a series for each system, in the order of their first values.
type rows struct {
	bench  string
	params map[string]any
	names  []string
	series map[string]*series
}

func newRows(bench string, params map[string]any) *rows {
	return &rows{bench: bench, params: params, series: map[string]*series{}}
}

func (r *rows) of(name string) *series {
	if r.series[name] == nil {
		p := map[string]any{"system": name}
		for k, v := range r.params {
			p[k] = v
		}
		r.names, r.series[name] = append(r.names, name), newSeries(r.bench, p)
	}
	return r.series[name]
}

func (r *rows) finish(s *session) {
	for _, n := range r.names {
		s.finish(r.series[n])
	}
}
