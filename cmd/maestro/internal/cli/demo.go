package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"maestro/cmd/maestro/internal/demo"
)

func newDemo(s Streams) *cobra.Command {
	c := demo.Config{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a group on this machine, do it harm, and tell what happens",
		Long: `Start a group on this machine, do it harm, and tell what happens.

Servers hold a map of the records of a file, clients write to it, each of them a
process, over IP multicast on the loopback interface; root is not needed. A
server joins and gets the map, one is killed, one stands still, one is cut off.
At the end the servers' maps must be equal, hold every acknowledged write, and
the traces of all members must pass the checker: the exit code is 0 only then.`,
		Example: "  maestro demo\n  maestro demo --servers 5 --data records.jsonl",
		Args:    exactly(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.Servers < 3 || c.Servers > 32 {
				return usageError{errors.New("--servers: want 3 to 32")}
			}
			return demo.Run(cmd.Context(), c, s.Out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Data, "data", "", "CSV or JSON lines file; country codes if empty")
	f.IntVar(&c.Servers, "servers", 3, "how many servers to begin with")
	f.StringVarP(&c.Interface, "interface", "i", "", "network interface; the loopback one if empty")
	f.StringVar(&c.Traces, "traces", "", "folder to leave the members' traces in")
	f.DurationVar(&c.Timeout, "timeout", 30*time.Second, "how long it may take")
	return cmd
}
