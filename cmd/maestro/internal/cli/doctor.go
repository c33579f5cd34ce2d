package cli

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"maestro/wire"
	"maestro/wire/udp"
)

func newDoctor(s Streams) *cobra.Command {
	var iface string
	cmd := &cobra.Command{
		Use:   "doctor [flags]",
		Short: "Look at what this machine offers a member",
		Long: `Look at what this machine offers a member: the interface that would be used and
why, the kernel's buffers, the means to send and receive many datagrams at once,
and whether multicast comes through between two sockets here.

Exit codes: 0 all is well, 3 it works, but could be better, 1 it does not work.`,
		Example: "  maestro doctor\n  maestro doctor --interface lo",
		Args:    exactly(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return diagnose(s.Out, udp.Config{Interface: iface,
				Group: netip.MustParseAddrPort("239.195.255.250:29999")})
		},
	}
	cmd.Flags().StringVarP(&iface, "interface", "i", "", "name or address; chosen if empty")
	return cmd
}

func diagnose(w io.Writer, c udp.Config) error {
	var pools [2]wire.Pool
	var conns [2]*udp.Conn
	for i := range conns {
		conn, err := udp.Open(c, &pools[i])
		if err != nil {
			return fmt.Errorf("no sockets: %w", err)
		}
		defer conn.Close()
		conns[i] = conn
	}
	line := func(mark, format string, args ...any) {
		fmt.Fprintf(w, "%-5s %s\n", mark, fmt.Sprintf(format, args...))
	}
	degraded := false
	line("info", "%s", conns[0].Describe())
	if got := conns[0].RecvBuf(); got >= udp.DefaultRecvBuf {
		line("ok", "receive buffer %d KiB", got>>10)
	} else {
		degraded = true
		line("warn", "receive buffer %d KiB of %d KiB: bursts are lost and repaired; on the host, "+
			"as root:", got>>10, udp.DefaultRecvBuf>>10)
		line("", "sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d", udp.DefaultRecvBuf,
			udp.DefaultSendBuf)
	}
	if max := sysctl("net/core/rmem_max"); max > 0 {
		line("info", "net.core.rmem_max %d, net.core.wmem_max %d", max, sysctl("net/core/wmem_max"))
	}
	took, err := selfTest(conns)
	if err != nil {
		line("FAIL", "multicast from one socket to another on this machine: %v", err)
		line("", "look for a firewall rule on %v (nft list ruleset), or use --peers", c.Group)
		return codeError(exitFailure)
	}
	line("ok", "multicast from one socket to another on this machine: %v",
		took.Round(time.Microsecond))
	if degraded {
		return codeError(exitDegraded)
	}
	return nil
}

func sysctl(name string) int {
	b, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return 0 // not Linux, or not to be seen
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return n
}

// selfTest sends multicasts from one socket until the other has one.
func selfTest(conns [2]*udp.Conn) (time.Duration, error) {
	text := []byte("maestro doctor")
	pkts := make([]wire.Packet, 16)
	for range 10 {
		sent := time.Now()
		if err := conns[0].Send(netip.AddrPort{}, text, len(text)); err != nil {
			return 0, err
		}
		if err := conns[0].Flush(); err != nil {
			return 0, err
		}
		for limit := sent.Add(100 * time.Millisecond); time.Now().Before(limit); {
			if err := conns[1].Wait(time.Until(limit)); err != nil {
				return 0, err
			}
			n, err := conns[1].Receive(pkts)
			if err != nil {
				return 0, err
			}
			found := false
			for i := range pkts[:n] {
				found = found || strings.HasPrefix(string(pkts[i].Data), string(text))
				pkts[i].Buf.Drop()
			}
			if found {
				return time.Since(sent), nil
			}
		}
	}
	st := conns[0].Stats()
	return 0, fmt.Errorf("none of 10 came within 100 ms (send errors: EPERM %d, ENOBUFS %d, "+
		"ENETUNREACH %d, other %d)", st.SendEPERM, st.SendENOBUFS, st.SendENETUNREACH, st.SendOther)
}
