package sim

import (
	"fmt"
	"net/netip"

	"maestro/stack"
)

// host is where members of one name live, one after the other.
type host struct {
	name    string
	addr    netip.AddrPort
	index   int
	member  *Member // the process that runs, nil if none
	down    bool    // the machine is off: not even ICMP answers
	part    int     // component of the partition
	nicOut  stack.Time
	nicIn   stack.Time
	queues  [2]int // bytes queued by unicast and multicast
	lastInc uint64
}

// AddrOf is the address of the i-th host.
func AddrOf(i int) netip.AddrPort {
	i++
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i / 250), byte(i%250 + 1)}), 7000)
}

// CoreAddr is the multicast address of the views' cores.
func CoreAddr() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 0, 0, 1}), 7000)
}

// listens reports whether the process that runs is in the core of its view.
func (h *host) listens() bool {
	if h.member == nil {
		return false
	}
	v := h.member.Group.View()
	return v != nil && v.Core != nil && v.Core[v.Rank]
}

// Host sets up the host of a name before anybody lives there, so that links can
// be changed.
func (w *World) Host(name string) { w.host(name) }

// host finds or makes the host of a name.
func (w *World) host(name string) *host {
	if h := w.names[name]; h != nil {
		return h
	}
	h := &host{name: name, index: len(w.hosts), addr: AddrOf(len(w.hosts))}
	w.hosts = append(w.hosts, h)
	w.names[name] = h
	w.addrs[h.addr] = h
	for i := range w.links {
		w.links[i] = append(w.links[i], link{Link: w.deflt})
	}
	row := make([]link, len(w.hosts))
	for i := range row {
		row[i].Link = w.deflt
	}
	w.links = append(w.links, row)
	return h
}

// known is the host of a name that must exist.
func (w *World) known(name string) *host {
	h := w.names[name]
	if h == nil {
		panic(fmt.Sprintf("sim: no host %q", name))
	}
	return h
}

// SetLinks changes what all links do, except those that SetLink has set.
func (w *World) SetLinks(l Link) {
	w.deflt = l
	for i := range w.links {
		for j := range w.links[i] {
			if !w.links[i][j].own {
				w.links[i][j].Link = l
				w.links[i][j].burst = false
			}
		}
	}
}

// SetLink changes what the link from one host to another does.
func (w *World) SetLink(from, to string, l Link) {
	k := &w.links[w.known(from).index][w.known(to).index]
	k.Link, k.own, k.burst = l, true, false
}

// ClearLinks takes back what SetLink has set.
func (w *World) ClearLinks() {
	for i := range w.links {
		for j := range w.links[i] {
			w.links[i][j].own = false
		}
	}
	w.SetLinks(w.deflt)
}

// CutOneWay cuts or restores the link from one host to another.
func (w *World) CutOneWay(from, to string, cut bool) {
	w.note("link %s->%s cut=%t", from, to, cut)
	w.links[w.known(from).index][w.known(to).index].cut = cut
}

// Cut cuts or restores the links between two hosts.
func (w *World) Cut(a, b string, cut bool) {
	w.CutOneWay(a, b, cut)
	w.CutOneWay(b, a, cut)
}

// Partition splits the network into components. Hosts that are not named form
// one more.
func (w *World) Partition(parts ...[]string) {
	w.note("partition %v", parts)
	for _, h := range w.hosts {
		h.part = 0
	}
	for i, p := range parts {
		for _, name := range p {
			w.known(name).part = i + 1
		}
	}
}

// Heal ends all cuts and partitions.
func (w *World) Heal() {
	w.note("heal")
	for _, h := range w.hosts {
		h.part = 0
	}
	for i := range w.links {
		for j := range w.links[i] {
			w.links[i][j].cut = false
		}
	}
}

// Connected reports whether datagrams from one host can reach another.
func (w *World) Connected(from, to string) bool { return w.open(w.known(from), w.known(to)) }

func (w *World) open(from, to *host) bool {
	return from.part == to.part && !w.links[from.index][to.index].cut && !to.down
}
