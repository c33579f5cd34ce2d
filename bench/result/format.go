package result

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Run is the points of one run and where they were measured.
type Run struct {
	Machine Machine
	Systems []*System // that were measured beside each other, if so
	Points  []*Point
}

// System is one of several that do the same work.
type System struct {
	Name      string `json:"name"`
	Version   string `json:"version,omitempty"`
	Settings  string `json:"settings,omitempty"`
	Guarantee string `json:"guarantee"`
	// Skipped is why it has not been measured, or not all of it.
	Skipped string `json:"skipped,omitempty"`
}

// header is the first line of a run in JSON.
type header struct {
	Environment *Machine `json:"environment,omitempty"`
	System      *System  `json:"system,omitempty"`
}

// WriteJSON writes one object a line: first the environment, then the systems if
// there are several, then the points.
func (r *Run) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	if err := e.Encode(header{Environment: &r.Machine}); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	for _, s := range r.Systems {
		if err := e.Encode(header{System: s}); err != nil {
			return fmt.Errorf("result: %w", err)
		}
	}
	for _, p := range r.Points {
		if err := e.Encode(p); err != nil {
			return fmt.Errorf("result: %w", err)
		}
	}
	return nil
}

// maxLine bounds one line of a file that is read.
const maxLine = 16 << 20

// ReadJSON reads what WriteJSON has written. The points' summaries are made
// anew from their values.
func ReadJSON(in io.Reader) (*Run, error) {
	r := &Run{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		line := struct {
			header
			Point
		}{}
		line.Environment = &r.Machine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("result: line %d: %w", n, err)
		}
		if line.Bench != "" {
			r.Points = append(r.Points, line.sum())
		}
		if line.System != nil {
			r.Systems = append(r.Systems, line.System)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	return r, nil
}

// WriteCSV writes a table with one line for each point.
func (r *Run) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"bench", "params", "metric", "unit", "median", "min", "max", "n", "floor",
		"floor_median", "ratio", "ratio_min", "ratio_max", "note"})
	f := func(v float64) string { return strconv.FormatFloat(v, 'g', 8, 64) }
	for _, p := range r.Points {
		_ = c.Write([]string{p.Bench, strings.Join(p.pairs(nil), " "), p.Metric, p.Unit,
			f(p.Median), f(p.Min), f(p.Max), strconv.Itoa(len(p.Values)), p.Floor,
			f(p.FloorMedian), f(p.Ratio), f(p.RatioMin), f(p.RatioMax), p.Note})
	}
	c.Flush()
	return c.Error()
}

// WriteBench writes the format of Go's benchmarks, for benchstat: one line for
// each repetition of each point.
func (r *Run) WriteBench(w io.Writer) error {
	fmt.Fprintf(w, "goos: %s\ngoarch: %s\ncpu: %s\nkernel: %s\n", r.Machine.OS, r.Machine.Arch,
		r.Machine.CPU, r.Machine.Kernel)
	r.writeUnits(w)
	for _, p := range r.Points {
		name := "Benchmark" + strings.ToUpper(p.Bench[:1]) + p.Bench[1:]
		for _, kv := range p.pairs(nil) {
			name += "/" + strings.ReplaceAll(kv, " ", "_")
		}
		value, ratio := p.benchUnits()
		for i, v := range p.Values {
			fmt.Fprintf(w, "%s 1 %g %s", name, v, value)
			if len(p.Ratios) == len(p.Values) {
				fmt.Fprintf(w, " %g %s", p.Ratios[i], ratio)
			}
			if _, err := fmt.Fprintln(w); err != nil {
				return fmt.Errorf("result: %w", err)
			}
		}
	}
	return nil
}

// benchUnits is the names of the units of a point's values and ratios.
func (p *Point) benchUnits() (value, ratio string) {
	name := func(s string) string { return strings.ReplaceAll(strings.Trim(s, "-"), " ", "_") }
	return name(p.Metric + "-" + p.Unit), name(p.Metric + "-ratio")
}

// writeUnits tells benchstat of which units more is better.
func (r *Run) writeUnits(w io.Writer) {
	told := map[string]bool{}
	for _, p := range r.Points {
		value, ratio := p.benchUnits()
		better := "higher"
		if p.Less {
			better = "lower"
		}
		for _, u := range []string{value, ratio} {
			if !told[u] && (u == value || p.Floor != "") {
				told[u] = true
				fmt.Fprintf(w, "Unit %s better=%s\n", u, better)
			}
		}
	}
}

// benches is the points of one benchmark after the other.
func (r *Run) benches() (all [][]*Point) {
	for _, p := range r.Points {
		if n := len(all); n == 0 || all[n-1][0].Bench != p.Bench {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], p)
	}
	return all
}

// WriteTable writes what people read, with or without the details. Points of one
// benchmark follow each other under its name and what all of them have in common.
func (r *Run) WriteTable(w io.Writer, details bool) error {
	fmt.Fprintln(w, r.Machine.String())
	r.writeSystems(w)
	for _, points := range r.benches() {
		if !details {
			points = slices.DeleteFunc(points, func(p *Point) bool { return p.Detail })
		}
		if len(points) == 0 {
			continue
		}
		same := common(points)
		title := append([]string{points[0].Bench}, pairs(same)...)
		fmt.Fprintf(w, "\n%s\n", strings.Join(title, " "))
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "  with\tmetric\tmedian\tmin\tmax\tunit\tof\tratio\tmin\tmax\t")
		for _, p := range points {
			writeRow(t, p, strings.Join(p.pairs(same), " "))
		}
		if err := t.Flush(); err != nil {
			return fmt.Errorf("result: %w", err)
		}
	}
	return nil
}

func writeRow(t io.Writer, p *Point, what string) {
	fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t", what, p.Metric, Short(p.Median), Short(p.Min),
		Short(p.Max), p.Unit)
	if p.Floor != "" {
		fmt.Fprintf(t, "%s %s\t%s\t%s\t%s\t", p.Floor, Short(p.FloorMedian), Short(p.Ratio),
			Short(p.RatioMin), Short(p.RatioMax))
	} else {
		fmt.Fprint(t, "\t\t\t\t")
	}
	fmt.Fprintln(t, p.Note)
}

// writeSystems tells what was measured beside each other.
func (r *Run) writeSystems(w io.Writer) {
	for _, s := range r.Systems {
		fmt.Fprintf(w, "\n%s: %s\n", s.Name, s.Guarantee)
		for _, text := range []string{s.Version, s.Settings} {
			if text != "" {
				fmt.Fprintf(w, "  %s\n", text)
			}
		}
		if s.Skipped != "" {
			fmt.Fprintf(w, "  SKIPPED: %s\n", s.Skipped)
		}
	}
}

// Short writes a number in three or four figures, as people do.
func Short(v float64) string {
	for _, u := range []struct {
		of   float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if v >= u.of || v <= -u.of {
			if u.name == "k" {
				u.of = 1e3
			}
			return strconv.FormatFloat(v/u.of, 'f', decimals(v/u.of), 64) + u.name
		}
	}
	return strconv.FormatFloat(v, 'f', decimals(v), 64)
}

func decimals(v float64) int {
	switch {
	case v == float64(int64(v)) || v >= 1000:
		return 0
	case v >= 100:
		return 1
	case v >= 10:
		return 2
	}
	return 3
}
