package suite

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"maestro/bench/peers"
	"maestro/bench/result"
)

// peerChild is an adapter that only says that it has done its work.
func peerChild() {
	args := map[string]string{}
	for _, a := range os.Args[1:] {
		key, value, _ := strings.Cut(a, "=")
		args[key] = value
	}
	if args["variant"] == "unable" {
		fmt.Println("SKIP not today")
		os.Exit(0)
	}
	if args["variant"] == "dead" && args["member"] == "2" {
		os.Exit(7)
	}
	fmt.Println(`ABOUT {"version":"v1","settings":"fake"}`)
	fmt.Println("READY")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch what, n, _ := strings.Cut(lines.Text(), " "); {
		case args["mode"] == "ping":
			fmt.Println(`RESULT {"count":9,"p50_us":10,"p99_us":20}`)
		case what == "go":
			fmt.Println("SENT 1000")
		case what == "end":
			// Member 3 is the slowest, and has lost some.
			fmt.Printf(`RESULT {"count":%s,"seconds":%s}`+"\n",
				map[bool]string{true: "501", false: n}[args["member"] == "3"], args["member"])
		}
	}
	os.Exit(0)
}

// Another system is measured by what it says, one that cannot do something says
// why, and the rest goes on.
func TestPeers(t *testing.T) {
	o := smoke(Loopback)
	fake := func(variant string) peers.Peer {
		return peers.Ready(peers.Peer{Name: "fake", Variant: variant, Guarantee: "nothing"},
			"env", childEnv+"=peer", os.Args[0], "variant="+variant)
	}
	spaces := fake("spaces")
	spaces.Spaces = true
	o.Peers = []peers.Peer{fake("well"), fake("unable"), fake("dead"), spaces}
	o.PeerFolder = "../peers"
	r, err := Run(t.Context(), []string{"peers"}, o)
	if err != nil {
		t.Fatal(err)
	}
	point := func(system, metric string) *result.Point {
		i := slices.IndexFunc(r.Points, func(p *result.Point) bool {
			return p.Params["system"] == system && p.Metric == metric
		})
		if i < 0 {
			t.Fatalf("no %s of %s", metric, system)
		}
		return r.Points[i]
	}
	if p := point("fake-well", "rate"); p.Median != 500./3 || p.Ratio == 0 {
		t.Errorf("%+v", p)
	}
	if p := point("fake-well", "lost"); p.Median != 49.9 && (p.Median < 49.8 || p.Median > 50) {
		t.Errorf("%+v", p)
	}
	if p := point("fake-well", "round trip p50"); p.Median != 10 {
		t.Errorf("%+v", p)
	}
	if point("maestro-total", "rate").Median == 0 ||
		point("maestro-vsync", "round trip p50").Median == 0 {
		t.Error("nothing of ours")
	}
	for name, want := range map[string]string{"fake-well": "", "fake-unable": "not today",
		"fake-dead": "exit status 7", "fake-spaces": "--net ns"} {
		i := slices.IndexFunc(r.Systems, func(s *result.System) bool { return s.Name == name })
		if s := r.Systems[i]; !strings.Contains(s.Skipped, want) || want == "" && s.Skipped != "" {
			t.Errorf("%+v", s)
		}
	}
	if s := r.Systems[2]; s.Version != "v1" || s.Settings != "fake" || s.Guarantee != "nothing" {
		t.Errorf("%+v", s)
	}
	children(t)
}

// The adapters are where they are looked for.
func TestFindPeers(t *testing.T) {
	if dir, err := peers.Find(""); err != nil || !strings.HasSuffix(dir, "bench/peers") {
		t.Errorf("%q %v", dir, err)
	}
	if _, err := peers.Find(t.TempDir()); err == nil {
		t.Error("adapters in an empty folder")
	}
}

// What cannot be built says what is missing.
func TestBuildPeers(t *testing.T) {
	dir, err := peers.Find("")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir())
	out := t.TempDir()
	for _, p := range peers.All() {
		if _, err := p.Build(t.Context(), dir, out); err == nil ||
			!strings.Contains(err.Error(), "missing") {
			t.Errorf("%s: %v", p.String(), err)
		}
	}
	if _, err := exec.LookPath("cc"); err == nil {
		t.Error("there is a compiler")
	}
}
