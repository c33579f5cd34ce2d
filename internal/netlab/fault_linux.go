package netlab

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// faults is all that is wrong with the network now. It is turned into one nft
// ruleset as a whole, so nothing has to be undone rule by rule.
type faults struct {
	link   map[[2]int]int // from, to: datagrams lost of 1000
	oneWay map[[2]int]bool
	groups [][]int                // a partition, or none
	port   map[int]*[kinds]string // rules for what goes to a member
}

// The kinds of faults at a member, in the order they strike.
const (
	deaf = iota
	loss
	burst
	dup
	corrupt
	kinds
)

// lose is the rule that loses datagrams at random.
const lose = "meta l4proto udp numgen random mod 1000 < %d drop"

// dupMark keeps a duplicate from being duplicated.
const dupMark = "0x77"

// Loss makes every member lose permille of 1000 datagrams that are sent to it,
// at random and independently. 0 ends it.
func (l *Lab) Loss(permille int) {
	l.t.Helper()
	for i := 1; i <= l.Len(); i++ {
		l.setPort(i, loss, permille, lose, permille)
	}
	l.apply()
}

// LossLink makes permille of 1000 datagrams from one member to another get
// lost, at random. 0 ends it.
func (l *Lab) LossLink(from, to, permille int) {
	l.t.Helper()
	set(&l.faults.link, [2]int{from, to}, permille)
	l.apply()
}

// Burst makes member i lose the first run of each every datagrams sent to it,
// which is the same in each run of a test. 0, 0 ends it.
func (l *Lab) Burst(i, run, every int) {
	l.t.Helper()
	l.setPort(i, burst, every, "meta l4proto udp numgen inc mod %d < %d drop", every, run)
	l.apply()
}

// Deaf makes member i miss all multicast datagrams, while unicast goes on.
func (l *Lab) Deaf(i int, on bool) {
	l.t.Helper()
	n := 0
	if on {
		n = 1
	}
	l.setPort(i, deaf, n, "meta l4proto udp meta pkttype multicast drop")
	l.apply()
}

// Dup makes each every-th datagram sent to member i arrive twice. 0 ends it.
func (l *Lab) Dup(i, every int) {
	l.t.Helper()
	l.setPort(i, dup, every, "meta mark %s accept\n"+
		"meta l4proto udp numgen inc mod %d == 0 meta mark set %s dup to %s",
		dupMark, every, dupMark, portName(i))
	l.apply()
}

// Corrupt turns all bits of two bytes at an offset into the UDP payload of each
// every-th datagram sent to member i. No checksum notices: it is as if memory
// had gone bad on the way. every 0 ends it.
func (l *Lab) Corrupt(i, every, offset int) {
	l.t.Helper()
	field := fmt.Sprintf("@th,%d,16", (8+offset)*8)
	l.setPort(i, corrupt, every,
		"meta l4proto udp numgen inc mod %d == 0 %s set %s ^ 0xffff", every, field, field)
	l.apply()
}

// Partition cuts the network into groups of members that hear nothing of each
// other, all at one instant. A member that no group names is alone. It takes
// the place of the partition before.
func (l *Lab) Partition(groups [][]int) {
	l.t.Helper()
	named := map[int]bool{}
	l.faults.groups = nil
	for _, g := range groups {
		l.faults.groups = append(l.faults.groups, slices.Clone(g))
		for _, i := range g {
			named[i] = true
		}
	}
	for i := 1; i <= l.Len(); i++ {
		if !named[i] {
			l.faults.groups = append(l.faults.groups, []int{i})
		}
	}
	l.apply()
}

// OneWay cuts what goes from one member to another, and not the way back.
func (l *Lab) OneWay(from, to int) {
	l.t.Helper()
	set(&l.faults.oneWay, [2]int{from, to}, true)
	l.apply()
}

// Heal ends the partition and all one-way cuts; loss and the like go on.
func (l *Lab) Heal() {
	l.t.Helper()
	l.faults.groups, l.faults.oneWay = nil, nil
	l.apply()
}

// Calm ends every fault above.
func (l *Lab) Calm() {
	l.t.Helper()
	l.faults = faults{}
	l.apply()
}

// LinkDown pulls member i's cable out at the bridge.
func (l *Lab) LinkDown(i int) {
	l.t.Helper()
	l.onPort(i, l.bridge.link.LinkSetDown)
}

// LinkUp puts member i's cable back, and returns when it carries frames again.
func (l *Lab) LinkUp(i int) {
	l.t.Helper()
	l.onPort(i, l.bridge.link.LinkSetUp)
	if err := l.waitUp(i); err != nil {
		l.t.Fatalf("netlab: member %d: %v", i, err)
	}
}

// MTU makes what is larger than mtu vanish on its way to member i: a black hole
// for large packets that tells nobody. The lab's own MTU ends it.
func (l *Lab) MTU(i, mtu int) {
	l.t.Helper()
	l.onPort(i, func(port netlink.Link) error {
		return l.bridge.link.LinkSetMTU(port, mtu)
	})
}

// RateLimit narrows the way to member i to bytes per second, behind a queue of
// 50 ms (at least 20 kB) that loses what does not fit. 0 ends it.
func (l *Lab) RateLimit(i, bytesPerSecond int) {
	l.t.Helper()
	const burst = 10_000
	l.onPort(i, func(port netlink.Link) error {
		root := netlink.QdiscAttrs{
			LinkIndex: port.Attrs().Index,
			Handle:    netlink.MakeHandle(1, 0),
			Parent:    netlink.HANDLE_ROOT,
		}
		if bytesPerSecond == 0 {
			return l.bridge.link.QdiscDel(&netlink.GenericQdisc{QdiscAttrs: root, QdiscType: "tbf"})
		}
		return l.bridge.link.QdiscReplace(&netlink.Tbf{
			QdiscAttrs: root,
			Rate:       uint64(bytesPerSecond),
			Limit:      uint32(max(bytesPerSecond/20, 20_000)),
			Buffer:     netlink.Xmittime(uint64(bytesPerSecond), burst),
		})
	})
}

func (l *Lab) onPort(i int, f func(netlink.Link) error) {
	l.t.Helper()
	port, err := l.bridge.link.LinkByName(portName(i))
	if err == nil {
		err = f(port)
	}
	if err != nil {
		l.t.Fatalf("netlab: port of member %d: %v", i, err)
	}
}

// setPort states one kind of fault at member i; n 0 is none.
func (l *Lab) setPort(i, kind, n int, format string, args ...any) {
	if l.faults.port == nil {
		l.faults.port = map[int]*[kinds]string{}
	}
	if l.faults.port[i] == nil {
		l.faults.port[i] = new([kinds]string)
	}
	rule := ""
	if n != 0 {
		rule = fmt.Sprintf(format, args...)
	}
	l.faults.port[i][kind] = rule
}

func set[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}

// apply puts the faults in force, in one transaction of the kernel.
func (l *Lab) apply() {
	l.t.Helper()
	rules := l.faults.rules()
	var out bytes.Buffer
	var err error
	l.in(l.bridge, func() {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(rules)
		cmd.Stdout, cmd.Stderr = &out, &out
		err = cmd.Run()
	})
	if err != nil {
		l.t.Fatalf("netlab: nft: %v\n%s\n%s", err, out.Bytes(), rules)
	}
}

// rules writes the ruleset. Cuts and lossy links need both ends of a frame's
// way, which only the bridge's forward hook knows; the rest sits on the way out
// of the bridge to one member.
func (f *faults) rules() string {
	var b strings.Builder
	b.WriteString("table bridge lab\ndelete table bridge lab\ntable bridge lab {\n" +
		"chain links {\ntype filter hook forward priority 0\n")
	for _, g := range f.groups {
		fmt.Fprintf(&b, "iifname %s oifname != %s drop\n", ports(g), ports(g))
	}
	for k := range f.oneWay {
		fmt.Fprintf(&b, "iifname m%d oifname m%d drop\n", k[0], k[1])
	}
	for k, permille := range f.link {
		fmt.Fprintf(&b, "iifname m%d oifname m%d "+lose+"\n", k[0], k[1], permille)
	}
	b.WriteString("}\n}\ntable netdev lab\ndelete table netdev lab\ntable netdev lab {\n")
	for i, rules := range f.port {
		name := portName(i)
		fmt.Fprintf(&b, "chain %s {\ntype filter hook egress device %s priority 0\n%s\n}\n",
			name, name, strings.Join(rules[:], "\n"))
	}
	b.WriteString("}\n")
	return b.String()
}

// ports is the nft set of some members' ports.
func ports(members []int) string {
	s := make([]string, len(members))
	for k, i := range members {
		s[k] = strconv.Quote(portName(i))
	}
	return "{ " + strings.Join(s, ", ") + " }"
}
