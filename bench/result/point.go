package result

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Point is one metric of one benchmark with one choice of parameters.
type Point struct {
	Bench  string            `json:"bench"`
	Params map[string]string `json:"params,omitempty"`
	Metric string            `json:"metric"`
	Unit   string            `json:"unit"`
	Less   bool              `json:"less_is_better"`

	// Values has one value for each repetition, Median to Max what they come to.
	Values []float64 `json:"values"`
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`

	// Floor names the yardstick, if there is one. FloorValues were measured in
	// the same repetitions, so that Ratios can be taken one by one; Ratio is
	// their median and not the ratio of the medians. Without a yardstick both
	// are 0.
	Floor       string    `json:"floor,omitempty"`
	FloorValues []float64 `json:"floor_values,omitempty"`
	FloorMedian float64   `json:"floor_median"`
	Ratios      []float64 `json:"ratios,omitempty"`
	Ratio       float64   `json:"ratio"`
	RatioMin    float64   `json:"ratio_min,omitempty"`
	RatioMax    float64   `json:"ratio_max,omitempty"`

	// Histogram holds the latencies of all repetitions in nanoseconds, in the
	// compressed V2 encoding of HdrHistogram, base64.
	Histogram string `json:"histogram,omitempty"`
	// Detail marks what only explains other metrics; the table leaves it out.
	Detail bool `json:"detail,omitempty"`
	// Exact marks what does not depend on the machine: counts, virtual time.
	Exact bool `json:"exact,omitempty"`
	// Note says what went wrong, or what to know when reading it.
	Note string `json:"note,omitempty"`
}

// New makes a point of some values.
func New(bench, metric, unit string, less bool, values ...float64) *Point {
	p := &Point{Bench: bench, Params: map[string]string{}, Metric: metric, Unit: unit, Less: less,
		Values: values}
	return p.sum()
}

// With sets a parameter.
func (p *Point) With(name string, value any) *Point {
	p.Params[name] = fmt.Sprint(value)
	return p
}

// Against sets the yardstick's values, one for each of the point's own. A value
// that has none, or a yardstick of 0, has no ratio.
func (p *Point) Against(floor string, values []float64) *Point {
	p.Floor, p.FloorValues = floor, values
	return p.sum()
}

func (p *Point) sum() *Point {
	p.Median, p.Min, p.Max = Spread(p.Values)
	p.FloorMedian, _, _ = Spread(p.FloorValues)
	p.Ratios = nil
	for i, v := range p.Values {
		if i < len(p.FloorValues) && p.FloorValues[i] > 0 {
			p.Ratios = append(p.Ratios, v/p.FloorValues[i])
		}
	}
	p.Ratio, p.RatioMin, p.RatioMax = Spread(p.Ratios)
	return p
}

// Key names what is measured, the same in every run.
func (p *Point) Key() string {
	return strings.Join(append([]string{p.Bench}, append(p.pairs(nil), p.Metric)...), "/")
}

// pairs is the parameters but those that are known.
func (p *Point) pairs(known map[string]string) (s []string) {
	for _, kv := range pairs(p.Params) {
		k, _, _ := strings.Cut(kv, "=")
		if _, ok := known[k]; !ok {
			s = append(s, kv)
		}
	}
	return s
}

func pairs(params map[string]string) (s []string) {
	for _, k := range slices.Sorted(maps.Keys(params)) {
		s = append(s, k+"="+params[k])
	}
	return s
}

// common is the parameters that are the same in all of some points.
func common(points []*Point) map[string]string {
	all := maps.Clone(points[0].Params)
	for _, p := range points[1:] {
		maps.DeleteFunc(all, func(k, v string) bool { return p.Params[k] != v })
	}
	return all
}

// Spread is the median, the least and the largest of some values; zeros of none.
func Spread(values []float64) (median, least, most float64) {
	n := len(values)
	if n == 0 {
		return 0, 0, 0
	}
	v := slices.Sorted(slices.Values(values))
	median = v[n/2]
	if n%2 == 0 {
		median = (v[n/2-1] + v[n/2]) / 2
	}
	return median, v[0], v[n-1]
}
