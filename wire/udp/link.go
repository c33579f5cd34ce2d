package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// link is the interface in use and why.
type link struct {
	ifi  net.Interface
	addr netip.Addr // ours, with its zone if it needs one
	zone string     // for v6 link-local addresses and groups: the interface's name
	why  string
}

// String is the beginning of Conn.Describe.
func (l link) String() string {
	return fmt.Sprintf("interface %s (%s; MTU %d)", l.ifi.Name, l.why, l.ifi.MTU)
}

// payload is the largest UDP payload of one packet in bytes.
func (l link) payload(v4 bool) int {
	if v4 {
		return min(l.ifi.MTU-28, maxPayload)
	}
	return min(l.ifi.MTU-48, maxPayload)
}

// dadTime is how long an IPv6 address may be missing or tentative (RFC 4862) after
// its interface has come up; until then it cannot be used. The kernel waits up to a
// second at random and then one more.
const dadTime = 3 * time.Second

// errNoAddr says that an interface has no address of the family in use.
var errNoAddr = errors.New("no address")

// retryDAD repeats f while it fails as it does with an IPv6 address that is not
// ready.
func retryDAD(v6 bool, f func() error) error {
	for end := time.Now().Add(dadTime); ; time.Sleep(20 * time.Millisecond) {
		err := f()
		soon := errors.Is(err, errNoAddr) || errors.Is(err, syscall.EADDRNOTAVAIL) ||
			errors.Is(err, syscall.ENETUNREACH)
		if !v6 || !soon || time.Now().After(end) {
			return err
		}
	}
}

// chooseLink finds the interface, in the order of how clearly the Config says it.
func chooseLink(c *Config) (link, error) {
	v4, bind := c.v4(), c.Bind.Addr()
	bound := bind.IsValid() && !bind.IsUnspecified()
	switch {
	case c.Interface != "":
		return namedLink(c.Interface, bind, bound, v4)
	case bound:
		return addressLink(bind, "has the bind address")
	case !c.fanout() && c.Group.Addr().Zone() != "":
		return namedLink(c.Group.Addr().Zone(), bind, false, v4)
	case c.fanout():
		if l, err := routeLink(c.Peers); err == nil {
			return l, nil
		}
	}
	return autoLink(v4)
}

// namedLink takes a name or an address.
func namedLink(s string, bind netip.Addr, bound, v4 bool) (link, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return addressLink(a.Unmap(), "has the configured address")
	}
	ifi, err := net.InterfaceByName(s)
	if err != nil {
		return link{}, fmt.Errorf("udp: interface %q: %w", s, err)
	}
	addr, ok := linkAddr(ifi, v4)
	if bound {
		addr, ok = bind, true
	}
	if !ok {
		return link{}, fmt.Errorf("udp: interface %q: %w of %s", s, errNoAddr, family(v4))
	}
	return makeLink(*ifi, addr, "configured"), nil
}

// addressLink finds the interface that has the address.
func addressLink(a netip.Addr, why string) (link, error) {
	ifis, err := net.Interfaces()
	if err != nil {
		return link{}, fmt.Errorf("udp: interfaces: %w", err)
	}
	for _, ifi := range ifis {
		if a.Zone() != "" && a.Zone() != ifi.Name {
			continue
		}
		if hasAddr(&ifi, a) {
			return makeLink(ifi, a.WithZone(""), why), nil
		}
	}
	return link{}, fmt.Errorf("udp: no interface has the address %v", a)
}

// routeLink asks the kernel from where it would reach the first peer that it can
// reach. Nothing is sent.
func routeLink(peers []netip.AddrPort) (link, error) {
	err := fmt.Errorf("udp: no peers")
	for _, p := range peers {
		var c *net.UDPConn
		if c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p)); err != nil {
			continue
		}
		from := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		c.Close()
		return addressLink(from, fmt.Sprintf("on the route to peer %v", p))
	}
	return link{}, err
}

// autoLink takes the best of all interfaces.
func autoLink(v4 bool) (link, error) {
	ifis, err := net.Interfaces()
	if err != nil {
		return link{}, fmt.Errorf("udp: interfaces: %w", err)
	}
	best, bestScore, n := link{}, 0, 0
	for _, ifi := range ifis {
		addr, ok := linkAddr(&ifi, v4)
		score := linkScore(&ifi)
		if !ok || score == 0 {
			continue
		}
		if n++; score > bestScore {
			best, bestScore = makeLink(ifi, addr, ""), score
		}
	}
	switch {
	case n == 0:
		return link{}, fmt.Errorf("udp: no interface is up: %w of %s", errNoAddr, family(v4))
	case best.ifi.Flags&net.FlagLoopback != 0:
		best.why = "loopback: no other interface is up with multicast and an address"
	default:
		best.why = fmt.Sprintf("chosen automatically of %d", n)
	}
	return best, nil
}

// linkScore rates an interface; 0 is unusable.
func linkScore(ifi *net.Interface) int {
	switch {
	case ifi.Flags&net.FlagUp == 0:
		return 0
	case ifi.Flags&net.FlagLoopback != 0:
		return 1
	case ifi.Flags&net.FlagMulticast == 0:
		return 0
	}
	score := 2
	if ifi.Flags&net.FlagPointToPoint == 0 {
		score += 2
	}
	if ifi.Flags&net.FlagRunning != 0 {
		score += 16
	}
	if !virtualName(ifi.Name) {
		score += 8
	}
	// Only Linux has this file, and only for interfaces with hardware (or a
	// virtual machine's idea of hardware) behind them.
	if _, err := os.Stat("/sys/class/net/" + ifi.Name + "/device"); err == nil {
		score += 4
	}
	return score
}

// virtualName recognises the interfaces of container engines, virtual machines
// and tunnels, on which no other host of a LAN listens.
func virtualName(name string) bool {
	return slices.ContainsFunc([]string{
		"docker", "br-", "virbr", "veth", "cni", "flannel", "cali", "cilium", "wg", "tailscale",
		"tun", "tap", "utun", "zt", "vmnet", "vboxnet", "podman", "lxc", "lxd", "dummy", "ifb",
		"awdl", "llw", "bridge", "kube",
	}, func(p string) bool { return strings.HasPrefix(name, p) })
}

// linkAddr is the interface's address to use: of v6 rather one that is not
// link-local.
func linkAddr(ifi *net.Interface, v4 bool) (netip.Addr, bool) {
	var found netip.Addr
	for _, a := range addrsOf(ifi) {
		switch {
		case a.Is4() != v4:
		case !a.IsLinkLocalUnicast():
			return a, true
		case !found.IsValid():
			found = a
		}
	}
	return found, found.IsValid()
}

func hasAddr(ifi *net.Interface, a netip.Addr) bool {
	if slices.Contains(addrsOf(ifi), a.WithZone("")) {
		return true
	}
	// All of 127/8 is ours, not only the address that is configured.
	return ifi.Flags&net.FlagLoopback != 0 && a.Is4() && a.IsLoopback()
}

// neighbours reports whether one of the members, other than ourselves, is on this
// host. When it cannot be found out they are taken to be.
func (c *core) neighbours(members []netip.AddrPort) bool {
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	ours := map[netip.Addr]bool{c.local.Addr().WithZone(""): true}
	for _, n := range nets {
		if p, err := netip.ParsePrefix(n.String()); err == nil {
			ours[p.Addr().Unmap()] = true
		}
	}
	return slices.ContainsFunc(members, func(a netip.AddrPort) bool {
		a = unmap(a)
		ip := a.Addr().WithZone("")
		self := a.Port() == c.local.Port() && ip == c.local.Addr().WithZone("")
		return !self && (ours[ip] || ip.IsLoopback())
	})
}

func addrsOf(ifi *net.Interface) []netip.Addr {
	nets, err := ifi.Addrs()
	if err != nil {
		return nil // the interface went away meanwhile
	}
	var out []netip.Addr
	for _, n := range nets {
		if p, err := netip.ParsePrefix(n.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

func makeLink(ifi net.Interface, a netip.Addr, why string) link {
	if a.IsLinkLocalUnicast() && a.Is6() {
		a = a.WithZone(ifi.Name)
	}
	return link{ifi: ifi, addr: a, zone: ifi.Name, why: why}
}

func family(v4 bool) string {
	if v4 {
		return "IPv4"
	}
	return "IPv6"
}
