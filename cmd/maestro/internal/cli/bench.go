package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"maestro/bench/peers"
	"maestro/bench/result"
	"maestro/bench/suite"
)

// benchFlags is what all benchmarks share.
type benchFlags struct {
	o       suite.Options
	hosts   string
	systems []string
	ssh     string
	json    string
	csv     string
	gobench string
	html    string
	compare string
	limit   float64
	ratios  bool
	details bool
	quiet   bool
	plan    bool
}

const benchLong = `Measure the stack beside the floor: a program that moves the same messages over
the same wire in the fewest steps that the kernel allows, without a protocol.
Members are processes of their own, with --net ns in network namespaces on one
bridge (root on Linux), with --net lo on the loopback interface. Floor and stack
take turns; what counts is the median of the ratios. docs/benchmarks.md says what
each benchmark measures.

Without the name of a benchmark all of them run but soak and peers, which takes
some 13 minutes; --full takes half an hour, --plan says how long without running
anything. --json, --csv, --benchstat and --html write files; - is the standard
output, in the place of the table.
--hosts FILE runs members on other machines, a line of the file for each, with a
copy of this program, by ssh without a password.
--compare OLD.json tells what has changed since, and ends with 1 if anything is
worse.`

func newBench(s Streams) *cobra.Command {
	f := &benchFlags{}
	cmd := &cobra.Command{
		Use:   "bench [BENCHMARK...] [flags]",
		Short: "Measure the stack beside the floor",
		Long:  benchLong + "\n\nBenchmarks:\n" + benchList(),
		Example: `  maestro bench throughput --size 64,1000 --senders one
  maestro bench --smoke --net lo
  maestro bench latency order --json new.json --compare old.json`,
		Args: func(_ *cobra.Command, args []string) error { return knownBenches(args) },
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd.Context(), args, s)
		},
	}
	f.flags(cmd)
	cmd.AddCommand(newBenchChild(s), newBenchCompare(s))
	return cmd
}

func benchList() string {
	var b strings.Builder
	for _, k := range suite.Benches() {
		fmt.Fprintf(&b, "  %-11s %s\n", k.Name, k.Short)
	}
	return b.String()
}

func knownBenches(args []string) error {
	names := map[string]bool{}
	for _, b := range suite.Benches() {
		names[b.Name] = true
	}
	for _, a := range args {
		if !names[a] {
			return usageError{fmt.Errorf("there is no benchmark %q", a)}
		}
	}
	return nil
}

func (f *benchFlags) flags(cmd *cobra.Command) {
	fl, o := cmd.Flags(), &f.o
	fl.StringVar(&o.Net, "net", "", "ns or lo; ns if that is possible")
	fl.StringVar(&f.hosts, "hosts", "",
		"file of machines to run on: lines of HOST [iface=eth0] [path=MAESTRO]")
	fl.StringVar(&f.ssh, "ssh", "", "command that reaches them (ssh)")
	fl.IntSliceVarP(&o.Members, "members", "n", nil, "how many members (2 to 64)")
	fl.StringSliceVar(&o.Senders, "senders", nil, "one, all")
	fl.IntSliceVar(&o.Sizes, "size", nil, "bytes of a message")
	fl.StringSliceVar(&o.Stacks, "stack", nil, strings.Join(suite.Stacks(), ", ")+
		", or several joined by +")
	fl.IntSliceVar(&o.Loss, "loss", nil, "of 1000 datagrams how many are lost; with --net ns")
	fl.StringSliceVar(&o.Waits, "wait", nil, "how members wait: block, hybrid, spin")
	fl.StringVar(&o.Pin, "pin", "", "members on processors: any, one, spread")
	fl.IntVar(&o.MTU, "mtu", 0, "of namespaces (1500)")
	fl.DurationVarP(&o.Duration, "duration", "d", 0, "of one repetition")
	fl.IntVarP(&o.Reps, "reps", "r", 0, "repetitions; the median counts")
	fl.BoolVar(&o.Thread, "thread", false,
		"streams are cast by a goroutine of the application, not by the member's loop")
	fl.BoolVar(&o.Smoke, "smoke", false, "only show that it works: tiny loads, one repetition")
	fl.BoolVar(&o.Full, "full", false, "longer loads and more groups; figures to publish")
	fl.BoolVar(&f.plan, "plan", false, "only say what would run, and how long it takes")
	fl.StringVar(&o.PeerFolder, "peers", "",
		"folder bench/peers of a checkout (the one around the working directory)")
	fl.StringSliceVar(&f.systems, "system", nil, "for peers, which: "+systemNames())
	fl.StringVar(&f.json, "json", "", "file for the results, one JSON object a line")
	fl.StringVar(&f.csv, "csv", "", "file for the results as CSV")
	fl.StringVar(&f.gobench, "benchstat", "", "file for the results as benchstat reads them")
	fl.StringVar(&f.html, "html", "", "file for a page with tables and plots")
	fl.StringVar(&f.compare, "compare", "", "JSON file of an earlier run to compare with")
	compareFlags(cmd, f)
	fl.BoolVar(&f.details, "details", false, "print what only explains the results too")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress")
}

func compareFlags(cmd *cobra.Command, f *benchFlags) {
	cmd.Flags().Float64Var(&f.limit, "threshold", 0.1, "what part worse counts")
	cmd.Flags().BoolVar(&f.ratios, "ratios", false,
		"compare only ratios and what does not depend on the machine")
}

// run measures, and then prints all there is.
func (f *benchFlags) run(ctx context.Context, names []string, s Streams) error {
	if err := f.prepare(s); err != nil {
		return usageError{err}
	}
	if f.plan {
		parts, err := suite.Plan(names, f.o)
		printPlan(s.Out, parts)
		return err
	}
	var old *result.Run
	if f.compare != "" {
		var err error
		if old, err = readRun(f.compare); err != nil {
			return err
		}
	}
	meter := newLine(s.Err, f.quiet)
	f.o.Planned, f.o.Progress = meter.plan, meter.show
	r, err := suite.Run(ctx, names, f.o)
	meter.clear()
	if r == nil || err != nil && len(r.Points) == 0 {
		return err
	}
	r.Machine.Args = os.Args[1:]
	err = errors.Join(err, f.write(r, s.Out))
	if old == nil || err != nil {
		return err
	}
	return f.difference(old, r, s.Out)
}

func (f *benchFlags) prepare(s Streams) error {
	if f.hosts != "" {
		if err := f.machines(); err != nil {
			return err
		}
	}
	if f.o.Net == "" {
		f.o.Net = suite.Namespaces
		if err := suite.Able(); err != nil {
			fmt.Fprintf(s.Err, "maestro: on the loopback interface: %v\n", err)
			f.o.Net = suite.Loopback
		}
	}
	if err := f.peers(); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	f.o.Executable = exe
	f.o.Command = func(kind, arg string) *exec.Cmd {
		cmd := exec.Command(exe, "bench", "child", kind, arg)
		cmd.Args[0] = os.Args[0]
		return cmd
	}
	return f.o.Validate()
}

// peers chooses the other systems.
func (f *benchFlags) peers() error {
	for _, name := range f.systems {
		i := slices.IndexFunc(peers.All(), func(p peers.Peer) bool { return p.String() == name })
		if i < 0 {
			return fmt.Errorf("--system %s: want %s", name, systemNames())
		}
		f.o.Peers = append(f.o.Peers, peers.All()[i])
	}
	return nil
}

func systemNames() string {
	var all []string
	for _, p := range peers.All() {
		all = append(all, p.String())
	}
	return strings.Join(all, ", ")
}

// machines reads the hosts file.
func (f *benchFlags) machines() error {
	if f.o.Net != "" {
		return fmt.Errorf("--net %s: not with --hosts", f.o.Net)
	}
	file, err := os.Open(f.hosts)
	if err != nil {
		return err
	}
	defer file.Close()
	f.o.Net, f.o.SSH = suite.Machines, strings.Fields(f.ssh)
	f.o.Hosts, err = suite.ReadHosts(file)
	return err
}

// write writes the files that were asked for, and the table unless one of them
// is the standard output.
func (f *benchFlags) write(r *result.Run, out io.Writer) (err error) {
	table := true
	for _, w := range []struct {
		name  string
		write func(io.Writer) error
	}{{f.json, r.WriteJSON}, {f.csv, r.WriteCSV}, {f.gobench, r.WriteBench},
		{f.html, r.WriteHTML}} {
		switch w.name {
		case "":
		case "-":
			table = false
			err = errors.Join(err, w.write(out))
		default:
			err = errors.Join(err, writeFile(w.name, w.write))
		}
	}
	if table {
		err = errors.Join(err, r.WriteTable(out, f.details))
	}
	return err
}

func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

func readRun(name string) (*result.Run, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r, err := result.ReadJSON(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

func (f *benchFlags) difference(older, newer *result.Run, out io.Writer) error {
	other := older.Machine.Differ(&newer.Machine)
	for _, what := range other {
		fmt.Fprintf(out, "not the same in both runs: %s\n", what)
	}
	if len(other) > 0 && !f.ratios {
		fmt.Fprintln(out, "so only ratios count, and what does not depend on the machine")
	}
	all := result.Compare(older.Points, newer.Points, f.limit, f.ratios || len(other) > 0)
	worse, err := result.PrintChanges(out, all, f.details)
	if err == nil && worse > 0 {
		err = codeError(exitFailure)
	}
	return err
}

func newBenchCompare(s Streams) *cobra.Command {
	f := &benchFlags{}
	cmd := &cobra.Command{
		Use:   "compare OLD.json NEW.json",
		Short: "Tell what has changed from one run of benchmarks to another",
		Long: `Tell what has changed from one run of benchmarks to another.

Where both runs have ratios to a yardstick these are compared, otherwise the
values: not with --ratios, nor if the machines are not the same. A difference
counts if it is larger than the threshold, and significant (Mann-Whitney,
p < 0.05) or, with too few repetitions for that, if the ranges of values do not
meet. The exit code is 1 if anything is worse.`,
		Example: "  maestro bench compare bench/baseline.json new.json --ratios",
		Args:    exactly(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			older, err := readRun(args[0])
			if err != nil {
				return err
			}
			newer, err := readRun(args[1])
			if err != nil {
				return err
			}
			return f.difference(older, newer, s.Out)
		},
	}
	compareFlags(cmd, f)
	cmd.Flags().BoolVar(&f.details, "all", false, "print what has not changed too")
	return cmd
}

// newBenchChild is the processes that a run starts.
func newBenchChild(s Streams) *cobra.Command {
	return &cobra.Command{
		Use: "child KIND ARGUMENT", Hidden: true, Args: exactly(cobra.ExactArgs(2)),
		Short: "One process of a benchmark; started by 'maestro bench' only",
		RunE: func(cmd *cobra.Command, args []string) error {
			return suite.Child(cmd.Context(), args[0], args[1], untilEnd(s.In), s.Out)
		},
	}
}

// untilEnd passes input on, and ends this process soon after the input has ended,
// whatever it does: who has started it is gone then.
func untilEnd(in io.Reader) io.Reader {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, pollable(in))
		w.CloseWithError(err)
		time.Sleep(time.Second)
		os.Exit(exitFailure)
	}()
	return r
}
