package netlab

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// learners is how many members may look for each other's link addresses. The
// kernel keeps the neighbours of all namespaces in one table, of 1,024 entries
// where net.ipv4.neigh.default.gc_thresh3 does not say otherwise, which members
// that all talk to each other fill from 33 on. Then it refuses their datagrams,
// as it would not on machines of their own.
const learners = 16

// introduce tells all members each other's link addresses for good: such entries
// do not count in the kernel's table.
func (l *Lab) introduce() error {
	eth := make([]*netlink.LinkAttrs, len(l.member))
	for i := 1; i < len(eth); i++ {
		dev, err := l.member[i].link.LinkByName("eth0")
		if err != nil {
			return fmt.Errorf("member %d: %w", i, err)
		}
		eth[i] = dev.Attrs()
	}
	for i := 1; i < len(eth); i++ {
		for j := 1; j < len(eth); j++ {
			if j == i {
				continue
			}
			if err := l.member[i].learn(eth[i].Index, eth[j], l.addresses(j)); err != nil {
				return fmt.Errorf("member %d, neighbour %d: %w", i, j, err)
			}
		}
	}
	return nil
}

// learn notes which device has the addresses.
func (s *space) learn(dev int, eth *netlink.LinkAttrs, addrs []netip.Prefix) error {
	for _, a := range addrs {
		if err := s.link.NeighSet(&netlink.Neigh{LinkIndex: dev, State: netlink.NUD_PERMANENT,
			IP: a.Addr().AsSlice(), HardwareAddr: eth.HardwareAddr}); err != nil {
			return err
		}
	}
	return nil
}
