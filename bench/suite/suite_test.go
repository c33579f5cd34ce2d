package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/bench/result"
)

const childEnv = "MAESTRO_BENCH_SUITE"

// TestMain makes the test binary the members' program too.
func TestMain(m *testing.M) {
	kind, arg := os.Getenv(childEnv), os.Getenv(childEnv+"_ARG")
	if len(os.Args) == 5 && os.Args[1] == "bench" && os.Args[2] == "child" { // by ssh
		kind, arg = os.Args[3], os.Args[4]
	}
	if kind == "peer" {
		peerChild()
	}
	if kind != "" {
		err := Child(context.Background(), kind, arg, os.Stdin, os.Stdout)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func smoke(network string) Options {
	return Options{Net: network, Smoke: true, Command: func(kind, arg string) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+kind, childEnv+"_ARG="+arg)
		return cmd
	}}
}

// names is all benchmarks but that of other systems, which has to build them.
func names() (all []string) {
	for _, b := range Benches() {
		if b.Name != "peers" {
			all = append(all, b.Name)
		}
	}
	return all
}

// Every benchmark runs on every network, each point has its values, and what is
// measured beside a floor has a ratio.
func TestSmoke(t *testing.T) {
	for _, network := range []string{Loopback, Namespaces} {
		t.Run(network, func(t *testing.T) {
			if network == Namespaces && (testing.Short() || Able() != nil) {
				t.Skip("needs namespaces")
			}
			r, err := Run(t.Context(), names(), smoke(network))
			if err != nil {
				t.Fatal(err)
			}
			benches, keys := map[string]int{}, map[string]bool{}
			for _, p := range r.Points {
				benches[p.Bench]++
				if keys[p.Key()] {
					t.Errorf("%s is there twice", p.Key())
				}
				keys[p.Key()] = true
				judge(t, p)
			}
			for _, n := range names() {
				if benches[n] == 0 {
					t.Errorf("no result of %s", n)
				}
			}
			if r.Machine.Transport == "" || r.Machine.MTU == 0 {
				t.Errorf("%+v", r.Machine)
			}
			children(t)
		})
	}
}

// judge holds a point against what it must be on any machine.
func judge(t *testing.T, p *result.Point) {
	if len(p.Values) == 0 || p.Note != "" {
		t.Errorf("%s: %d values %s", p.Key(), len(p.Values), p.Note)
	}
	if p.Floor != "" && len(p.Ratios) != len(p.Values) {
		t.Errorf("%s: %d values and %d ratios", p.Key(), len(p.Values), len(p.Ratios))
	}
	switch {
	case p.Detail || strings.HasPrefix(p.Metric, "rss") || p.Metric == "views":
	case p.Metric == "allocations" && p.Median < 1:
	case strings.HasPrefix(p.Metric, "idle"):
	case p.Median <= 0:
		t.Errorf("%s is %v", p.Key(), p.Values)
	}
	if strings.HasSuffix(p.Metric, " p99") && p.Median < 1 {
		t.Errorf("%s: %v us is too quick to be true", p.Key(), p.Median)
	}
}

// children fails if a child of this process is left, or the name of a namespace.
func children(t *testing.T) {
	t.Helper()
	left, _ := filepath.Glob(fmt.Sprintf("/run/netns/mlab-%d-*", os.Getpid()))
	if len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		b, err := os.ReadFile("/proc/" + d.Name() + "/stat")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == fmt.Sprint(os.Getpid()) {
			t.Errorf("process %s is left: %s", d.Name(), b)
		}
	}
}

// A run that is stopped ends soon, says so, and leaves nobody behind.
func TestStop(t *testing.T) {
	for _, network := range []string{Loopback, Namespaces} {
		if network == Namespaces && (testing.Short() || Able() != nil) {
			continue
		}
		ctx, cancel := context.WithCancel(t.Context())
		o := smoke(network)
		o.Reps, o.Duration = 1000, time.Minute
		o.Progress = func(p Progress) {
			if strings.HasPrefix(p.What, "throughput:") {
				time.AfterFunc(700*time.Millisecond, cancel)
			}
		}
		began := time.Now()
		_, err := Run(ctx, []string{"throughput"}, o)
		if took := time.Since(began); !errors.Is(err, ErrStopped) || took > 15*time.Second {
			t.Errorf("%s: %v after %v", network, err, took)
		}
		children(t)
	}
}

// A member that dies is an error that names it, not a wait.
func TestDeadMember(t *testing.T) {
	o := smoke(Loopback)
	w, err := newNetwork(t.Context(), &o, 2, true)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	c, err := w.cluster(0, "vsync", "")
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = c.procs[2].cmd.Process.Kill() })
	began := time.Now()
	_, err = c.stream([]int{1, 2}, 1000, 20*time.Second)
	took := time.Since(began)
	if err == nil || !strings.Contains(err.Error(), "member 2") || took > 5*time.Second {
		t.Errorf("%v after %v", err, took)
	}
}

func TestLoss(t *testing.T) {
	if testing.Short() || Able() != nil {
		t.Skip("needs namespaces")
	}
	o := smoke(Namespaces)
	o.Loss, o.Sizes, o.Senders = []int{50}, []int{1000}, []string{"one"}
	o.Stacks = []string{"vsync"}
	r, err := Run(t.Context(), []string{"throughput"}, o)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(r.Points, func(p *result.Point) bool { return p.Metric == "repairs" })
	if i < 0 || r.Points[i].Median == 0 || r.Points[0].Floor != "no loss" {
		t.Errorf("nothing was lost: %+v", r.Points[0])
	}
	o.Net = Loopback
	if _, err := Run(t.Context(), []string{"throughput"}, o); !errors.Is(err, ErrNoFaults) {
		t.Errorf("loss on the loopback interface: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for what, change := range map[string]func(o *Options){
		"network":   func(o *Options) { o.Net = "x" },
		"members":   func(o *Options) { o.Members = []int{1} },
		"many":      func(o *Options) { o.Members = []int{65} },
		"size":      func(o *Options) { o.Sizes = []int{0} },
		"loss":      func(o *Options) { o.Loss = []int{501} },
		"senders":   func(o *Options) { o.Senders = []string{"some"} },
		"wait":      func(o *Options) { o.Waits = []string{"netpoll"} },
		"stack":     func(o *Options) { o.Stacks = []string{"vsync+nonsense"} },
		"place":     func(o *Options) { o.Pin = "two" },
		"mtu":       func(o *Options) { o.MTU = 100 },
		"reps":      func(o *Options) { o.Reps = -1 },
		"duration":  func(o *Options) { o.Duration = 25 * time.Hour },
		"no child":  func(o *Options) { o.Command = nil },
		"benchmark": nil,
	} {
		o, name := smoke(Loopback), "floor"
		if change == nil {
			name = "nonsense"
		} else {
			change(&o)
		}
		if _, err := Run(t.Context(), []string{name}, o); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	if got := Stacks(); !slices.Contains(got, "vsync") || !slices.Contains(got, "total") {
		t.Errorf("stacks %v", got)
	}
	for _, s := range Stacks() {
		if _, err := Stack(strings.ToUpper(s)); err != nil {
			t.Error(err)
		}
	}
	if a, _ := Stack("total+nolocal"); a.String() != "Total|NoLocal" {
		t.Errorf("total+nolocal is %v", a)
	}
}

// A plan is what a run then does, to the last repetition, and tells how long a user
// has to wait for all of it.
func TestPlan(t *testing.T) {
	about := func(o Options) (reps int, all time.Duration) {
		parts, err := Plan(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			reps, all = reps+p.Reps, all+p.About
		}
		return reps, all
	}
	o := smoke(Namespaces)
	o.Smoke = false
	reps, all := about(o)
	if reps < 500 || all < 5*time.Minute || all > 15*time.Minute {
		t.Errorf("%d repetitions in %v", reps, all)
	}
	o.Full = true
	if more, longer := about(o); more < reps || longer < 2*all {
		t.Errorf("%d repetitions in %v, and %d in %v are all of it", reps, all, more, longer)
	}
	o = smoke(Loopback)
	var seen []Progress
	o.Planned = func(parts []Part) { reps = parts[0].Reps + parts[1].Reps }
	o.Progress = func(p Progress) { seen = append(seen, p) }
	if _, err := Run(t.Context(), []string{"floor", "stack"}, o); err != nil {
		t.Fatal(err)
	}
	if len(seen) != reps || reps == 0 {
		t.Fatalf("%d repetitions, %d were planned", len(seen), reps)
	}
	for i, p := range seen {
		if p.Done != i || p.Total != reps || p.What == "" || p.Left <= 0 || p.Left > time.Minute {
			t.Errorf("%d: %+v", i, p)
		}
	}
}

// What has failed in one benchmark is no end of the others.
func TestGoesOn(t *testing.T) {
	o := smoke(Loopback)
	command := o.Command
	o.Command = func(kind, arg string) *exec.Cmd {
		if kind == "floor" {
			return exec.Command("false")
		}
		return command(kind, arg)
	}
	r, err := Run(t.Context(), []string{"throughput", "stack"}, o)
	if err == nil || !strings.HasPrefix(err.Error(), "throughput: ") || len(r.Points) == 0 {
		t.Errorf("%d points, %v", len(r.Points), err)
	}
}
