package result

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
)

// WriteHTML writes a page that needs nothing else: the tables, a bar for each
// ratio, and a plot of latencies by percentile for each benchmark that has them.
func (r *Run) WriteHTML(w io.Writer) error {
	page := struct {
		Machine string
		Systems []*System
		Parts   []part
	}{Machine: r.Machine.String(), Systems: r.Systems}
	for _, p := range r.Points {
		if n := len(page.Parts); n == 0 || page.Parts[n-1].Name != p.Bench {
			page.Parts = append(page.Parts, part{Name: p.Bench})
		}
		t := &page.Parts[len(page.Parts)-1]
		t.Rows = append(t.Rows, row{p, strings.Join(p.pairs(), " ")})
	}
	for i := range page.Parts {
		page.Parts[i].plot()
	}
	t, err := template.New("page").Funcs(template.FuncMap{"short": Short,
		"width": func(v float64) int { return int(min(v, 2) * 60) }}).Parse(pageText)
	if err == nil {
		err = t.Execute(w, page)
	}
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return nil
}

// part is one benchmark on the page.
type part struct {
	Name  string
	Rows  []row
	Lines []curve
	X, Y  []mark
}

type row struct {
	*Point
	What string
}

// curve is one line of a plot.
type curve struct {
	Name, Path string
	Color      template.CSS
}

// mark is a place on an axis.
type mark struct {
	At   float64
	Text string
}

// The plot, in pixels, and its axes: nines of the percentile to the right, from
// 1 us to 10 s upwards.
const (
	plotWidth  = 640.0
	plotHeight = 300.0
	nines      = 4.0
	decades    = 7.0
	maxCurves  = 16
)

func plotX(q float64) float64 {
	return min(math.Log10(1/max(1-q, 1e-9)), nines) / nines * plotWidth
}

func plotY(us float64) float64 {
	return plotHeight - min(max(math.Log10(max(us, 1)), 0), decades)/decades*plotHeight
}

// plot draws the histograms of a part.
func (t *part) plot() {
	for _, r := range t.Rows {
		var l Latency
		if r.Histogram == "" || len(t.Lines) == maxCurves ||
			l.UnmarshalText([]byte(r.Histogram)) != nil || l.Count() == 0 {
			continue
		}
		var path strings.Builder
		for i := 0.0; i <= nines; i += 0.05 {
			q := 1 - math.Pow(10, -i)
			c := 'L'
			if i == 0 {
				c = 'M'
			}
			fmt.Fprintf(&path, "%c%.1f %.1f", c, plotX(q), plotY(l.Micros(q)))
		}
		color := fmt.Sprintf("hsl(%d 70%% 40%%)", len(t.Lines)*137%360)
		t.Lines = append(t.Lines, curve{r.What + " " + strings.TrimSuffix(r.Metric, " p50"),
			path.String(), template.CSS(color)})
	}
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 0.9999} {
		t.X = append(t.X, mark{plotX(q), fmt.Sprintf("%g%%", q*100)})
	}
	for us := 1.0; us <= 1e7; us *= 10 {
		t.Y = append(t.Y, mark{plotY(us), Short(us) + " us"})
	}
}

const pageText = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>maestro bench</title>
<style>
body { font: 14px sans-serif; margin: 2em; color: #222 }
table { border-collapse: collapse } td, th { padding: 2px 10px; text-align: right }
td:first-child, td:nth-child(2), th:first-child, th:nth-child(2) { text-align: left }
tr:nth-child(even) { background: #f4f4f4 } .detail { color: #888 }
.text td, .text th { text-align: left }
.bar { display: inline-block; height: 9px; background: #38a; vertical-align: middle }
.scale { display: inline-block; width: 120px; text-align: left;
 border-right: 1px solid #ccc; background: linear-gradient(90deg, transparent 59px, #999 59px,
 #999 60px, transparent 60px) }
</style>
<h1>maestro bench</h1>
<pre>{{.Machine}}</pre>
<p>Medians of repetitions, with the least and the largest. The bar is the ratio to what is named
beside it, measured in the same repetitions; the line in its middle is 1.</p>
{{if .Systems}}<table class="text"><tr><th>system<th>guarantee<th>version<th>settings<th></tr>
{{range .Systems}}<tr><td>{{.Name}}<td>{{.Guarantee}}<td>{{.Version}}<td>{{.Settings}}
<td>{{.Skipped}}</tr>
{{end}}</table>
{{end}}{{range .Parts}}<h2>{{.Name}}</h2>
{{if .Lines}}<svg width="740" height="340" viewBox="-70 -10 740 340" font-size="11">
{{range .X}}<path d="M{{.At}} 0V300" stroke="#ddd"/><text x="{{.At}}" y="316"
 text-anchor="middle">{{.Text}}</text>{{end}}
{{range .Y}}<path d="M0 {{.At}}H640" stroke="#ddd"/><text x="-6" y="{{.At}}"
 text-anchor="end">{{.Text}}</text>{{end}}
{{range .Lines}}<path d="{{.Path}}" fill="none" stroke="{{.Color}}"
 stroke-width="1.5"/>{{end}}
</svg><ul>{{range .Lines}}<li style="color: {{.Color}}">{{.Name}}</li>{{end}}</ul>{{end}}
<table><tr><th>with<th>metric<th>median<th>min<th>max<th>unit<th>of<th>ratio<th></tr>
{{range .Rows}}<tr{{if .Detail}} class="detail"{{end}}><td>{{.What}}<td>{{.Metric}}
<td>{{short .Median}}<td>{{short .Min}}<td>{{short .Max}}<td>{{.Unit}}
{{if .Floor}}<td>{{.Floor}} {{short .FloorMedian}}<td>{{short .Ratio}}
<td><span class="scale"><span class="bar" style="width: {{width .Ratio}}px"></span></span>
{{else}}<td><td><td>{{end}}{{if .Note}}<td>{{.Note}}{{end}}</tr>
{{end}}</table>
{{end}}</html>
`
