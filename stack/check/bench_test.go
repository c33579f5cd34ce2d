package check

import (
	"fmt"
	"testing"

	"maestro/stack/trace"
	"maestro/wire"
)

// busy is the trace of one view of n members that all cast, in total order,
// followed by another view.
func busy(n, casts int) []trace.Event {
	var es []trace.Event
	var ids []wire.Endpoint
	for i := range n {
		ids = append(ids, wire.Endpoint{Name: fmt.Sprintf("member-%d", i), Incarnation: 1 << 50})
	}
	views := func(k uint64, prev []wire.Endpoint) {
		v := &trace.View{ID: wire.ViewID{Ltime: k, Coord: ids[0]}, Members: ids, Trans: prev}
		for _, p := range ids {
			if prev != nil {
				es = append(es, trace.Event{P: p, Kind: trace.Block})
			}
			es = append(es, trace.Event{P: p, Kind: trace.ViewEvent, View: v})
		}
	}
	views(1, nil)
	for k := range casts {
		e := trace.Event{P: ids[k%n], Kind: trace.Send, Hash: 5}
		e.Msg = trace.MsgID{Origin: e.P, N: uint64(k)}
		es = append(es, e)
		e.Kind = trace.Deliver
		for _, p := range ids {
			e.P = p
			es = append(es, e)
		}
	}
	views(2, ids)
	return es
}

func BenchmarkChecker(b *testing.B) {
	for _, n := range []int{3, 5, 16, 64} {
		es := busy(n, 200_000/n)
		for name, o := range map[string]Options{
			"fifo":  VSync(),
			"total": {Sync: true, Local: true, Fifo: true, Total: true, Uniform: true},
			"all": {Sync: true, Local: true, Fifo: true, Causal: true, Total: true,
				Uniform: true},
		} {
			b.Run(fmt.Sprintf("%s-%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if c := online(o, es); len(c.Counts()) > 0 {
						b.Fatal(c.found[0])
					}
				}
				b.ReportMetric(float64(len(es)*b.N)/b.Elapsed().Seconds()/1e6, "Mevents/s")
			})
		}
	}
}
