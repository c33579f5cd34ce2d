package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/bench/result"
	"maestro/internal/netlab"
)

// Members on hosts that a real ssh reaches: each host is a namespace with an sshd of
// its own, and the suite's ssh is in one more. Two members share a host.
func TestSSH(t *testing.T) {
	if testing.Short() || Able() != nil {
		t.Skip("needs namespaces")
	}
	daemon := sshProgram(t, "sshd")
	sshProgram(t, "ssh")
	separation(t)
	lab := netlab.New(t, 3, netlab.Options{GSO: true})
	dir := keys(t)
	known := ""
	for i := 1; i <= 2; i++ {
		lab.Start(i, daemon, "-D", "-e", "-f", "/dev/null", "-p", "2222", "-h", dir+"/host",
			"-o", "AuthorizedKeysFile="+dir+"/user.pub", "-o", "StrictModes=no",
			"-o", "UsePAM=no", "-o", "PidFile=none").Wait("Server listening", 5*time.Second)
		known += fmt.Sprintf("[%v]:2222 %s", lab.Addr(i), public(t, dir+"/host.pub"))
	}
	if err := os.WriteFile(dir+"/known", []byte(known), 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := smoke(Machines)
	o.Executable = exe
	o.SSH = append([]string{"ip", "netns", "exec", lab.Namespace(3)}, sshCommand()...)
	o.SSH = append(o.SSH, "-F", "none", "-p", "2222", "-i", dir+"/user",
		"-o", "UserKnownHostsFile="+dir+"/known", "-o", "GlobalKnownHostsFile=none")
	for _, i := range []int{1, 2, 1} {
		o.Hosts = append(o.Hosts, Host{Name: lab.Addr(i).String(), Interface: "eth0"})
	}
	o.Hosts[0].Name, o.Hosts[2].Name = "root@"+o.Hosts[0].Name, "root@"+o.Hosts[2].Name
	t.Cleanup(func() {
		left, _ := filepath.Glob(fmt.Sprintf("/tmp/maestro-bench-%d-*", os.Getpid()))
		if len(left) > 0 {
			t.Errorf("%v are left", left)
		}
	})
	o.Stacks, o.Sizes, o.Senders = []string{"vsync"}, []int{64}, []string{"all"}
	r, err := Run(t.Context(), []string{"throughput", "view"}, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Points {
		judge(t, p)
	}
	if has := func(bench, metric string) bool {
		return slices.ContainsFunc(r.Points, func(p *result.Point) bool {
			return p.Bench == bench && p.Metric == metric
		})
	}; len(r.Machine.Hosts) != 2 || !has("throughput", "rate") || !has("view", "kill") {
		t.Errorf("%d points on %v", len(r.Points), r.Machine.Hosts)
	}

	o.Hosts[1].Interface = "nonsense"
	_, err = Run(t.Context(), []string{"throughput"}, o)
	if err == nil || !strings.Contains(err.Error(), o.Hosts[1].Name) ||
		!strings.Contains(err.Error(), "nonsense") {
		t.Errorf("an interface that is not there: %v", err)
	}
}

// sshProgram is where a part of OpenSSH is; sshd insists on its full name.
func sshProgram(t *testing.T, name string) string {
	path, err := exec.LookPath(name)
	if err != nil && name == "sshd" {
		path, err = exec.LookPath("/usr/sbin/sshd")
	}
	if err != nil {
		t.Skip(err)
	}
	return path
}

// separation is the folder that Debian's sshd wants, which is there where one runs.
func separation(t *testing.T) {
	if err := os.Mkdir("/run/sshd", 0o755); err == nil {
		t.Cleanup(func() { _ = os.Remove("/run/sshd") })
	}
}

// keys makes a key for the hosts and one for the user, which ssh-keygen does not do
// where others may look.
func keys(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{"host", "user"} {
		out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
			filepath.Join(dir, name)).CombinedOutput()
		if err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	return dir
}

func public(t *testing.T, file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
