package result

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// Machine is what a run was made on and with.
type Machine struct {
	Time       time.Time `json:"time"`
	OS         string    `json:"os"`
	Arch       string    `json:"arch"`
	Kernel     string    `json:"kernel"`
	CPU        string    `json:"cpu"`
	CPUs       int       `json:"cpus"`
	Governor   string    `json:"governor,omitempty"`
	Hypervisor string    `json:"hypervisor,omitempty"`
	MemoryKiB  int64     `json:"memory_kib,omitempty"`
	Go         string    `json:"go"`
	Version    string    `json:"version"` // of this module, or the commit
	Network    string    `json:"network"` // of the members
	MTU        int       `json:"mtu"`
	Transport  string    `json:"transport"`       // how members' sockets describe themselves
	Hosts      []string  `json:"hosts,omitempty"` // other machines that members ran on
	RmemMax    int64     `json:"rmem_max,omitempty"`
	WmemMax    int64     `json:"wmem_max,omitempty"`
	LoadBefore float64   `json:"load_before"` // 1-minute load average
	LoadAfter  float64   `json:"load_after"`
	// Steal is the part of all processors' time that the hypervisor gave to
	// others during the run.
	Steal float64 `json:"steal"`
	// Args is the command line.
	Args []string `json:"args,omitempty"`

	before [2]int64 // stolen and all processor time
}

// Look describes this machine, as far as it tells.
func Look() Machine {
	m := Machine{Time: time.Now(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Kernel: word("/proc/sys/kernel/osrelease"), CPUs: runtime.NumCPU(), Go: runtime.Version(),
		Governor: word("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		CPU:      field("/proc/cpuinfo", "model name"), LoadBefore: load(),
		RmemMax: number(word("/proc/sys/net/core/rmem_max")),
		WmemMax: number(word("/proc/sys/net/core/wmem_max"))}
	m.MemoryKiB = number(strings.Fields(field("/proc/meminfo", "MemTotal") + " 0")[0])
	if strings.Contains(field("/proc/cpuinfo", "flags"), "hypervisor") {
		m.Hypervisor = "yes"
	}
	if b, ok := debug.ReadBuildInfo(); ok {
		m.Version = strings.Trim(b.Main.Version, "()")
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" {
				m.Version = s.Value[:min(12, len(s.Value))]
			}
			if s.Key == "vcs.modified" && s.Value == "true" {
				m.Version += "-modified"
			}
		}
	}
	m.before = ticks()
	return m
}

// Finish notes what the machine did since Look.
func (m *Machine) Finish() {
	m.LoadAfter = load()
	now := ticks()
	if all := now[1] - m.before[1]; all > 0 {
		m.Steal = float64(now[0]-m.before[0]) / float64(all)
	}
}

// String is a few lines for people.
func (m *Machine) String() string {
	text := fmt.Sprintf("%s, %s %s/%s, kernel %s, %d x %s, %d MiB\n%s, MTU %d, %s\n"+
		"load %.2f before, %.2f after, stolen %.1f %%", m.Version, m.Go, m.OS, m.Arch, m.Kernel,
		m.CPUs, m.CPU, m.MemoryKiB>>10, m.Network, m.MTU, m.Transport, m.LoadBefore, m.LoadAfter,
		m.Steal*100)
	return strings.Join(append([]string{text}, m.Hosts...), "\n")
}

// Differ lists what is not the same on two machines and matters when their runs
// are compared.
func (m *Machine) Differ(o *Machine) (all []string) {
	for _, f := range []struct {
		name string
		a, b any
	}{{"kernel", m.Kernel, o.Kernel}, {"processor", m.CPU, o.CPU}, {"processors", m.CPUs, o.CPUs},
		{"Go", m.Go, o.Go}, {"network", m.Network, o.Network}, {"MTU", m.MTU, o.MTU},
		{"sockets", m.Transport, o.Transport}} {
		if f.a != f.b {
			all = append(all, fmt.Sprintf("%s: %v, now %v", f.name, f.a, f.b))
		}
	}
	return all
}

func word(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// field is the value of the first "name : value" line.
func field(file, name string) string {
	for line := range strings.Lines(word(file)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

func load() float64 {
	f := strings.Fields(word("/proc/loadavg") + " 0")
	v, _ := strconv.ParseFloat(f[0], 64)
	return v
}

// ticks is the stolen and the whole time of all processors.
func ticks() (t [2]int64) {
	line, _, _ := strings.Cut(word("/proc/stat"), "\n")
	for i, f := range strings.Fields(line) {
		if i >= 1 && i <= 8 { // user to steal; guest time is in user's
			t[1] += number(f)
		}
		if i == 8 {
			t[0] = number(f)
		}
	}
	return t
}
