//go:build linux

package group

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"maestro/internal/netlab"
)

var soak = flag.Duration("soak", 4*time.Second, "how long TestSoak goes on")

// chaos is five members to which something happens all the time.
type chaos struct {
	*cluster
	rnd    *rand.Rand
	dead   map[int]bool
	paused map[int]bool
	down   map[int]bool
	split  bool
	done   map[string]int
}

const soakers = 5

// members is all of them.
func (x *chaos) members() []int { return []int{1, 2, 3, 4, 5} }

// stream has a member cast until the soak is over, or longer than that.
func (x *chaos) stream(i int, d time.Duration) {
	if d > 0 {
		size := []int{20, 200, 1000, 5000}[x.rnd.IntN(4)]
		x.procs[i].Say("stream %d %d 300", size, d.Milliseconds())
	}
}

// quiet waits until nobody delivers anything more. A member that was paused is
// behind with its stream, and reports only after it.
func (x *chaos) quiet() {
	for before := int64(-1); ; time.Sleep(100 * time.Millisecond) {
		now := int64(0)
		for _, i := range x.members() {
			now += x.report(i).count
		}
		if now == before {
			return
		}
		before = now
	}
}

// step does one thing, or undoes it. Of each kind at most two last.
func (x *chaos) step(left time.Duration) {
	i, kind := x.rnd.IntN(soakers)+1, x.rnd.IntN(5)
	if kind < 3 {
		for _, k := range x.members() {
			state := x.state(kind)
			if state[k] && (len(state) > 1 || x.rnd.IntN(2) == 0) {
				i = k
			}
		}
	}
	what := ""
	switch kind {
	case 0:
		what = flip(x.dead, i, "restart", func(i int) {
			x.start(i)
			x.stream(i, left)
		}, "kill", func(i int) {
			x.lab.Kill(i)
			delete(x.paused, i)
		})
	case 1:
		if x.dead[i] {
			return
		}
		what = flip(x.paused, i, "resume", x.lab.Resume, "pause", x.lab.Pause)
	case 2:
		what = flip(x.down, i, "link up", x.lab.LinkUp, "link down", x.lab.LinkDown)
	case 3:
		if what = "partition"; x.split {
			what = "heal"
			x.lab.Heal()
		} else {
			p := x.rnd.Perm(soakers)
			k := 1 + x.rnd.IntN(soakers-1)
			for r := range p {
				p[r]++
			}
			x.lab.Partition([][]int{p[:k], p[k:]})
		}
		x.split = !x.split
	case 4:
		permille := []int{0, 20, 100}[x.rnd.IntN(3)]
		what = fmt.Sprint("loss of ", permille)
		x.lab.Loss(permille)
	}
	x.done[what]++
	x.Logf("%s %s %d", time.Now().Format("05.000000"), what, i)
}

func (x *chaos) state(kind int) map[int]bool {
	return []map[int]bool{x.dead, x.paused, x.down}[kind]
}

// flip does something to a member, or undoes it, and returns which.
func flip(m map[int]bool, i int, undone string, undo func(int), done string,
	do func(int)) string {
	if m[i] {
		delete(m, i)
		undo(i)
		return undone
	}
	m[i] = true
	do(i)
	return done
}

// whole undoes everything.
func (x *chaos) whole() {
	x.lab.Calm()
	for _, i := range x.members() {
		if x.down[i] {
			x.lab.LinkUp(i)
		}
		if x.paused[i] {
			x.lab.Resume(i)
		}
		if x.dead[i] {
			x.start(i)
		}
	}
}

// TestSoak has a group live through many faults in a row, with streams all the
// time. At the end it must be whole, and the traces without a violation.
func TestSoak(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	x := &chaos{cluster: newCluster(t, soakers, netlab.Options{GSO: true}).traced(),
		rnd: rand.New(rand.NewPCG(seed, 0)), dead: map[int]bool{}, paused: map[int]bool{},
		down: map[int]bool{}, done: map[string]int{}}
	x.together(soakers)
	for _, i := range x.members() {
		x.stream(i, *soak)
	}
	for end := time.Now().Add(*soak); ; {
		left := time.Until(end)
		if left <= 0 {
			break
		}
		x.step(left)
		time.Sleep(time.Duration(300+x.rnd.IntN(200)) * time.Millisecond)
	}
	x.whole()
	x.one(soakers, 5*time.Second, x.members()...)
	for _, i := range x.members() {
		_, _, views := x.last(i)
		n := x.counters(i)
		t.Logf("member %d: %d views, %d delivered, %d suspicions, %d merges, %d block timeouts",
			i, views, n["MessagesIn"], n["Suspicions"], n["Merges"], n["BlockTimeouts"])
	}
	x.memory(x.members()...)
	x.quiet()
	before := map[int]int64{}
	for _, i := range x.members() {
		before[i] = x.report(i).count
	}
	total := x.cast(x.members(), "stream 1000 300 1000", func() {})
	for _, i := range x.members() {
		x.delivered(before[i]+total, 5*time.Second, i)
	}
	x.sound()
	t.Logf("seed %d: %v", seed, x.done)
}
