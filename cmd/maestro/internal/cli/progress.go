package cli

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"maestro/bench/suite"
)

// line shows on a terminal how far a run of benchmarks is, and what is left.
type line struct {
	w io.Writer // nil: there is no terminal, or nobody wants to know
}

func newLine(w io.Writer, quiet bool) *line {
	l := &line{}
	if m := newMeter(w, 0); !quiet {
		l.w = m.w
	}
	return l
}

// plan says beforehand how long it will take.
func (l *line) plan(parts []suite.Part) {
	if l.w != nil {
		all := sum(parts)
		fmt.Fprintf(l.w, "%d repetitions, about %v\n", all.Reps, rough(all.About))
	}
}

func (l *line) show(p suite.Progress) {
	if l.w == nil {
		return
	}
	done := 100 * p.Done / max(p.Total, 1)
	fmt.Fprintf(l.w, "\r\x1b[K%d of %d (%d %%), about %v left: %s", p.Done, p.Total, done,
		rough(p.Left), p.What)
}

func (l *line) clear() {
	if l.w != nil {
		fmt.Fprint(l.w, "\r\x1b[K")
	}
}

// rough is a time as exactly as it is known.
func rough(d time.Duration) time.Duration {
	switch {
	case d > 10*time.Minute:
		return d.Round(time.Minute)
	case d > time.Minute:
		return d.Round(10 * time.Second)
	}
	return d.Round(time.Second)
}

func sum(parts []suite.Part) suite.Part {
	all := suite.Part{Name: "all"}
	for _, p := range parts {
		all.Reps, all.About = all.Reps+p.Reps, all.About+p.About
	}
	return all
}

// printPlan lists what would run.
func printPlan(out io.Writer, parts []suite.Part) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "benchmark\trepetitions\tabout")
	for _, p := range append(parts, sum(parts)) {
		fmt.Fprintf(t, "%s\t%d\t%v\n", p.Name, p.Reps, rough(p.About))
	}
	_ = t.Flush()
}
