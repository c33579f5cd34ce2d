package suite

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// benchView measures how long views take to change, from the event to when the
// last member's handler has the new view.
func benchView(s *session) error {
	for _, n := range s.members([]int{3}, []int{2, 4, 8, 16, 32, 64}) {
		for _, name := range or(s.o.Stacks, []string{"vsync"}) {
			for _, wait := range s.waits() {
				if err := s.viewsOf(n, name, wait); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// crowd is how many members' processes any machine must bear. If more of them do
// not get through, that is a result.
const crowd = 16

// viewsOf measures with groups of n members, and finishes what there is.
func (s *session) viewsOf(n int, stackName, wait string) error {
	v := &changes{session: s, r: newSeries("view", map[string]any{"members": n,
		"stack": stackName, "wait": wait})}
	err := v.measure(n, stackName, wait)
	first, note := len(s.points), ""
	if err != nil && n > crowd && s.ctx.Err() == nil {
		note, _, _ = strings.Cut(err.Error(), "\n")
		v.r.more("complete", "", 0)
		err = nil
	}
	s.finish(v.r)
	for _, p := range s.points[first:] {
		p.Note = note
	}
	return err
}

// measure does so with groups of n members, of which the last comes and goes. Each
// part has a group of its own, since a group remembers: after a false alarm, as a
// partition is one, it is slower to take a member for failed.
func (v *changes) measure(n int, stackName, wait string) error {
	w, err := newNetwork(v.ctx, &v.o, n, true)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.unlimited(); err != nil {
		return err
	}
	start := time.Duration(n) * groupCost
	parts := []struct {
		first int // members that are there before
		what  string
		about time.Duration
		steps []func() error
		lab   bool
	}{
		{n - 1, "join, leave, kill", 4 * eventCost, []func() error{v.join, v.leave, v.join, v.kill},
			false},
		{n - 1, "host loss", lostCost, []func() error{v.join, v.cut}, true},
		{n, "merge", lostCost, []func() error{v.merge}, true},
		{0, "start", start + 2*eventCost, []func() error{v.start}, false},
	}
	for k, p := range parts {
		if p.lab && v.o.Net != Namespaces {
			continue
		}
		if v.cluster, err = w.newCluster(k, stackName, wait); err != nil {
			return err
		}
		text := fmt.Sprintf("view: %s, %d members", p.what, n)
		if err := v.part(p.first, p.about, text, p.steps); err != nil {
			return err
		}
	}
	return nil
}

// part repeats some steps with one group.
func (v *changes) part(first int, about time.Duration, what string, steps []func() error) error {
	formed, pings := false, v.rounds(500)
	if err := v.repeat(v.reps(), about+trips(pings, 0), what, func() error {
		if !formed {
			if err := v.together(first); err != nil {
				return err
			}
			formed = true
		}
		f, err := v.rawPing("block", 64, pings)
		if err != nil {
			return err
		}
		v.trip = f.P50us
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	v.end()
	return nil
}

// unlimited lifts a limit of the kernel: to each host it says at most six times
// at once, and then once a second, that a port is closed. A group does not lose a
// process each second, but this benchmark kills one after the other.
func (w *network) unlimited() error {
	for i := 1; w.lab != nil && i <= w.n; i++ {
		if err := w.lab.in(i, func() {
			_ = os.WriteFile("/proc/sys/net/ipv4/icmp_ratelimit", []byte("0"), 0)
		}); err != nil {
			return err
		}
	}
	return nil
}

// changes is the view changes of one cluster.
type changes struct {
	*session
	*cluster
	r    *series
	trip float64 // the raw round trip of this repetition, us
}

// took adds how long a change took, beside the raw round trip.
func (v *changes) took(what string, began time.Time, end view) {
	c := v.r.less(what, "ms", end.at.Sub(began).Seconds()*1e3)
	c.against("ping-pong", v.trip/1e3)
	if what == "kill" || what == "host loss" {
		c.everywhere() // timers tell how long it takes
	}
	if what != "start" {
		v.r.less(what+" blocked", "ms", end.blocked.Seconds()*1e3).minor()
	}
}

// join starts the last member. It is timed from when its sockets are open.
func (v *changes) join() error {
	if err := v.launch(v.n); err != nil {
		return err
	}
	began, err := v.when(v.n, "START")
	if err != nil {
		return err
	}
	end, err := v.views(v.n, 1, v.n)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	v.took("join", began, end)
	return nil
}

func (v *changes) leave() error {
	p := v.procs[v.n]
	if err := p.say("leave"); err != nil {
		return err
	}
	began, err := v.when(v.n, "LEAVE")
	if err != nil {
		return err
	}
	return v.gone("leave", began)
}

// kill ends the last member by SIGKILL, once the others have had the time to come to
// watch it.
func (v *changes) kill() error {
	time.Sleep(restTime)
	began := time.Now()
	v.procs[v.n].shoot()
	return v.gone("kill", began)
}

// cut takes the last member's host off the network, and brings it back. Then the
// first datagrams find the way again: without them the next join would be held
// up for half a second by the kernels, which look for each other's addresses.
func (v *changes) cut() error {
	began := time.Now()
	if err := v.lab.link(v.n, false); err != nil {
		return err
	}
	if err := v.gone("host loss", began); err != nil {
		return err
	}
	if err := v.lab.link(v.n, true); err != nil {
		return err
	}
	_, err := v.ping(v.n, "block", 64, 10)
	return err
}

// restTime is how long a view lasts before a member is killed in it.
const restTime = 50 * time.Millisecond

// gone waits until the others are among themselves.
func (v *changes) gone(what string, began time.Time) error {
	end, err := v.views(v.n-1, 1, v.n-1)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	v.took(what, began, end)
	v.procs[v.n].kill()
	v.forget(v.procs[v.n])
	return nil
}

// merge cuts the network in two halves and connects them again.
func (v *changes) merge() error {
	var halves [2][]int
	for i := 1; i <= v.n; i++ {
		halves[(i-1)/((v.n+1)/2)] = append(halves[(i-1)/((v.n+1)/2)], i)
	}
	if err := v.lab.partition(halves[:]); err != nil {
		return err
	}
	for _, h := range halves {
		if _, err := v.views(len(h), h[0], h[len(h)-1]); err != nil {
			return fmt.Errorf("partition: %w", err)
		}
	}
	began := time.Now()
	if err := v.lab.partition(nil); err != nil {
		return err
	}
	end, err := v.views(v.n, 1, v.n)
	if err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	v.took("merge", began, end)
	return nil
}

// start starts all members at the same time. It is timed from when the last one's
// sockets are open.
func (v *changes) start() error {
	for i := 1; i <= v.n; i++ {
		if err := v.launch(i); err != nil {
			return err
		}
	}
	var began time.Time
	for i := 1; i <= v.n; i++ {
		t, err := v.when(i, "START")
		if err != nil {
			return err
		}
		if t.After(began) {
			began = t
		}
	}
	end, err := v.views(v.n, 1, v.n)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	v.took("start", began, end)
	v.end()
	return nil
}
