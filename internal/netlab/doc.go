// Package netlab gives a test a small network of its own: network namespaces
// joined by one bridge, with the faults a real network has. Members are numbered
// from 1, as their addresses are: member 3 has 10.77.0.3 on its device eth0,
// which is plugged into the port m3 of the bridge.
//
//	lab := netlab.New(t, 3, netlab.Options{})
//	p := lab.Start(1, "maestro", "demo", "--name", "a")
//	p.Wait(`view .* members=3`, 5*time.Second)
//	lab.Partition([][]int{{1, 2}, {3}})
//	lab.Heal()
//	lab.InNS(2, func() { conn, err = net.ListenUDP("udp4", nil) })
//
// Nothing is ever done to the root namespace: the bridge and all nft rules live
// in a namespace too. The namespaces have no owner but the file descriptors of
// this process (what /run/netns holds are symbolic links to them, for people:
// 'ip netns exec mlab-<pid>-<lab>-<member> tcpdump'), so that the kernel takes
// all of it away even when the test process is killed.
//
// Members of a larger lab know each other's link addresses from the start; those of
// a small one look for them by ARP, as hosts do.
//
// Every fault method may be called while traffic flows, from one goroutine at a
// time. Rates are in 1/1000. Each change replaces all rules at once, so that
// no half-made partition is ever in force.
package netlab
