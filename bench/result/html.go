package result

import (
	"fmt"
	"html/template"
	"io"
	"strings"
)

// WriteHTML writes a page that needs nothing else: the tables, a bar for each
// ratio, and plots: what has been measured by size or members, latencies by
// percentile.
func (r *Run) WriteHTML(w io.Writer) error {
	page := struct {
		Machine string
		Systems []*System
		Parts   []part
	}{Machine: r.Machine.String(), Systems: r.Systems}
	for _, points := range r.benches() {
		same := common(points)
		t := part{Name: points[0].Bench, Same: strings.Join(pairs(same), " "),
			Plots: append(trends(points), percentiles(points)...)}
		for _, p := range points {
			t.Rows = append(t.Rows, row{p, strings.Join(p.pairs(same), " ")})
		}
		page.Parts = append(page.Parts, t)
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
	Same  string // what all its rows have in common
	Rows  []row
	Plots []plot
}

type row struct {
	*Point
	What string
}

const pageText = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>maestro bench</title>
<style>
body { font: 14px sans-serif; margin: 2em; color: #222 }
table { border-collapse: collapse } td, th { padding: 2px 10px; text-align: right }
td:first-child, td:nth-child(2), th:first-child, th:nth-child(2) { text-align: left }
tr:nth-child(even) { background: #f4f4f4 } .detail { color: #888 }
.text td, .text th { text-align: left } .plots { display: flex; flex-wrap: wrap }
figure { margin: 0 0 1em } figcaption { font-weight: bold } ul { columns: 2; font-size: 12px }
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
{{if .Same}}<p>{{.Same}}</p>
{{end}}<div class="plots">{{range .Plots}}<figure><figcaption>{{.Title}}</figcaption>
<svg width="640" height="340" viewBox="-70 -10 640 340" font-size="11">
{{range .X}}<path d="M{{.At}} 0V300" stroke="#ddd"/><text x="{{.At}}" y="316"
 text-anchor="middle">{{.Text}}</text>{{end}}
{{range .Y}}<path d="M0 {{.At}}H540" stroke="#ddd"/><text x="-6" y="{{.At}}"
 text-anchor="end">{{.Text}}</text>{{end}}
{{range .Lines}}<path d="{{.Path}}" fill="none" stroke="{{.Color}}"
 stroke-width="1.5"{{if .Floor}} stroke-dasharray="4 3"{{end}}>
<title>{{.Name}}</title></path>{{end}}
</svg><ul>{{range .Lines}}<li style="color: {{.Color}}">{{.Name}}</li>{{end}}</ul></figure>
{{end}}</div>
<table><tr><th>with<th>metric<th>median<th>min<th>max<th>unit<th>of<th>ratio<th></tr>
{{range .Rows}}<tr{{if .Detail}} class="detail"{{end}}><td>{{.What}}<td>{{.Metric}}
<td>{{short .Median}}<td>{{short .Min}}<td>{{short .Max}}<td>{{.Unit}}
{{if .Floor}}<td>{{.Floor}} {{short .FloorMedian}}<td>{{short .Ratio}}
<td><span class="scale"><span class="bar" style="width: {{width .Ratio}}px"></span></span>
{{else}}<td><td><td>{{end}}{{if .Note}}<td>{{.Note}}{{end}}</tr>
{{end}}</table>
{{end}}</html>
`
