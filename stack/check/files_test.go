package check

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"maestro/stack/trace"
	"maestro/wire"
)

// write records every process of es in a file of its own, and the harness in
// one more. The files of those in killed are cut off and never closed.
func write(t *testing.T, es []trace.Event, killed map[wire.Endpoint]int) []string {
	t.Helper()
	dir := t.TempDir()
	by := map[wire.Endpoint]*bytes.Buffer{}
	ws := map[wire.Endpoint]*trace.Writer{}
	var paths []string
	for i := range es {
		p := es[i].P
		if es[i].Kind.Harness() {
			p = wire.Endpoint{}
		}
		if ws[p] == nil {
			by[p] = &bytes.Buffer{}
			ws[p] = trace.NewWriter(by[p])
		}
		ws[p].Record(&es[i])
	}
	for p, w := range ws {
		cut, dead := killed[p]
		if dead {
			_ = w.Flush()
		} else if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, p.String()+".trace")
		b := by[p].Bytes()
		if err := os.WriteFile(path, b[:len(b)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// TestFiles checks a run from its files, some of them of killed processes.
func TestFiles(t *testing.T) {
	for seed := range uint64(10) {
		m := modes()[seed%2]
		es := newWorld(seed, m).run(3000)
		killed := map[wire.Endpoint]int{}
		for i := range es {
			if es[i].Kind == trace.Crash && i%3 > 0 {
				killed[es[i].P] = i % 100
			}
		}
		r, err := Files(m.options(), write(t, es, killed)...)
		if err != nil || !r.OK() {
			t.Fatalf("seed %d: %v\n%s", seed, err, r.Detail())
		}
		if s := r.String(); !strings.Contains(s, "no violations") ||
			len(killed) > 0 && !strings.Contains(s, "killed") {
			t.Error(s)
		}
	}
}

// TestReport checks that a violation is shown with what is needed to find it.
func TestReport(t *testing.T) {
	es := newWorld(1, mode{max: 4}).run(800)
	m := mutantFor(t, "late-joiner-hole", es)
	r, err := Files(VSync(), write(t, m, nil)...)
	if err != nil || r.OK() {
		t.Fatal(err, r.OK())
	}
	x := r.Violations[0]
	for _, want := range []string{x.Prop, title(x.Prop), x.Members[0].String(),
		x.View.String(), x.Msg.String(), "  > ", "violations"} {
		if !strings.Contains(r.Detail(), want) {
			t.Errorf("no %q in\n%s", want, r.Detail())
		}
	}
	if strings.Count(x.String(), "\n") > 0 || strings.Count(x.Detail(), "\n") > 100 {
		t.Errorf("%s\n%s", x, x.Detail())
	}
	// On-line the neighbourhood outlives its view.
	c := online(VSync(), m)
	if d := c.Violations()[0].Detail(); !strings.Contains(d, "  > ") {
		t.Error(d)
	}
}

func TestMissingFiles(t *testing.T) {
	es := newWorld(3, mode{max: 5}).run(1500)
	paths := write(t, es, nil)
	one := slices.IndexFunc(es, func(e trace.Event) bool { // others know of it
		return e.Kind == trace.ViewEvent && len(e.View.Members) > 1
	})
	without := filepath.Join(filepath.Dir(paths[0]), es[one].P.String()+".trace")
	r, err := Files(VSync(), slices.DeleteFunc(slices.Clone(paths), func(s string) bool {
		return s == without
	})...)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Missing) == 0 || !r.OK() {
		t.Errorf("without %s: missing %v\n%s", without, r.Missing, &r)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err = os.WriteFile(bad, []byte("not a trace at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err = Files(VSync(), append(paths, bad, bad+"x")...)
	if !errors.Is(err, trace.ErrFormat) || !errors.Is(err, os.ErrNotExist) || !r.OK() {
		t.Error(err, r.Counts)
	}
}

func mutantFor(t *testing.T, name string, es []trace.Event) []trace.Event {
	t.Helper()
	for _, mu := range append(mutants(), specMutants()...) {
		m := &mutation{rng: newWorld(1, mode{}).rng, es: es}
		if mu.name == name && mu.spoil(m) {
			return m.es
		}
	}
	t.Fatal(name)
	return nil
}

// FuzzChecker checks traces that nobody wrote: nothing may panic.
func FuzzChecker(f *testing.F) {
	add := func(es []trace.Event) {
		var b bytes.Buffer
		w := trace.NewWriter(&b)
		for i := range es {
			w.Record(&es[i])
		}
		_ = w.Flush()
		f.Add(b.Bytes())
	}
	add(newWorld(1, modes()[1]).run(150))
	add(newClSv(1, false, trace.AtomicXfer).run(100))
	o := clsvOptions()
	o.Primary, o.Safe, o.Bound, o.Max = true, true, 1, 5
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, o.Online = range []bool{false, true} {
			r, err := trace.NewReader(bytes.NewReader(b))
			if err != nil {
				return
			}
			c := New(o)
			found, _ := c.Check(r)
			for _, x := range found {
				_ = x.Detail()
			}
		}
	})
}
