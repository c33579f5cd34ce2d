package rsm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/clsv/rsm"
)

// dict is a map. Its commands are "key=value", their results the old value.
type dict map[string]string

func (d dict) Apply(command string) string {
	key, value, _ := strings.Cut(command, "=")
	old := d[key]
	d[key] = value
	return old
}

func (d dict) Snapshot() io.WriterTo {
	b, _ := json.Marshal(d) // in the order of the keys: the same state, the same bytes
	return bytes.NewReader(b)
}

func (d dict) Restore(r io.Reader) error {
	clear(d)
	return json.NewDecoder(r).Decode(&d)
}

func Example() {
	cluster := clsvtest.New(1) // a simulated network; rsm.Open is for real ones
	join := func(name string) (*rsm.Replica[string, string], dict) {
		d := dict{}
		o := rsm.Options[string, string]{Machine: d}
		o.Group, o.Name, o.Role, o.Trace = "test", name, clsv.Server, cluster
		r, _ := rsm.NewReplica(o, cluster)
		_ = r.StartJoin()
		cluster.Run(time.Second)
		return r, d
	}
	a, _ := join("a")
	cluster.Go("a", func() {
		_, _ = a.Propose(context.Background(), "color=red")
		old, err := a.Propose(context.Background(), "color=blue")
		fmt.Println(old, err)
	})
	_, d := join("b")
	fmt.Println(d, cluster.Close())
	// Output:
	// red <nil>
	// map[color:blue] <nil>
}
