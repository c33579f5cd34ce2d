package cli

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"maestro/clsv"
	"maestro/cmd/maestro/internal/member"
)

// nodeFlags are the flags that need to be looked at.
type nodeFlags struct {
	role, xfer, multicast, bind string
	peers                       []string
	verbose                     bool
}

func newNode(s Streams) *cobra.Command {
	c := member.Config{}
	f := nodeFlags{}
	cmd := &cobra.Command{
		Use:   "node --name NAME [flags]",
		Short: "Run one member of a replicated map in the foreground",
		Long: `Run one member of a replicated map in the foreground.

Servers hold the map, clients write to it and ask for it. The first server
founds the group with the records of a file; servers that come later get the map
from those that are there. Members find each other by IP multicast, or, with
--peers, by a list of addresses.

Commands come from standard input, one a line: set KEY VALUE, get KEY, del KEY,
dump, digest, sync, view, quit, help. With --http the same can be had by HTTP: GET,
PUT and DELETE of /kv/KEY, GET of /kv, /view, /digest, /livez and /readyz.

The first SIGINT or SIGTERM leaves the group, the second ends at once.`,
		Example: `  maestro node --interface lo --name a --http :8080
  maestro node --interface lo --name c --role client`,
		Args: exactly(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.apply(&c, s); err != nil {
				return usageError{err}
			}
			return member.Run(cmd.Context(), c, s.In, s.Out)
		},
	}
	fl := cmd.Flags()
	fl.StringVarP(&c.Group, "group", "g", "maestro", "name of the group")
	fl.StringVarP(&c.Name, "name", "n", "", "name of this member, which no other has (required)")
	fl.StringVar(&f.role, "role", "server", "server or client")
	fl.StringVar(&f.xfer, "xfer", "free", "what may be sent while this server gets the map: "+
		"free, protected or atomic")
	fl.StringVarP(&c.Transport.Interface, "interface", "i", "", "name or address of the network "+
		"interface; chosen if empty")
	fl.StringVar(&f.multicast, "multicast", "", "multicast ADDR:PORT; derived from the group's "+
		"name if empty")
	fl.StringSliceVar(&f.peers, "peers", nil, "ADDR:PORT of other members, instead of multicast")
	fl.StringVar(&f.bind, "bind", "", "ADDR:PORT of this member's socket, for others' --peers")
	fl.IntVar(&c.Transport.TTL, "ttl", 1, "how many routers a multicast may pass, plus one")
	fl.IntVar(&c.Quorum, "quorum", 0, "how many members may write; 0 is any number")
	fl.StringVar(&c.Data, "data", "", "CSV or JSON lines file that a new group begins with; "+
		"country codes if empty")
	fl.BoolVar(&c.Empty, "empty", false, "begin a new group with an empty map")
	fl.StringVar(&c.HTTP, "http", "", "[HOST]:PORT to serve HTTP at, on this machine only "+
		"unless there is a host")
	fl.StringVar(&c.Metrics, "metrics", "", "[HOST]:PORT to serve Prometheus metrics at")
	fl.StringVar(&c.Trace, "trace", "", "file to write a trace to, for 'maestro trace check'")
	fl.DurationVar(&c.Timeout, "timeout", 5*time.Second, "how long a command may take")
	fl.BoolVar(&c.JSON, "json", false, "print JSON lines")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "log more to standard error")
	fl.BoolVar(&c.Attached, "attached", false, "leave the group at the end of the input")
	return cmd
}

// apply checks the flags.
func (f *nodeFlags) apply(c *member.Config, s Streams) (err error) {
	if c.Name == "" {
		return fmt.Errorf("--name is missing")
	}
	var ok bool
	if c.Role, ok = find(f.role, clsv.Client, clsv.Server); !ok {
		return fmt.Errorf("--role %s: want server or client", f.role)
	}
	c.Xfer, ok = find(f.xfer, clsv.FreeXfer, clsv.ProtectedXfer, clsv.AtomicXfer)
	if !ok {
		return fmt.Errorf("--xfer %s: want free, protected or atomic", f.xfer)
	}
	if f.multicast != "" {
		if c.Transport.Group, err = netip.ParseAddrPort(f.multicast); err != nil {
			return fmt.Errorf("--multicast %s: %w", f.multicast, err)
		}
	}
	if f.bind != "" {
		if c.Transport.Bind, err = netip.ParseAddrPort(f.bind); err != nil {
			return fmt.Errorf("--bind %s: %w", f.bind, err)
		}
	}
	for _, p := range f.peers {
		a, err := netip.ParseAddrPort(p)
		if err != nil {
			return fmt.Errorf("--peers %s: %w", p, err)
		}
		c.Transport.Peers = append(c.Transport.Peers, a)
	}
	if c.Data != "" {
		if _, err := os.Stat(c.Data); err != nil {
			return fmt.Errorf("--data: %w", err)
		}
	}
	level := slog.LevelWarn
	if f.verbose {
		level = slog.LevelInfo
	}
	c.Log = slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{Level: level}))
	o := clsv.Options{GroupOptions: clsv.GroupOptions{Group: c.Group, Name: c.Name,
		Quorum: c.Quorum}}
	return o.Validate()
}

// find is the one of several values that has a name.
func find[T fmt.Stringer](name string, values ...T) (v T, ok bool) {
	for _, v := range values {
		if v.String() == name {
			return v, true
		}
	}
	return v, false
}
