package netlab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	group4 = "239.77.0.1"
	group6 = "ff02::77"
	port   = 7700

	datagrams = 1000
	payload   = 200
)

// ear is a member that listens to the group and to unicast.
type ear struct {
	conn *net.UDPConn

	mu    sync.Mutex
	count map[uint32]int // by sequence number
	bad   int            // with other bytes than sent
	last  time.Time
}

// listen makes members 2... listen to an address; member 1 sends.
func listen(t *testing.T, l *Lab, ip string) []*ear {
	t.Helper()
	ears := make([]*ear, l.Len()+1)
	for i := 2; i <= l.Len(); i++ {
		e := &ear{count: map[uint32]int{}}
		l.InNS(i, func() {
			dev, err := net.InterfaceByName("eth0")
			if err != nil {
				t.Fatal(err)
			}
			addr := &net.UDPAddr{IP: net.ParseIP(ip), Port: port}
			if addr.IP.IsMulticast() {
				e.conn, err = net.ListenMulticastUDP("udp", dev, addr)
			} else {
				e.conn, err = net.ListenUDP("udp", &net.UDPAddr{Port: port})
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		t.Cleanup(func() { e.conn.Close() })
		roomy(t, e.conn)
		go e.run()
		ears[i] = e
	}
	return ears
}

func roomy(t *testing.T, c *net.UDPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (e *ear) run() {
	b := make([]byte, 65536)
	for {
		n, err := e.conn.Read(b)
		if err != nil {
			return
		}
		e.mu.Lock()
		e.count[binary.BigEndian.Uint32(b)]++
		for _, c := range b[4:n] {
			if c != 0x11 {
				e.bad++
				break
			}
		}
		e.last = time.Now()
		e.mu.Unlock()
	}
}

// wait waits for silence.
func (e *ear) wait() {
	const silence = 30 * time.Millisecond
	for begin := time.Now(); ; time.Sleep(silence / 3) {
		e.mu.Lock()
		last := e.last
		e.mu.Unlock()
		if time.Since(last) >= silence && time.Since(begin) >= silence {
			return
		}
	}
}

// take takes the counts: datagrams in all, different ones, damaged ones.
func (e *ear) take() (all, unique, bad int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, n := range e.count {
		all += n
	}
	unique, bad = len(e.count), e.bad
	e.count, e.bad = map[uint32]int{}, 0
	return all, unique, bad
}

func (e *ear) heard() (all, unique, bad int) {
	e.wait()
	return e.take()
}

// send sends numbered datagrams from member 1.
func send(t *testing.T, l *Lab, ip string, n, size int) {
	t.Helper()
	var c *net.UDPConn
	l.InNS(1, func() {
		var err error
		to := &net.UDPAddr{IP: net.ParseIP(ip), Port: port}
		if to.IP.To4() == nil {
			to.Zone = "eth0"
		}
		if c, err = net.DialUDP("udp", nil, to); err != nil {
			t.Fatal(err)
		}
	})
	defer c.Close()
	b := make([]byte, size)
	for i := range b {
		b[i] = 0x11
	}
	for i := range n {
		binary.BigEndian.PutUint32(b, uint32(i))
		if _, err := c.Write(b); err != nil {
			t.Fatalf("datagram %d: %v", i, err)
		}
	}
}

// round sends to the group and tells how many datagrams each member got.
func round(t *testing.T, l *Lab, ears []*ear) (got []int) {
	t.Helper()
	send(t, l, group4, datagrams, payload)
	got = make([]int, len(ears))
	for i, e := range ears {
		if e != nil {
			got[i], _, _ = e.heard()
		}
	}
	return got
}

func check(t *testing.T, what string, got, low, high int) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s: %d datagrams, want %d to %d", what, got, low, high)
	}
}

func TestQuickAndQuiet(t *testing.T) {
	begin := time.Now()
	l := New(t, 3, Options{})
	if d := time.Since(begin); d > time.Second {
		t.Errorf("a lab of 3 took %v", d)
	} else {
		t.Logf("a lab of 3 took %v", d)
	}
	ears := listen(t, l, group4)
	got := round(t, l, ears)
	check(t, "member 2", got[2], datagrams, datagrams)
	check(t, "member 3", got[3], datagrams, datagrams)
	if out, err := exec.Command("ip", "netns", "exec", l.Namespace(2),
		"ip", "-4", "addr", "show", "dev", "eth0").Output(); err != nil ||
		!strings.Contains(string(out), l.Addr(2).String()) {
		t.Errorf("ip netns exec: %v, %s", err, out)
	}
}

func TestLoss(t *testing.T) {
	l := New(t, 3, Options{})
	ears := listen(t, l, group4)

	l.Loss(100)
	got := round(t, l, ears)
	check(t, "10 % loss, member 2", got[2], 840, 960)
	check(t, "10 % loss, member 3", got[3], 840, 960)

	l.Loss(0)
	l.LossLink(1, 3, 500)
	got = round(t, l, ears)
	check(t, "sound link", got[2], datagrams, datagrams)
	check(t, "link with 50 % loss", got[3], 400, 600)

	l.Calm()
	l.Burst(2, 10, 100)
	got = round(t, l, ears)
	check(t, "first 10 of each 100 lost", got[2], 900, 900)
	check(t, "other member", got[3], datagrams, datagrams)

	l.Calm()
	got = round(t, l, ears)
	check(t, "calm", got[2]+got[3], 2*datagrams, 2*datagrams)
}

func TestPartition(t *testing.T) {
	l := New(t, 4, Options{})
	ears := listen(t, l, group4)

	l.Partition([][]int{{1, 2}, {3, 4}})
	got := round(t, l, ears)
	check(t, "same side", got[2], datagrams, datagrams)
	check(t, "other side", got[3]+got[4], 0, 0)

	l.Partition([][]int{{1, 3}}) // another one at once; 2 and 4 are alone
	got = round(t, l, ears)
	check(t, "new side", got[3], datagrams, datagrams)
	check(t, "not named", got[2]+got[4], 0, 0)

	l.Heal()
	l.OneWay(1, 4)
	got = round(t, l, ears)
	check(t, "healed", got[2]+got[3], 2*datagrams, 2*datagrams)
	check(t, "one way", got[4], 0, 0)

	l.Heal()
	l.OneWay(4, 1)
	got = round(t, l, ears)
	check(t, "the other way", got[4], datagrams, datagrams)
}

func TestDupAndCorrupt(t *testing.T) {
	l := New(t, 3, Options{})
	ears := listen(t, l, group4)
	l.Dup(2, 10)
	l.Corrupt(3, 20, 16)
	send(t, l, group4, datagrams, payload)

	all, unique, bad := ears[2].heard()
	check(t, "duplicates", all-unique, datagrams/10, datagrams/10)
	check(t, "unique", unique, datagrams, datagrams)
	check(t, "bad where only duplicated", bad, 0, 0)

	all, unique, bad = ears[3].heard()
	check(t, "all where corrupted", all, datagrams, datagrams)
	check(t, "unique where corrupted", unique, datagrams, datagrams)
	check(t, "corrupted", bad, datagrams/20, datagrams/20)
}

func TestDeaf(t *testing.T) {
	l := New(t, 2, Options{})
	multi := listen(t, l, group4)
	l.Deaf(2, true)
	check(t, "multicast to the deaf", round(t, l, multi)[2], 0, 0)
	multi[2].conn.Close()
	uni := listen(t, l, l.Addr(2).String())
	send(t, l, l.Addr(2).String(), datagrams, payload)
	got, _, _ := uni[2].heard()
	check(t, "unicast to the deaf", got, datagrams, datagrams)
}

func TestLink(t *testing.T) {
	l := New(t, 3, Options{})
	ears := listen(t, l, group4)
	l.LinkDown(3)
	got := round(t, l, ears)
	check(t, "link up", got[2], datagrams, datagrams)
	check(t, "link down", got[3], 0, 0)
	l.LinkUp(3)
	got = round(t, l, ears)
	check(t, "link up again", got[3], datagrams, datagrams)

	l.MTU(3, 1000)
	send(t, l, group4, 100, 1400)
	got[2], _, _ = ears[2].heard()
	got[3], _, _ = ears[3].heard()
	check(t, "large datagrams", got[2], 100, 100)
	check(t, "large datagrams into the black hole", got[3], 0, 0)
	check(t, "small ones", round(t, l, ears)[3], datagrams, datagrams)
}

func TestRateLimit(t *testing.T) {
	l := New(t, 3, Options{})
	ears := listen(t, l, group4)
	l.RateLimit(3, 1_000_000)
	got := round(t, l, ears) // 242 kB at once: the queue holds 50 kB
	check(t, "wide", got[2], datagrams, datagrams)
	check(t, "narrow", got[3], 150, 500)
	l.RateLimit(3, 0)
	check(t, "wide again", round(t, l, ears)[3], datagrams, datagrams)
}

// A burst is many datagrams, and a fault must hit them one by one.
func TestFaultsHitDatagramsOfABurst(t *testing.T) {
	l := New(t, 2, Options{})
	ears := listen(t, l, group4)
	l.Burst(2, 1, 10)
	sendBurst(t, l, 40)
	got, _, _ := ears[2].heard()
	check(t, "one burst of 40", got, 36, 36)
}

func TestWholeBursts(t *testing.T) {
	l := New(t, 2, Options{GSO: true})
	ears := listen(t, l, group4)
	l.Burst(2, 1, 10)
	sendBurst(t, l, 40)
	got, _, _ := ears[2].heard()
	check(t, "one burst of 40 as one packet", got, 0, 0)
}

// sendBurst sends n datagrams with one call (UDP_SEGMENT).
func sendBurst(t *testing.T, l *Lab, n int) {
	t.Helper()
	var fd int
	var err error
	l.InNS(1, func() { fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0) })
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT, payload); err != nil {
		t.Fatal(err)
	}
	to := &unix.SockaddrInet4{Port: port, Addr: [4]byte(net.ParseIP(group4).To4())}
	if err := unix.Sendto(fd, make([]byte, n*payload), 0, to); err != nil {
		t.Fatal(err)
	}
}

func TestIPv6(t *testing.T) {
	l := New(t, 2, Options{IPv6: true, MTU: 9000})
	ears := listen(t, l, group6)
	l.Burst(2, 1, 2)
	send(t, l, group6, datagrams, 8000)
	got, _, _ := ears[2].heard()
	check(t, "IPv6 multicast of 8000 bytes, every second lost", got, 500, 500)
	l.InNS(2, func() {
		c, err := net.ListenPacket("udp6", "["+l.Addr6(2).String()+"]:0")
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}

func TestProcesses(t *testing.T) {
	l := New(t, 2, Options{})
	p := l.Start(1, "sh", "-c",
		"echo one; echo two >&2; ip -4 -o addr show eth0; read x; echo got $x")
	p.Wait("^one$", 5*time.Second)
	_, m := p.Wait(`inet (\S+)/24`, 5*time.Second)
	if m[1] != l.Addr(1).String() {
		t.Errorf("the process is at %s", m[1])
	}
	p.Say("%d", 42)
	p.Wait("^got 42$", 5*time.Second)
	if code := p.Exit(5 * time.Second); code != 0 {
		t.Errorf("the process ended with %d", code)
	}

	q := l.Start(2, "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.005; done")
	q.Wait("^3$", 5*time.Second)
	l.Pause(2)
	time.Sleep(20 * time.Millisecond)
	n := len(q.Output())
	time.Sleep(50 * time.Millisecond)
	if more := len(q.Output()); more != n {
		t.Errorf("%d lines while paused", more-n)
	}
	l.Resume(2)
	q.Wait("..", 5*time.Second)
	l.Kill(2)
	if code := q.Exit(time.Second); code != -1 {
		t.Errorf("killed, exit code %d", code)
	}
}

// Two labs of one process, of which one is large.
func TestSeveralAndLarge(t *testing.T) {
	a := New(t, 2, Options{})
	begin := time.Now()
	b := New(t, 100, Options{})
	t.Logf("a lab of 100 took %v", time.Since(begin))
	if a.Namespace(1) == b.Namespace(1) {
		t.Fatal("one name for two namespaces")
	}
	for _, name := range []string{a.Namespace(2), b.Namespace(2), b.Namespace(100)} {
		if _, err := os.Stat(filepath.Join(runDir, name)); err != nil {
			t.Error(err)
		}
	}
	ears := listen(t, b, group4)
	b.Partition([][]int{half(1, 50), half(51, 100)})
	send(t, b, group4, 10, payload)
	near, far := 0, 0
	ears[2].wait()
	ears[50].wait()
	for i := 2; i <= 100; i++ {
		n, _, _ := ears[i].take()
		if i <= 50 {
			near += n
		} else {
			far += n
		}
	}
	check(t, "near half", near, 49*10, 49*10)
	check(t, "far half", far, 0, 0)
}

// TestAllToAll has more members send to each other than the kernel's table of
// neighbours, which all namespaces share, has room for.
func TestAllToAll(t *testing.T) {
	const n = 40
	l := New(t, n, Options{})
	ears := listen(t, l, l.Addr(1).String())
	for i := 1; i <= n; i++ {
		l.InNS(i, func() {
			c, err := net.ListenUDP("udp4", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for j := 2; j <= n; j++ {
				b := []byte{0, 0, 0, byte(i)}
				to := netip.AddrPortFrom(l.Addr(j), port)
				if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
					t.Fatalf("from %d to %d: %v", i, j, err)
				}
			}
		})
	}
	for j, e := range ears {
		if e != nil {
			_, unique, _ := e.heard()
			check(t, fmt.Sprintf("member %d", j), unique, n, n)
		}
	}
}

func half(from, to int) (members []int) {
	for i := from; i <= to; i++ {
		members = append(members, i)
	}
	return members
}

// fakeT is a test that ends when its owner says so.
type fakeT struct {
	testing.TB
	cleanup []func()
}

func (f *fakeT) Cleanup(c func()) { f.cleanup = append(f.cleanup, c) }

func TestCloseLeavesNothing(t *testing.T) {
	f := &fakeT{TB: t}
	l := New(f, 2, Options{})
	// A child that has left the process group of its parent.
	p := l.Start(1, "sh", "-c", "setsid sleep 77 >/dev/null 2>&1 & echo $!; read x; sleep 77")
	p.Wait("^[0-9]+$", 5*time.Second)
	f.cleanup[0]()
	if _, err := os.Lstat(runDir + "/" + l.Namespace(1)); err == nil {
		t.Error("the name of a namespace is left")
	}
	for try := 0; ; try++ {
		left := 0
		killMarked(func(lab string) bool {
			if lab == l.name {
				left++
			}
			return false
		})
		if left == 0 {
			break
		}
		if try == 100 {
			t.Fatalf("%d processes are left", left)
		}
		time.Sleep(10 * time.Millisecond) // killed, but not dead yet
	}
}

// A run that is killed leaves names only, and the next run sweeps them away.
func TestSweep(t *testing.T) {
	if os.Getenv("NETLAB_CHILD") != "" {
		l := New(t, 2, Options{})
		l.Start(1, "sleep", "78")
		os.Stdout.WriteString(l.name + "\n")
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	if why := Unable(); why != "" {
		t.Skip(why)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSweep$")
	cmd.Env = append(os.Environ(), "NETLAB_CHILD=1")
	out, _ := cmd.Output()
	name := strings.TrimSpace(string(out))
	if !strings.HasPrefix(name, prefix) {
		t.Fatalf("the child said %q", out)
	}
	if _, err := os.Stat(runDir + "/" + name + "-1"); err == nil {
		t.Error("a namespace outlives the run that made it")
	}
	if _, err := os.Lstat(runDir + "/" + name + "-1"); err != nil {
		t.Errorf("no leftover to sweep: %v", err)
	}
	Sweep()
	if _, err := os.Lstat(runDir + "/" + name + "-1"); err == nil {
		t.Error("Sweep has left a name")
	}
}

func BenchmarkLab(b *testing.B) {
	for range b.N {
		f := &fakeT{TB: b}
		New(f, 3, Options{})
		f.cleanup[0]()
	}
}
