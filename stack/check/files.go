package check

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"maestro/stack/trace"
	"maestro/wire"
)

// Report is the result of checking trace files.
type Report struct {
	Files      []FileInfo
	Stats      Stats
	Violations []*Violation   // at most Options.Max of them
	Counts     map[string]int // all of them by property
	// Missing are the endpoints that the traces mention and that have no
	// events of their own. What they sent cannot be judged.
	Missing []wire.Endpoint
}

// FileInfo says what one file was like.
type FileInfo struct {
	Path      string
	Events    int
	Complete  bool // its writer was closed
	Truncated bool // it ends in the middle of a record
	Err       error
}

// OK reports whether there is no violation.
func (r *Report) OK() bool { return len(r.Counts) == 0 }

// Files checks the traces of a run: one file for each process, and any that the
// harness wrote. The order of the files does not matter. An error is about
// reading; the report then covers what could be read.
func Files(o Options, paths ...string) (Report, error) {
	o.Online = false
	c := New(o)
	var r Report
	var errs []error
	for _, path := range paths {
		f := c.file(path)
		r.Files = append(r.Files, f)
		if f.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, f.Err))
		}
	}
	r.Violations = c.Finish()
	r.Counts, r.Stats = c.Counts(), c.Stats()
	for _, p := range c.list {
		if !p.seen {
			r.Missing = append(r.Missing, p.id)
		}
	}
	return r, errors.Join(errs...)
}

// Check feeds the checker with whole traces, one after the other, and finishes.
func (c *Checker) Check(src ...trace.Source) ([]*Violation, error) {
	for _, s := range src {
		if _, err := c.drain(s, nil); err != nil {
			return c.found, err
		}
	}
	return c.Finish(), nil
}

// file feeds the checker with one file. If it has no proper end, neither have
// the processes in it that did not exit.
func (c *Checker) file(path string) (info FileInfo) {
	info.Path = path
	f, err := os.Open(path)
	if err != nil {
		info.Err = err
		return info
	}
	defer f.Close()
	t, err := trace.NewReader(f)
	if err != nil {
		info.Err = err
		return info
	}
	in := map[wire.Endpoint]bool{}
	info.Events, info.Err = c.drain(t, in)
	info.Complete, info.Truncated = t.Complete(), t.Truncated()
	if info.Complete {
		return info
	}
	for e := range in {
		if !c.proc(e).exited {
			c.harness(&trace.Event{P: e, Kind: trace.Lost})
		}
	}
	return info
}

// drain feeds the checker with s to its end and notes whose events it has.
func (c *Checker) drain(s trace.Source, in map[wire.Endpoint]bool) (n int, err error) {
	var e trace.Event
	var last wire.Endpoint
	for {
		switch err = s.Next(&e); {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		}
		n++
		if in != nil && !e.Kind.Harness() && e.P != last {
			in[e.P] = true
			last = e.P
		}
		c.Observe(&e)
	}
}

// String is the report for a terminal: one line for each file that is not
// whole, one for each violation, and a summary.
func (r *Report) String() string { return r.text((*Violation).String) }

// Detail is the report with the neighbourhood of each violation.
func (r *Report) Detail() string {
	return r.text(func(x *Violation) string { return strings.TrimRight(x.Detail(), "\n") })
}

func (r *Report) text(show func(*Violation) string) string {
	var b strings.Builder
	for _, f := range r.Files {
		switch {
		case f.Err != nil:
			fmt.Fprintf(&b, "%s: %v\n", f.Path, f.Err)
		case f.Truncated:
			fmt.Fprintf(&b, "%s: the last record is cut off: its process was killed\n", f.Path)
		case !f.Complete:
			fmt.Fprintf(&b, "%s: not closed: its process was killed\n", f.Path)
		}
	}
	if len(r.Missing) > 0 {
		fmt.Fprintf(&b, "no trace of %v: what they sent is not judged\n", r.Missing)
	}
	for _, x := range r.Violations {
		fmt.Fprintf(&b, "%s\n", show(x))
	}
	fmt.Fprintf(&b, "%d events of %d members: %d views accepted, %d sends, %d deliveries\n",
		r.Stats.Events, r.Stats.Members, r.Stats.Views, r.Stats.Sent, r.Stats.Deliveries)
	if r.OK() {
		b.WriteString("no violations\n")
		return b.String()
	}
	total := 0
	for _, p := range slices.Sorted(maps.Keys(r.Counts)) {
		fmt.Fprintf(&b, "%6d x %s %s\n", r.Counts[p], p, title(p))
		total += r.Counts[p]
	}
	fmt.Fprintf(&b, "%d violations\n", total)
	return b.String()
}
