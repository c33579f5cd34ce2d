package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"maestro/stack/check"
	"maestro/stack/trace"
)

func newTrace(s Streams) *cobra.Command {
	cmd := group("trace", "Check and print the traces of members",
		"  maestro trace check --total *.trace\n  maestro trace print a.trace b.trace")
	cmd.AddCommand(newCheck(s), newPrint(s))
	return cmd
}

func newCheck(s Streams) *cobra.Command {
	o := check.VSync()
	var brief, list bool
	cmd := &cobra.Command{
		Use:   "check FILE... [flags]",
		Short: "Check traces against the properties of virtual synchrony",
		Long: `Check the traces of a group's members, one file a process, against the properties
of virtual synchrony and of clients and servers. Say what else the group has
promised: 'maestro node' promises --total and --state-equal.

Exit codes: 0 all properties hold, 1 one does not, or a file cannot be read.`,
		Example: "  maestro trace check --total --state-equal a.trace b.trace c.trace\n" +
			"  maestro trace check --brief *.trace",
		Args: exactly(func(cmd *cobra.Command, args []string) error {
			if list {
				return nil
			}
			return cobra.MinimumNArgs(1)(cmd, args)
		}),
		RunE: func(_ *cobra.Command, args []string) error {
			if list {
				for _, p := range check.Properties() {
					fmt.Fprintf(s.Out, "%-5s %s\n", p.ID, p.Name)
				}
				return nil
			}
			r, err := check.Files(o, args...)
			if brief {
				fmt.Fprint(s.Out, r.String())
			} else {
				fmt.Fprint(s.Out, r.Detail())
			}
			if err == nil && !r.OK() {
				err = codeError(exitFailure)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Sync, "sync", o.Sync, "members that move on together have the same messages")
	f.BoolVar(&o.Local, "local", o.Local, "members get their own multicasts")
	f.BoolVar(&o.Fifo, "fifo", o.Fifo, "in the order of each sender")
	f.BoolVar(&o.ClSv, "clsv", true, "clients, servers and state transfer")
	f.BoolVar(&o.Total, "total", o.Total, "in one order at all members")
	f.BoolVar(&o.StateEqual, "state-equal", o.StateEqual, "servers' states are equal")
	f.BoolVar(&o.Causal, "causal", o.Causal, "in causal order")
	f.BoolVar(&o.Uniform, "uniform", o.Uniform, "with --total: also at members that crash")
	f.BoolVar(&o.Safe, "safe", o.Safe, "only when all members have it")
	f.BoolVar(&o.Primary, "primary", o.Primary, "one primary view at a time")
	f.DurationVar(&o.Bound, "bound", o.Bound, "and within this time, after the network has healed")
	f.IntVar(&o.Max, "max", o.Max, "how many violations to show; 0 is 100")
	f.BoolVar(&brief, "brief", false, "one line a violation")
	f.BoolVar(&list, "list", false, "list the properties")
	return cmd
}

func newPrint(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "print FILE...",
		Short:   "Print traces as one, a line an event",
		Example: "  maestro trace print a.trace\n  maestro trace print a.trace b.trace",
		Args:    exactly(cobra.MinimumNArgs(1)),
		RunE:    func(_ *cobra.Command, args []string) error { return printTraces(s.Out, args) },
	}
}

func printTraces(w io.Writer, paths []string) error {
	var sources []trace.Source
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		r, err := trace.NewReader(f)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		sources = append(sources, r)
	}
	m, err := trace.Merge(sources...)
	if err != nil {
		return err
	}
	var e trace.Event
	for {
		err := m.Next(&e)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		fmt.Fprintln(w, e.String())
	}
}
