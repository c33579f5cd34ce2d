package result

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

// Verdict is what became of a point between two runs.
type Verdict string

// The verdicts.
const (
	Same   Verdict = "same"   // within the threshold, or chance explains it
	Better Verdict = "better" // beyond the threshold
	Worse  Verdict = "WORSE"
	Gone   Verdict = "gone" // not in the new run
	Fresh  Verdict = "new"  // not in the old run
)

// significant is the probability below which chance is no explanation.
const significant = 0.05

// Change is one point in two runs.
type Change struct {
	Key      string
	Old, New *Point
	What     string  // "ratio" or the unit
	A, B     float64 // medians of what is compared
	By       float64 // how much better, as a part of A: negative is worse
	P        float64 // probability that chance alone makes such a difference
	Verdict  Verdict
}

// Compare holds a run against an older one. Where both have ratios to a
// yardstick these are compared, since they depend less on the machine; otherwise
// the values, with ratiosOnly only those that do not depend on it at all. What is
// gone counts only in benchmarks that have been run again. A difference of more than the
// threshold, a part of 1, counts if it is significant by the Mann-Whitney test;
// with so few repetitions that nothing could be, if the two ranges do not meet.
func Compare(older, newer []*Point, threshold float64, ratiosOnly bool) []Change {
	old, again := map[string]*Point{}, map[string]bool{}
	for _, p := range older {
		old[p.Key()] = p
	}
	var all []Change
	for _, p := range newer {
		again[p.Bench] = true
		o := old[p.Key()]
		delete(old, p.Key())
		if o == nil && p.Detail {
			continue // a baseline has none
		}
		if o == nil {
			all = append(all, Change{Key: p.Key(), New: p, Verdict: Fresh})
			continue
		}
		if ratiosOnly && !p.Exact && (len(o.Ratios) == 0 || len(p.Ratios) == 0) {
			continue
		}
		all = append(all, change(o, p, threshold))
	}
	for _, o := range older {
		if old[o.Key()] != nil && again[o.Bench] {
			all = append(all, Change{Key: o.Key(), Old: o, Verdict: Gone})
		}
	}
	return all
}

func change(o, p *Point, threshold float64) Change {
	c := Change{Key: p.Key(), Old: o, New: p, What: p.Unit, Verdict: Same}
	a, b := o.Values, p.Values
	if !p.Exact && len(o.Ratios) > 0 && len(p.Ratios) > 0 {
		c.What, a, b = "ratio", o.Ratios, p.Ratios
	}
	c.A, _, _ = Spread(a)
	c.B, _, _ = Spread(b)
	if c.A != 0 {
		c.By = (c.B - c.A) / math.Abs(c.A)
	}
	if p.Less {
		c.By = -c.By
	}
	c.P = MannWhitney(a, b)
	if math.Abs(c.By) <= threshold || !differ(a, b, c.P) {
		return c
	}
	c.Verdict = Better
	if c.By < 0 {
		c.Verdict = Worse
	}
	return c
}

// differ tells whether two samples differ by more than chance.
func differ(a, b []float64, p float64) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	if 2/binomial(len(a)+len(b), len(a)) < significant {
		return p < significant
	}
	return slices.Max(a) < slices.Min(b) || slices.Max(b) < slices.Min(a)
}

func binomial(n, k int) float64 {
	v := 1.0
	for i := range k {
		v *= float64(n-i) / float64(i+1)
	}
	return v
}

// MannWhitney is the two-sided probability of the Mann-Whitney U test: exact for
// small samples without ties, otherwise by the normal approximation with
// corrections for ties and continuity. It is 1 for an empty sample.
func MannWhitney(a, b []float64) float64 {
	n, m := len(a), len(b)
	if n == 0 || m == 0 {
		return 1
	}
	u, ties := statistic(a, b)
	if ties == 0 && n+m <= 40 {
		return exact(u, n, m)
	}
	nm, total := float64(n*m), float64(n+m)
	sigma := math.Sqrt(nm / 12 * (total + 1 - ties/(total*(total-1))))
	if sigma == 0 {
		return 1
	}
	z := max(math.Abs(u-nm/2)-0.5, 0) / sigma
	return math.Erfc(z / math.Sqrt2)
}

// statistic is U of the first sample, and the sum of t^3-t over groups of t ties.
func statistic(a, b []float64) (u, ties float64) {
	type sample struct {
		v     float64
		first bool
	}
	var all []sample
	for _, v := range a {
		all = append(all, sample{v, true})
	}
	for _, v := range b {
		all = append(all, sample{v, false})
	}
	slices.SortFunc(all, func(x, y sample) int { return cmp.Compare(x.v, y.v) })
	ranks := 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].v == all[i].v {
			j++
		}
		t := float64(j - i)
		ties += t*t*t - t
		for _, s := range all[i:j] {
			if s.first {
				ranks += float64(i+j+1) / 2
			}
		}
		i = j
	}
	n := float64(len(a))
	return ranks - n*(n+1)/2, ties
}

// exact counts the arrangements of two samples that are as extreme as u.
func exact(u float64, n, m int) float64 {
	k := int(min(u, float64(n*m)-u))
	ways := make([][]float64, n+1) // of i from the first sample, by U
	for i := range ways {
		ways[i] = make([]float64, n*m+1)
	}
	ways[0][0] = 1
	for j := 1; j <= n+m; j++ { // the j-th smallest of all: its U grows by those before
		for i := min(j, n); i >= 1; i-- {
			before := j - i // of the second sample
			if before > m {
				continue
			}
			for s := n * m; s >= before; s-- {
				ways[i][s] += ways[i-1][s-before]
			}
		}
	}
	tail := 0.0
	for s := 0; s <= k; s++ {
		tail += ways[n][s]
	}
	return min(2*tail/binomial(n+m, n), 1)
}

// PrintChanges writes a table of what is better or worse, or of everything, and reports how
// many points are worse.
func PrintChanges(w io.Writer, all []Change, everything bool) (worse int, err error) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	counts, head := map[Verdict]int{}, "what\tof\told\tnew\tbetter by\t\t\t\n"
	for _, c := range all {
		counts[c.Verdict]++
		if c.Verdict != Better && c.Verdict != Worse && !everything {
			continue
		}
		fmt.Fprint(t, head)
		head = ""
		if c.Old == nil || c.New == nil {
			fmt.Fprintf(t, "%s\t\t\t\t\t\t%s\t\n", c.Key, c.Verdict)
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%.4g\t%.4g\t%+.1f %%\tp=%.3f\t%s\t\n", c.Key, c.What, c.A, c.B,
			c.By*100, c.P, c.Verdict)
	}
	if err := t.Flush(); err != nil {
		return 0, fmt.Errorf("result: %w", err)
	}
	_, err = fmt.Fprintf(w, "%d worse, %d better, %d the same, %d gone, %d new\n", counts[Worse],
		counts[Better], counts[Same], counts[Gone], counts[Fresh])
	return counts[Worse], err
}
