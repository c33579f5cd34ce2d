// Package metrics shows the counters of a clsv member to Prometheus. It is a
// package of its own so that clsv does not depend on the client library.
//
//	m, err := clsv.Open(ctx, o)
//	...
//	reg := prometheus.NewRegistry()
//	reg.MustRegister(metrics.NewCollector(m, metrics.Options{Group: "orders"}))
//	http.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
//
// NewRequestCollector does the same for a request.Dispatcher.
//
// The counters themselves are plain integers of the member's event loop; a
// scrape takes one snapshot of them, and costs the member nothing otherwise.
// The list of metrics is in docs/operations.md.
package metrics

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"maestro/clsv"
	"maestro/clsv/request"
	"maestro/wire"
)

// Source is what a collector reads: a *clsv.Member or a *clsv.GroupMember.
type Source interface {
	Stats() (s clsv.Stats, ok bool)
}

// Options say more about a source. The zero value is fine.
type Options struct {
	// Group is the name of the group, which all metrics have as a label. Give it
	// if members of several groups go into one registry.
	Group string
}

// Collector is a prometheus.Collector of one member, or of what is above it.
type Collector struct {
	o       Options
	metrics []metric
	take    func(s *snapshot) bool // false if there is nothing to see
}

// build is what maestro_build_info says.
type build struct{ version, goversion, wire string }

// snapshot is what one scrape sees.
type snapshot struct {
	clsv.Stats
	build    build
	requests request.Stats
}

// emit is called with a value and those of the variable labels.
type emit func(v float64, labels ...string)

// metric is one family.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	read       func(s *snapshot, e emit)
	desc       *prometheus.Desc
}

// NewCollector makes a collector of a member's metrics.
func NewCollector(from Source, o Options) *Collector {
	program := build{"unknown", runtime.Version(), strconv.Itoa(wire.Version)}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		program.version = b.Main.Version
	}
	list := slices.Concat(viewMetrics(), packetMetrics(), layerMetrics(), stateMetrics(),
		socketMetrics())
	return newCollector(o, list, func(s *snapshot) (ok bool) {
		s.build = program
		s.Stats, ok = from.Stats()
		return ok
	})
}

func newCollector(o Options, list []metric, take func(s *snapshot) bool) *Collector {
	c := &Collector{o: o, metrics: list, take: take}
	for i := range c.metrics {
		m := &c.metrics[i]
		m.desc = c.newDesc(m.name, m.help, m.labels)
	}
	return c
}

func (c *Collector) newDesc(name, help string, labels []string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, prometheus.Labels{"group": c.o.Group})
}

// Describe sends the descriptions of all metrics.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for i := range c.metrics {
		ch <- c.metrics[i].desc
	}
}

// Collect takes a snapshot and sends its values. A member that has not joined
// yet, or is closed, has none.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	var s snapshot
	if !c.take(&s) {
		return
	}
	for i := range c.metrics {
		m := &c.metrics[i]
		m.read(&s, func(v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, v, labels...)
		})
	}
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// one is a family of one series.
func one(name, help string, kind prometheus.ValueType, read func(s *snapshot) float64) metric {
	return metric{name: name, help: help, kind: kind,
		read: func(s *snapshot, e emit) { e(read(s)) }}
}

// count is a counter of one series.
func count(name, help string, read func(s *snapshot) uint64) metric {
	return one(name, help, counter, func(s *snapshot) float64 { return float64(read(s)) })
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
