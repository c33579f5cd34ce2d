package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"maestro/stack/sim/swarm"
)

// maxDetail bounds the lines that a failed history shows.
const maxDetail = 60

type simFlags struct {
	seeds, parallel int
	start, seed     uint64
	stack           string
	trace, data     bool
	verbose         bool
	one             bool // --seed is given
}

func newSim(s Streams) *cobra.Command {
	f := simFlags{}
	cmd := &cobra.Command{
		Use:   "sim [flags]",
		Short: "Run simulated histories through the checker",
		Long: `Run simulated histories of groups through the checker.

Each seed makes one history, in virtual time, always the same: members join,
leave, crash, stand still, the network loses, repeats, reorders and falls apart.
What the members do and see is checked against the properties of virtual
synchrony; see docs/protocol.md. The last line says how many histories passed
and how many failed.`,
		Example: "  maestro sim --seeds 1000 --start 1\n  maestro sim --seed 7 --trace",
		Args:    exactly(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			set := cmd.Flags().Changed
			if f.one = set("seed"); f.one && (set("seeds") || set("start")) {
				return usageError{errors.New("--seed: not with --seeds or --start")}
			}
			if err := f.validate(); err != nil {
				return usageError{err}
			}
			return f.run(cmd.Context(), s)
		},
	}
	fl := cmd.Flags()
	fl.IntVar(&f.seeds, "seeds", 200, "how many histories")
	fl.Uint64Var(&f.start, "start", 1, "the first seed")
	fl.Uint64Var(&f.seed, "seed", 0, "run this one seed")
	fl.IntVar(&f.parallel, "parallel", runtime.GOMAXPROCS(0), "how many at a time")
	fl.StringVar(&f.stack, "stack", "", "fifo or total; each seed's own choice if empty")
	fl.BoolVar(&f.trace, "trace", false, "with --seed: print all that happens")
	fl.BoolVar(&f.data, "trace-data", false, "with --trace: and each segment")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "print each history, and what they met")
	return cmd
}

func (f *simFlags) validate() error {
	switch {
	case f.seeds < 1:
		return errors.New("--seeds: want at least 1")
	case f.parallel < 1:
		return errors.New("--parallel: want at least 1")
	case !slices.Contains([]string{"", "fifo", "total"}, f.stack):
		return fmt.Errorf("--stack %s: want fifo or total", f.stack)
	case (f.trace || f.data) && !f.one:
		return errors.New("--trace: want --seed too")
	}
	return nil
}

// run runs the histories. They go in portions, so that it can be stopped.
func (f *simFlags) run(ctx context.Context, s Streams) error {
	o := swarm.Options{Stack: f.stack}
	if f.one {
		f.start, f.seeds, f.parallel = f.seed, 1, 1
		if f.trace || f.data {
			o.Trace, o.TraceData = s.Out, f.data
		}
	}
	began := time.Now()
	var sum swarm.Batch
	meter := newMeter(s.Err, f.seeds)
	rare := map[string]uint64{}
	for done := 0; done < f.seeds && ctx.Err() == nil; {
		n := min(32*f.parallel, f.seeds-done)
		base := sum
		b := swarm.RunSeeds(f.start+uint64(done), n, f.parallel, o,
			func(b *swarm.Batch, r *swarm.Result) {
				if !r.OK() {
					meter.clear()
					f.failed(s.Out, r)
				} else if f.verbose {
					meter.clear()
					fmt.Fprintln(s.Out, r)
				}
				meter.show(base.Passed+b.Passed, base.Failed+b.Failed, base.Virtual+b.Virtual)
			})
		done += n
		sum.Passed, sum.Failed = sum.Passed+b.Passed, sum.Failed+b.Failed
		sum.Virtual, sum.Views = sum.Virtual+b.Virtual, sum.Views+b.Views
		sum.Deliveries, sum.Datagrams = sum.Deliveries+b.Deliveries, sum.Datagrams+b.Datagrams
		for k, v := range b.Counters {
			rare[k] += v
		}
	}
	meter.clear()
	if f.verbose {
		for _, k := range swarm.Sorted(rare) {
			fmt.Fprintf(s.Out, "%12d %s\n", rare[k], k)
		}
	}
	f.total(s.Out, &sum, time.Since(began))
	fmt.Fprintf(s.Out, "%d passed, %d failed\n", sum.Passed, sum.Failed)
	switch {
	case sum.Failed > 0:
		return codeError(exitFailure)
	case ctx.Err() != nil:
		return errors.New("stopped before the end")
	}
	return nil
}

func (f *simFlags) total(w io.Writer, b *swarm.Batch, real time.Duration) {
	fmt.Fprintf(w, "%v of virtual time in %v, %.0f times real time, %.1f histories/s; "+
		"%d views, %d deliveries, %d datagrams\n", b.Virtual.Round(time.Second),
		real.Round(time.Millisecond), b.Virtual.Seconds()/real.Seconds(),
		float64(b.Passed+b.Failed)/real.Seconds(), b.Views, b.Deliveries, b.Datagrams)
}

// failed tells about a history that failed, and how to see it again.
func (f *simFlags) failed(w io.Writer, r *swarm.Result) {
	fmt.Fprintf(w, "seed %d FAILED: %s\n", r.Seed, r.Failure)
	lines := strings.Split(strings.TrimRight(r.Detail, "\n"), "\n")
	for i, l := range lines {
		if i == maxDetail {
			fmt.Fprintf(w, "  ... and %d more lines\n", len(lines)-i)
			break
		}
		fmt.Fprintf(w, "  %s\n", l)
	}
	again := ""
	if f.stack != "" {
		again = " --stack " + f.stack
	}
	fmt.Fprintf(w, "  look at it: maestro sim --seed %d%s --trace\n", r.Seed, again)
}

// meter shows progress on a terminal.
type meter struct {
	w     io.Writer // nil: there is no terminal
	n     int
	began time.Time
	last  time.Time
}

func newMeter(w io.Writer, n int) *meter {
	m := &meter{n: n, began: time.Now()}
	if f, ok := w.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
			m.w = w
		}
	}
	return m
}

func (m *meter) show(passed, failed int, virtual time.Duration) {
	now := time.Now()
	if m.w == nil || now.Sub(m.last) < 200*time.Millisecond {
		return
	}
	m.last = now
	done, took := passed+failed, now.Sub(m.began)
	left := time.Duration(float64(took) / float64(done) * float64(m.n-done))
	fmt.Fprintf(m.w, "\r\x1b[K%d of %d, %d failed, %.0f/s, %.0f times real time, %v left",
		done, m.n, failed, float64(done)/took.Seconds(), virtual.Seconds()/took.Seconds(),
		left.Round(time.Second))
}

func (m *meter) clear() {
	if m.w != nil && !m.last.IsZero() {
		fmt.Fprint(m.w, "\r\x1b[K")
		m.last = time.Time{}
	}
}
