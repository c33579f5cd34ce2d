package udp

import (
	"net/netip"
	"testing"
	"time"
)

// TestNobodyThere sends to hosts that are not there, whose address the kernel looks for:
// what is for them fills the send buffer for seconds, but must not hold up the loop.
func TestNobodyThere(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		a := open(t, Config{Group: group(), Interface: "x0", SendBuf: 128 << 10})
		const rounds = 100
		waited := 0
		for range rounds {
			at := time.Now()
			for h := range byte(4) {
				to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 77, 0, 9 + h}), 9)
				a.send(to, pattern(14000), 1400)
			}
			a.flush()
			if time.Since(at) > stallLimit*3/4 {
				waited++
			}
			time.Sleep(time.Millisecond)
		}
		s := a.Stats()
		t.Logf("waited in %d of %d rounds; %d datagrams lost", waited, rounds, s.LostOut)
		if s.SendENOBUFS > 0 && waited > rounds/2 { // without a load it is ten
			t.Errorf("waited in %d of %d rounds", waited, rounds)
		}
	}, "link add x0 type veth peer name x1", "link set x0 up", "link set x1 up",
		"addr add 10.77.0.1/24 dev x0")
}
