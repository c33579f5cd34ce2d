package netlab

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// T is what a Lab needs of a test; *testing.T and *testing.B have it, and a
// command can bring its own.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Failed() bool
	Cleanup(func())
}

// Options shape a lab. The zero value is an IPv4 network with an MTU of 1500
// where each datagram is a packet.
type Options struct {
	// MTU of all devices; 0 is 1500.
	MTU int

	// IPv6 gives member i the address fd77::i as well.
	IPv6 bool

	// GSO lets a burst of datagrams (UDP_SEGMENT) cross the network as one
	// packet, which is what veth does and a cable does not: it is many times
	// faster, but then a fault hits whole bursts.
	GSO bool

	// Unnamed leaves out the names in /run/netns, the only thing that stays
	// behind when this process is killed.
	Unnamed bool
}

// maxMembers is what one /24 network can address.
const maxMembers = 250

// Lab is a network of n members.
type Lab struct {
	t      T
	opts   Options
	name   string
	bridge *space
	member []*space // by number; 0 is not used
	procs  []*Proc
	faults faults
}

// space is one network namespace.
type space struct {
	name string
	ns   netns.NsHandle
	link *netlink.Handle
}

// New builds a network of n members, and takes it down at the end of the test.
// It skips the test under -short and where it may not or cannot do its work.
func New(t T, n int, o Options) *Lab {
	t.Helper()
	if why := Unable(); why != "" {
		t.Skipf("netlab: %s", why)
	}
	if n < 1 || n > maxMembers {
		t.Fatalf("netlab: %d members, can be 1 to %d", n, maxMembers)
	}
	if o.MTU == 0 {
		o.MTU = 1500
	}
	Sweep()
	l := &Lab{
		t:      t,
		opts:   o,
		member: make([]*space, n+1),
	}
	t.Cleanup(l.close)
	if err := l.build(); err != nil {
		t.Fatalf("netlab: %v", err)
	}
	return l
}

// Unable says why no lab can be built here, or "".
func Unable() string {
	if f := flag.Lookup("test.short"); f != nil && f.Value.String() == "true" {
		return "no real networks under -short"
	}
	if os.Geteuid() != 0 {
		return "network namespaces need root"
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "no command " + tool + " (apt-get install iproute2 nftables)"
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := newSpace("")
	if err != nil {
		return fmt.Sprintf("no network namespaces: %v", err)
	}
	s.close()
	return ""
}

// Len is the number of members.
func (l *Lab) Len() int { return len(l.member) - 1 }

// Addr is the IPv4 address of member i.
func (l *Lab) Addr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 77, 0, byte(i)})
}

// Addr6 is the IPv6 address of member i, if the lab has them.
func (l *Lab) Addr6(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x77, 15: byte(i)})
}

// Namespace is the name of member i's network namespace.
func (l *Lab) Namespace(i int) string { return l.member[i].name }

// InNS runs f in the network namespace of member i: sockets that f opens belong
// to it for good. Goroutines that f starts do not run there.
func (l *Lab) InNS(i int, f func()) {
	l.t.Helper()
	l.in(l.member[i], f)
}

func (l *Lab) in(s *space, f func()) {
	l.t.Helper()
	if err := s.run(f); err != nil {
		l.t.Fatalf("netlab: enter %s: %v", s.name, err)
	}
}

// build makes the bridge and plugs the members in.
func (l *Lab) build() (err error) {
	for k := 1; l.bridge == nil; k++ { // several labs of one process
		l.name = fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), k)
		l.bridge, err = newSpace(l.spaceName("bridge"))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if l.opts.Unnamed { // the descriptor tells several labs of one process apart
		l.name = fmt.Sprintf("%s%d-fd%d", prefix, os.Getpid(), int(l.bridge.ns))
	}
	if err := l.bridge.run(func() {
		setSysctl("net/ipv6/conf/default/disable_ipv6", "1")
		// Otherwise each frame walks through iptables too.
		setSysctl("net/bridge/bridge-nf-call-iptables", "0")
		setSysctl("net/bridge/bridge-nf-call-ip6tables", "0")
	}); err != nil {
		return err
	}
	snoop := false
	br := &netlink.Bridge{
		LinkAttrs:         netlink.LinkAttrs{Name: "br0", MTU: l.opts.MTU},
		MulticastSnooping: &snoop,
	}
	if err := l.bridge.link.LinkAdd(br); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	if err := l.bridge.link.LinkSetUp(br); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	for i := 1; i < len(l.member); i++ {
		if err := l.plug(i, br.Index); err != nil {
			return fmt.Errorf("member %d: %w", i, err)
		}
	}
	for i := 1; i < len(l.member); i++ {
		if err := l.waitUp(i); err != nil {
			return fmt.Errorf("member %d: %w", i, err)
		}
	}
	if l.Len() > learners {
		return l.introduce()
	}
	return nil
}

// spaceName is the name of a namespace, "" in a lab without names.
func (l *Lab) spaceName(which string) string {
	if l.opts.Unnamed {
		return ""
	}
	return l.name + "-" + which
}

// plug makes member i and its cable.
func (l *Lab) plug(i, bridge int) (err error) {
	s, err := newSpace(l.spaceName(strconv.Itoa(i)))
	if err != nil {
		return err
	}
	l.member[i] = s
	v6 := "1"
	if l.opts.IPv6 {
		v6 = "0"
	}
	if err := s.run(func() {
		setSysctl("net/ipv6/conf/default/disable_ipv6", v6)
		setSysctl("net/ipv6/conf/default/accept_dad", "0") // addresses usable at once
	}); err != nil {
		return err
	}
	port := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{
			Name: portName(i), MTU: l.opts.MTU, MasterIndex: bridge,
		},
		PeerName:      "eth0",
		PeerMTU:       uint32(l.opts.MTU),
		PeerNamespace: netlink.NsFd(s.ns),
	}
	if err := l.bridge.link.LinkAdd(port); err != nil {
		return fmt.Errorf("veth: %w", err)
	}
	if err := s.configure(l.addresses(i), l.opts.GSO); err != nil {
		return err
	}
	return l.bridge.link.LinkSetUp(port)
}

func portName(i int) string { return fmt.Sprintf("m%d", i) }

func (l *Lab) addresses(i int) []netip.Prefix {
	a := []netip.Prefix{netip.PrefixFrom(l.Addr(i), 24)}
	if l.opts.IPv6 {
		a = append(a, netip.PrefixFrom(l.Addr6(i), 64))
	}
	return a
}

// close takes everything down. What went wrong is of no interest any more,
// except a process that will not die.
func (l *Lab) close() {
	for _, p := range l.procs {
		p.kill()
	}
	for _, p := range l.procs {
		p.reap()
		if l.t.Failed() {
			p.dump()
		}
	}
	// Children that have left their parent's process group are left.
	killMarked(func(lab string) bool { return lab == l.name })
	for _, s := range append(l.member, l.bridge) {
		if s != nil {
			s.close()
		}
	}
}

// newSpace makes a namespace, with a name in /run/netns unless it is "".
func newSpace(name string) (*space, error) {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		return nil, err
	}
	defer home.Close()
	ns, err := netns.New() // moves this thread
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("new namespace: %w", err)
	}
	if err := netns.Set(home); err != nil {
		return nil, err // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	s := &space{ns: ns}
	if s.link, err = netlink.NewHandleAt(ns); err != nil {
		s.close()
		return nil, err
	}
	if name == "" {
		return s, nil
	}
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		s.close()
		return nil, err
	}
	target := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(ns))
	if err := os.Symlink(target, filepath.Join(runDir, name)); err != nil {
		s.close()
		return nil, err
	}
	s.name = name
	return s, nil
}

func (s *space) close() {
	if s.name != "" {
		_ = os.Remove(filepath.Join(runDir, s.name))
	}
	if s.link != nil {
		s.link.Close()
	}
	_ = s.ns.Close()
}

// run calls f on a thread that is in the namespace.
func (s *space) run(f func()) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := netns.Set(s.ns); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		} // else the thread stays locked, and ends with its goroutine
	}()
	f()
	return nil
}

// configure brings up lo and eth0 in the namespace.
func (s *space) configure(addrs []netip.Prefix, gso bool) error {
	lo, err := s.link.LinkByName("lo")
	if err != nil {
		return err
	}
	eth, err := s.link.LinkByName("eth0")
	if err != nil {
		return err
	}
	if !gso {
		err = s.link.LinkSetGSOMaxSegs(eth, 1)
	}
	err = errors.Join(err, s.link.LinkSetUp(lo), s.link.LinkSetUp(eth))
	for _, a := range addrs {
		ip := &netlink.Addr{IPNet: ipNet(a)}
		err = errors.Join(err, s.link.AddrAdd(eth, ip))
	}
	return errors.Join(err, s.multicastRoute(eth))
}

// multicastRoute sends IPv4 multicast without an explicit device to eth0.
func (s *space) multicastRoute(eth netlink.Link) error {
	return s.link.RouteReplace(&netlink.Route{
		LinkIndex: eth.Attrs().Index,
		Scope:     netlink.SCOPE_LINK,
		Dst:       ipNet(netip.MustParsePrefix("224.0.0.0/4")),
	})
}

// waitUp waits until member i's cable can be used: the kernel reacts to one that
// is plugged in at a later moment of its own, and so does the bridge.
func (l *Lab) waitUp(i int) error {
	return errors.Join(waitUp(l.bridge.link, portName(i)), waitUp(l.member[i].link, "eth0"))
}

func waitUp(h *netlink.Handle, name string) error {
	for begin := time.Now(); time.Since(begin) < 3*time.Second; time.Sleep(time.Millisecond) {
		dev, err := h.LinkByName(name)
		if err != nil {
			return err
		}
		if dev.Attrs().OperState == netlink.OperUp {
			return nil
		}
	}
	return fmt.Errorf("%s does not come up", name)
}

// setSysctl writes a setting of the thread's namespace, where the kernel has it.
func setSysctl(name, value string) {
	_ = os.WriteFile("/proc/sys/"+name, []byte(value), 0)
}
