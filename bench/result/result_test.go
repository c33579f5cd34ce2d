package result

import (
	"bytes"
	"encoding/csv"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// The ratio is the median of the repetitions' ratios, which the ratio of the
// medians is not.
func TestRatios(t *testing.T) {
	p := New("b", "rate", "msgs/s", false, 10, 20, 90).Against("floor", []float64{100, 40, 100})
	if !near(p.Ratio, 0.5) || !near(p.RatioMin, 0.1) || !near(p.RatioMax, 0.9) ||
		!near(p.Median, 20) || !near(p.FloorMedian, 100) {
		t.Errorf("%+v", p)
	}
	if p := New("b", "m", "", false, 1, 2).Against("floor", []float64{0}); len(p.Ratios) != 0 {
		t.Errorf("ratios %v to nothing", p.Ratios)
	}
	if m, lo, hi := Spread([]float64{4, 1, 3, 2}); m != 2.5 || lo != 1 || hi != 4 {
		t.Error(m, lo, hi)
	}
}

// Exact probabilities, counted by hand or taken from printed tables of U.
func TestMannWhitney(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		p    float64
	}{
		{[]float64{1, 2, 3}, []float64{4, 5, 6}, 0.1},           // 2 of 20
		{[]float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 2. / 70}, // 2 of 70
		{[]float64{1, 3, 5}, []float64{2, 4, 6}, 0.7},           // U = 3: 14 of 20
		{[]float64{1, 2, 3, 4, 6}, []float64{5, 7, 8, 9, 10}, 4. / 252},
		{nil, []float64{1}, 1},
		{[]float64{1, 1}, []float64{1, 1}, 1},
	} {
		if p := MannWhitney(c.a, c.b); !near(p, c.p) {
			t.Errorf("%v %v: %v, not %v", c.a, c.b, p, c.p)
		}
		if p, q := MannWhitney(c.a, c.b), MannWhitney(c.b, c.a); !near(p, q) {
			t.Errorf("%v %v: %v one way and %v the other", c.a, c.b, p, q)
		}
	}
	// With ties the approximation must be near what the exact test says without.
	var a, b []float64
	for i := range 15 {
		a, b = append(a, float64(i)), append(b, float64(i)+4.5)
	}
	sharp := MannWhitney(a, b)
	if p := MannWhitney(append(a, 7, 7), append(b, 11.5, 11.5)); math.Abs(p-sharp) > 0.03 {
		t.Errorf("%v with ties, %v without", p, sharp)
	}
}

func TestCompare(t *testing.T) {
	point := func(name string, less bool, values ...float64) *Point {
		return New(name, "m", "u", less, values...)
	}
	old := []*Point{
		point("rate", false, 100, 101, 102, 103, 104), point("time", true, 100, 101, 102, 103, 104),
		point("few", false, 100, 101), point("noise", false, 50, 100, 150, 200, 250),
		New("rate", "gone", "u", false, 1), point("not run again", false, 1),
		point("up", false, 10, 11, 12, 13, 14),
		point("ratio", false, 100, 100, 100, 100).Against("floor", []float64{200, 201, 202, 203}),
	}
	newer := []*Point{
		point("rate", false, 80, 81, 82, 83, 84), point("time", true, 130, 131, 132, 133, 134),
		point("few", false, 80, 81), point("noise", false, 40, 90, 140, 190, 230),
		point("fresh", false, 1), point("up", false, 20, 21, 22, 23, 24),
		// Half as fast on a machine that is half as fast.
		point("ratio", false, 50, 50, 50, 50).Against("floor", []float64{100, 101, 102, 103}),
	}
	want := map[string]Verdict{"rate/m": Worse, "time/m": Worse, "few/m": Worse, "noise/m": Same,
		"rate/gone": Gone, "fresh/m": Fresh, "up/m": Better, "ratio/m": Same}
	all := Compare(old, newer, 0.1, false)
	for _, c := range all {
		if c.Verdict != want[c.Key] {
			t.Errorf("%s: %s, by %.3f, p %.3f; want %s", c.Key, c.Verdict, c.By, c.P, want[c.Key])
		}
		delete(want, c.Key)
	}
	if len(want) > 0 {
		t.Errorf("nothing of %v", want)
	}
	var b bytes.Buffer
	if worse, err := PrintChanges(&b, all, false); worse != 3 || err != nil ||
		!strings.Contains(b.String(), "3 worse, 1 better, 2 the same, 1 gone, 1 new") {
		t.Errorf("%d worse, %v\n%s", worse, err, &b)
	}
	if slices.ContainsFunc(Compare(old, newer, 0.3, false), func(c Change) bool {
		return c.Verdict == Worse
	}) {
		t.Error("something is worse by more than 30 %")
	}
	exact := func(v, floor float64) []*Point {
		p := point("exact", true, v, v).Against("floor", []float64{floor, floor})
		p.Exact = true
		return []*Point{p}
	}
	// Its ratio is half, as the floor has doubled; it says nothing.
	if c := Compare(exact(100, 10), exact(100, 20), 0.1, true); c[0].Verdict != Same {
		t.Errorf("%+v", c[0])
	}
	for _, c := range Compare(old, newer, 0.1, true) {
		if c.Old != nil && c.New != nil && c.Key != "ratio/m" {
			t.Errorf("%s has no ratio", c.Key)
		}
	}
}

// run is one with all that a point can have.
func run(t *testing.T) *Run {
	l := NewLatency()
	for i := range 1000 {
		l.Record(time.Duration(i+1) * time.Microsecond)
	}
	text, err := l.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	p := New("latency", "one way p50", "us", true, 3, 1, 2).With("size", 64).With("stack", "vsync").
		Against("ping-pong", []float64{1, 1, 1})
	p.Histogram, p.Note = string(text), "a, \"note\""
	q := New("floor", "rate", "msgs/s", false, 3.25e7)
	q.Detail = true
	return &Run{Machine: Look(), Points: []*Point{p, q}}
}

func TestJSON(t *testing.T) {
	r := run(t)
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n != 3 {
		t.Errorf("%d lines", n)
	}
	back, err := ReadJSON(&b)
	if err != nil {
		t.Fatal(err)
	}
	if len(back.Points) != 2 || back.Machine.Kernel != r.Machine.Kernel || back.Machine.CPUs < 1 {
		t.Fatalf("%+v", back)
	}
	for i, p := range back.Points {
		q := r.Points[i]
		if p.Key() != q.Key() || p.Median != q.Median || p.Ratio != q.Ratio || p.Note != q.Note {
			t.Errorf("%+v\n%+v", p, q)
		}
	}
	var l Latency
	if err := l.UnmarshalText([]byte(back.Points[0].Histogram)); err != nil {
		t.Fatal(err)
	}
	if l.Count() != 1000 || math.Abs(l.Micros(0.5)-500) > 1 || math.Abs(l.Mean()-500500) > 500 {
		t.Errorf("%d values, median %v, mean %v", l.Count(), l.Micros(0.5), l.Mean())
	}
	for _, bad := range []string{"{", "[]", `{"bench": 3}`} {
		if _, err := ReadJSON(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestTables(t *testing.T) {
	r := run(t)
	var b bytes.Buffer
	if err := r.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(lines) != 3 || lines[1][13] != r.Points[0].Note || lines[1][4] != "2" {
		t.Errorf("%v %v", lines, err)
	}
	b.Reset()
	if err := r.WriteBench(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(),
		"BenchmarkLatency/size=64/stack=vsync 1 3 one_way_p50-us 3 one_way_p50-ratio\n") {
		t.Error(b.String())
	}
	for _, details := range []bool{false, true} {
		b.Reset()
		if err := r.WriteTable(&b, details); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "32.50M") != details || !strings.Contains(b.String(),
			"size=64 stack=vsync") {
			t.Error(b.String())
		}
	}
}

func TestDiffer(t *testing.T) {
	a, b := Look(), Look()
	b.Network = "lo"
	if d := a.Differ(&b); len(d) != 1 || d[0] != "network: , now lo" {
		t.Error(d)
	}
}

func TestHTML(t *testing.T) {
	r := run(t)
	r.Points[1].Note = "<script>"
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	s := b.String()
	for _, want := range []string{"<h2>latency</h2>", `<path d="M0.0 `, "ping-pong 1",
		"<p>size=64 stack=vsync</p>", "<li style=\"color: hsl(0 70% 40%)\">one way", "32.50M",
		"&lt;script&gt;"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(s, "http") || strings.Contains(s, "ZgotmplZ") {
		t.Error("it needs something else, or the template is not safe")
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 3: "3", 0.28: "0.280", 12.345: "12.35",
		1234: "1234", 12345: "12.35k", 3.7e7: "37M", 2.5e9: "2.500G", 999.94: "999.9"} {
		if got := Short(v); got != want {
			t.Errorf("%v: %s, not %s", v, got, want)
		}
	}
}

// A histogram takes what is out of its range as its ends, and allocates nothing.
func TestLatency(t *testing.T) {
	l := NewLatency()
	if n := testing.AllocsPerRun(100, func() { l.Record(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	l.Reset()
	l.Record(-time.Second)
	l.Record(time.Hour)
	if l.Count() != 2 || l.At(0) > 1 || l.At(1) < time.Minute || l.At(1) > 61*time.Second {
		t.Errorf("%d values from %v to %v", l.Count(), l.At(0), l.At(1))
	}
	m := NewLatency()
	m.Merge(l)
	if m.Count() != 2 {
		t.Errorf("%d values", m.Count())
	}
}
