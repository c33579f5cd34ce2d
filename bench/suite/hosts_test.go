package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"maestro/bench/result"
)

// fleetOptions is a smoke on three hosts that a script reaches in ssh's place. No
// copy may be left at the end.
func fleetOptions(t *testing.T, iface, script string) Options {
	t.Helper()
	ssh := filepath.Join(t.TempDir(), "ssh")
	text := fmt.Sprintf("#!/bin/sh\nhost=$1; shift\n%s\n", script)
	if err := os.WriteFile(ssh, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	copies := fmt.Sprintf("/tmp/maestro-bench-%d-*", os.Getpid())
	t.Cleanup(func() {
		if left, _ := filepath.Glob(copies); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
	})
	o := smoke(Machines)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Executable, o.SSH = exe, []string{ssh}
	for i := 1; i <= 3; i++ {
		o.Hosts = append(o.Hosts, Host{Name: fmt.Sprint("host", i), Interface: iface})
	}
	o.Hosts[1].Path = exe
	return o
}

// Members on other machines do the same work, and nothing is left on those.
func TestHosts(t *testing.T) {
	t.Run("loopback", func(t *testing.T) {
		overSSH(t, fleetOptions(t, "lo", `exec sh -c "$*"`))
	})
	t.Run("namespaces", hostsInNamespaces)
	children(t)
}

func overSSH(t *testing.T, o Options) {
	t.Helper()
	o.Stacks, o.Sizes = []string{"vsync"}, []int{64}
	r, err := Run(t.Context(), []string{"throughput", "latency", "view", "lineage"}, o)
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for _, p := range r.Points {
		judge(t, p)
		has[p.Bench+" "+p.Metric] = true
		if strings.HasPrefix(p.Metric, "one way") {
			t.Errorf("%s is between two clocks", p.Key())
		}
	}
	for _, want := range []string{"throughput rate", "latency round trip p50",
		"view kill", "lineage rounds"} {
		if !has[want] {
			t.Errorf("there is no %s", want)
		}
	}
	if len(r.Machine.Hosts) != 3 || r.Machine.Network != Machines {
		t.Errorf("%+v", r.Machine)
	}
}

// What cannot be is said, and names the host.
func TestNoHosts(t *testing.T) {
	o := fleetOptions(t, "lo",
		`test $host != host3 && exec sh -c "$*"; echo no route >&2; exit 255`)
	_, err := Run(t.Context(), []string{"floor"}, o)
	if err == nil || !strings.Contains(err.Error(), "host3") ||
		!strings.Contains(err.Error(), "no route") {
		t.Errorf("a host that is not there: %v", err)
	}
	o = fleetOptions(t, "lo", `exec sh -c "$*"`)
	o.Members = []int{4}
	if _, err := Run(t.Context(), []string{"throughput"}, o); err == nil {
		t.Error("4 members on 3 hosts")
	}
	children(t)
}

func TestReadHosts(t *testing.T) {
	got, err := ReadHosts(strings.NewReader("# machines\na\nroot@10.0.0.2 iface=bond0 # fast\n" +
		"c-1.x path=/opt/maestro\n"))
	want := []Host{{"a", "eth0", ""}, {"root@10.0.0.2", "bond0", ""},
		{"c-1.x", "eth0", "/opt/maestro"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"", "a\n", "a b\nc\n", "a iface=\nb\n", "-oProxyCommand=x\nb\n",
		"a;x\nb\n"} {
		if got, err := ReadHosts(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
	if got := quote("it's"); got != `'it'\''s'` {
		t.Error(got)
	}
	m := result.Machine{Hosts: []string{"a: x"}}
	if !strings.HasSuffix(m.String(), "\na: x") {
		t.Error(m.String())
	}
}
