package metrics_test

import (
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/clsv/metrics"
	"maestro/clsv/request"
	"maestro/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

// maxSeries bounds what one instance costs the monitoring, the collectors of
// the Go runtime and of the process included; maxRequests what a dispatcher adds.
const (
	maxSeries   = 150
	maxRequests = 15
)

// cluster is a group in which each kind of event has happened.
func cluster(t *testing.T) *clsvtest.Cluster {
	c := clsvtest.New(1)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	c.Join("a", clsv.Options{Role: clsv.Server})
	c.Join("b", clsv.Options{Role: clsv.Server})
	m := c.Client("c", nil)
	c.Run(time.Second)
	for range 100 {
		if _, err := m.TryCast([]byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	c.Run(time.Second)
	c.Crash("b")
	c.Run(2 * time.Second)
	return c
}

func registry(t *testing.T, c prometheus.Collector) *prometheus.Registry {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func TestNamesAndLint(t *testing.T) {
	s, ok := cluster(t).Member("a").Stats()
	if !ok {
		t.Fatal("no statistics")
	}
	s.Transport = "as if there were sockets"
	r := registry(t, metrics.NewCollector(fake{s}, metrics.Options{Group: "test"}))
	r.MustRegister(metrics.NewRequestCollector(requests{}, metrics.Options{Group: "test"}))
	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := 0
	var names []string
	for _, f := range families {
		series += len(f.Metric)
		if !strings.HasPrefix(f.GetName(), "maestro_") {
			continue
		}
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		names = append(names, f.GetName()+"{"+strings.Join(labels, ",")+"} "+
			strings.ToLower(f.GetType().String())+": "+f.GetHelp())
	}
	n, err := testutil.GatherAndCount(r, requestNames(names)...)
	if err != nil || n > maxRequests || series-n > maxSeries {
		t.Errorf("%d series, %d of requests, at most %d and %d are allowed: %v", series, n,
			maxSeries, maxRequests, err)
	}
	t.Logf("%d series", series)
	golden(t, "testdata/names.txt", strings.Join(names, "\n")+"\n")
	documented(t, names)
}

// requestNames are those of the metrics of requests.
func requestNames(names []string) (list []string) {
	for _, n := range names {
		name, _, _ := strings.Cut(n, "{")
		if strings.HasPrefix(name, "maestro_request") || name == "maestro_replies_total" {
			list = append(list, name)
		}
	}
	return list
}

func golden(t *testing.T, path, got string) {
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the metrics are not those of %s (run with -update):\n%s", path, got)
	}
}

// documented holds the list of the documentation against the names.
func documented(t *testing.T, names []string) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		name, _, _ := strings.Cut(n, "{")
		if !strings.Contains(string(text), "`"+name) {
			t.Errorf("%s is not in docs/operations.md", name)
		}
	}
	for _, word := range strings.FieldsFunc(string(text), func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z')
	}) {
		if !strings.HasPrefix(word, "maestro_") {
			continue
		}
		is := func(n string) bool { return strings.HasPrefix(n, word+"{") }
		if !slices.ContainsFunc(names, is) {
			t.Errorf("docs/operations.md has %s, which is no metric", word)
		}
	}
}

func TestValues(t *testing.T) {
	c := cluster(t)
	for _, name := range []string{"a", "c"} {
		m := c.Member(name)
		s, _ := m.Stats()
		r := registry(t, metrics.NewCollector(m, metrics.Options{}))
		got := values(t, r)
		for series, want := range map[string]float64{
			"maestro_view_members server":      1,
			"maestro_view_members client":      1,
			"maestro_view_members xfer_server": 0,
			"maestro_messages_total in cast":   float64(s.Received[clsv.Cast]),
			"maestro_packets_total in data": float64(s.Stack.PacketsIn[wire.KindCast] +
				s.Stack.PacketsIn[wire.KindSend]),
			"maestro_views_total departure": 1,
		} {
			if got[series] != want {
				t.Errorf("%s: %s = %v, want %v", name, series, got[series], want)
			}
		}
		if got["maestro_messages_total in cast"] < 100 {
			t.Errorf("%s: %v messages", name, got["maestro_messages_total in cast"])
		}
		if _, ok := got["maestro_send_lost_total"]; ok {
			t.Error("metrics of sockets without sockets")
		}
	}
}

// values are the values by name and variable labels.
func values(t *testing.T, r *prometheus.Registry) map[string]float64 {
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			key := f.GetName()
			for _, l := range m.Label {
				if l.GetName() != "group" {
					key += " " + l.GetValue()
				}
			}
			got[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}

// Every kind of packet is in exactly one of the metrics' kinds: the sums agree.
func TestPacketKinds(t *testing.T) {
	var s clsv.Stats
	for k := range s.Stack.PacketsIn {
		if wire.Kind(k) != wire.KindNone {
			s.Stack.PacketsIn[k] = 1
		}
	}
	r := registry(t, metrics.NewCollector(fake{s}, metrics.Options{}))
	sum := 0.0
	for series, v := range values(t, r) {
		if strings.HasPrefix(series, "maestro_packets_total in ") {
			sum += v
		}
	}
	if want := float64(wire.KindCount) - 1; sum != want {
		t.Errorf("the kinds sum up to %v, want %v", sum, want)
	}
}

// A member that has not joined has no metrics, and is no error.
func TestNotJoined(t *testing.T) {
	c := clsvtest.New(1)
	defer c.Close()
	m := c.Add("a", clsv.Options{})
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.NewCollector(m, metrics.Options{}))
	if n, err := testutil.GatherAndCount(r); n != 0 || err != nil {
		t.Errorf("%d series, %v", n, err)
	}
}

// requests shows a number of its own in each field.
type requests struct{}

func (requests) Stats() (s request.Stats) {
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		v.Field(i).SetUint(uint64(1) << i)
	}
	return s
}

// TestRequests: each count of a dispatcher is shown once.
func TestRequests(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.NewRequestCollector(requests{}, metrics.Options{}))
	sum := 0.0
	got := values(t, r)
	for _, v := range got {
		sum += v
	}
	n := reflect.TypeFor[request.Stats]().NumField()
	if want := float64(uint64(1)<<n) - 1; sum != want || len(got) != n {
		t.Errorf("%v: sum %v of %d series, want %v of %d", got, sum, len(got), want, n)
	}
	if s := (requests{}).Stats(); got["maestro_requests_total out"] != float64(s.Sent) ||
		got["maestro_request_timeouts_total"] != float64(s.TimedOut) {
		t.Error(got)
	}
}

type fake struct{ s clsv.Stats }

func (f fake) Stats() (clsv.Stats, bool) { return f.s, true }
