package result

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// plot is one picture on the page.
type plot struct {
	Title string
	Lines []curve
	X, Y  []mark
}

// curve is one line of a plot.
type curve struct {
	Name, Path string
	Color      template.CSS
	Floor      bool // it is the yardstick
}

// mark is a place on an axis.
type mark struct {
	At   float64
	Text string
}

// The size of a plot in pixels, and how many lines people can tell apart.
const (
	plotWidth  = 540.0
	plotHeight = 300.0
	maxCurves  = 16
)

// axis is a logarithmic one.
type axis struct{ from, to, pixels float64 }

func newAxis(least, most, pixels float64) axis {
	a := axis{math.Log10(least), math.Log10(most), pixels}
	if a.to-a.from < 1e-9 {
		a.to++
	}
	return a
}

func (a axis) at(v float64) float64 {
	part := (math.Log10(max(v, 1e-12)) - a.from) / (a.to - a.from)
	return min(max(part, 0), 1) * a.pixels
}

// up is the same for an axis whose origin is at the bottom.
func (a axis) up(v float64) float64 { return a.pixels - a.at(v) }

// decades marks the powers of ten on an upward axis.
func (a axis) decades(unit string) (all []mark) {
	for e := math.Ceil(a.from - 1e-9); e <= a.to+1e-9; e++ {
		v := math.Pow(10, e)
		all = append(all, mark{a.up(v), strings.TrimSpace(Short(v) + " " + unit)})
	}
	return all
}

// path is a line through some places.
func path(xy [][2]float64) string {
	var b strings.Builder
	for i, p := range xy {
		c := 'L'
		if i == 0 {
			c = 'M'
		}
		fmt.Fprintf(&b, "%c%.1f %.1f", c, p[0], p[1])
	}
	return b.String()
}

func color(i int) template.CSS {
	return template.CSS(fmt.Sprintf("hsl(%d 70%% 40%%)", i*137%360))
}

// percentiles plots the histograms: nines of the percentile to the right, from 1 us
// to 10 s upwards.
func percentiles(points []*Point) []plot {
	const nines = 4.0
	y := newAxis(1, 1e7, plotHeight)
	x := func(q float64) float64 {
		return min(math.Log10(1/max(1-q, 1e-9)), nines) / nines * plotWidth
	}
	t := plot{Title: "latency by percentile"}
	same := common(points)
	for _, p := range points {
		var l Latency
		if p.Histogram == "" || len(t.Lines) == maxCurves ||
			l.UnmarshalText([]byte(p.Histogram)) != nil || l.Count() == 0 {
			continue
		}
		var xy [][2]float64
		for i := 0.0; i <= nines; i += 0.05 {
			q := 1 - math.Pow(10, -i)
			xy = append(xy, [2]float64{x(q), y.up(l.Micros(q))})
		}
		name := append(p.pairs(same), strings.TrimSuffix(p.Metric, " p50"))
		t.Lines = append(t.Lines, curve{strings.Join(name, " "), path(xy), color(len(t.Lines)),
			false})
	}
	if t.Lines == nil {
		return nil
	}
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 0.9999} {
		t.X = append(t.X, mark{x(q), fmt.Sprintf("%g%%", q*100)})
	}
	t.Y = y.decades("us")
	return []plot{t}
}

// trends plots, for each unit, the metrics over the number that was varied most.
func trends(points []*Point) (all []plot) {
	units := map[string][]*Point{}
	var order []string
	for _, p := range points {
		if p.Detail || p.Median <= 0 {
			continue
		}
		if units[p.Unit] == nil {
			order = append(order, p.Unit)
		}
		units[p.Unit] = append(units[p.Unit], p)
	}
	for _, u := range order {
		if by := varied(units[u]); by != "" {
			all = append(all, trend(units[u], by))
		}
	}
	return all
}

// varied is the parameter with the most numbers, if it has three.
func varied(points []*Point) (by string) {
	numbers := map[string]map[string]bool{}
	for _, p := range points {
		for k, v := range p.Params {
			if n, err := strconv.ParseFloat(v, 64); err == nil && n > 0 {
				if numbers[k] == nil {
					numbers[k] = map[string]bool{}
				}
				numbers[k][v] = true
			}
		}
	}
	most := 2
	for _, k := range slices.Sorted(maps.Keys(numbers)) {
		if len(numbers[k]) > most {
			by, most = k, len(numbers[k])
		}
	}
	return by
}

// spot is one value of a line, with that of its yardstick.
type spot struct{ x, y, floor float64 }

func trend(points []*Point, by string) plot {
	same := common(points)
	same[by] = "" // it is no part of a line's name
	lines, floors := map[string][]spot{}, map[string]string{}
	var order []string
	for _, p := range points {
		x, err := strconv.ParseFloat(p.Params[by], 64)
		if err != nil {
			continue
		}
		name := strings.TrimSpace(strings.Join(p.pairs(same), " ") + " " + p.Metric)
		if lines[name] == nil {
			order = append(order, name)
		}
		lines[name] = append(lines[name], spot{x, p.Median, p.FloorMedian})
		floors[name] = p.Floor
	}
	order = slices.DeleteFunc(order, func(name string) bool { return len(lines[name]) < 2 })
	order = order[:min(len(order), maxCurves)]
	t := plot{Title: points[0].Unit + " by " + by}
	longest, xs := "", map[float64]bool{}
	least, most := math.Inf(1), 0.0
	for _, name := range order {
		l := lines[name]
		slices.SortFunc(l, func(a, b spot) int { return cmp.Compare(a.x, b.x) })
		if floors[name] != "" && (longest == "" || len(l) > len(lines[longest])) {
			longest = name
		}
		for _, s := range l {
			xs[s.x] = true
			least, most = min(least, s.y), max(most, s.y, s.floor)
			if s.floor > 0 {
				least = min(least, s.floor)
			}
		}
	}
	marks := slices.Sorted(maps.Keys(xs))
	if len(marks) == 0 {
		return t
	}
	x := newAxis(marks[0], marks[len(marks)-1], plotWidth)
	y := newAxis(math.Pow(10, math.Floor(math.Log10(least))),
		math.Pow(10, math.Ceil(math.Log10(most))), plotHeight)
	draw := func(name string, value func(spot) float64) (xy [][2]float64) {
		for _, s := range lines[name] {
			xy = append(xy, [2]float64{x.at(s.x), y.up(value(s))})
		}
		return xy
	}
	for i, name := range order {
		t.Lines = append(t.Lines, curve{name, path(draw(name, func(s spot) float64 { return s.y })),
			color(i), false})
	}
	if longest != "" {
		t.Lines = append(t.Lines, curve{floors[longest] + " of " + longest,
			path(draw(longest, func(s spot) float64 { return s.floor })), "#888", true})
	}
	for _, v := range marks {
		t.X = append(t.X, mark{x.at(v), Short(v)})
	}
	t.Y = y.decades("")
	return t
}
