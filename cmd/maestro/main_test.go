package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/stack/trace"
)

var update = flag.Bool("update", false, "write what the scripts compare with anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"maestro": main})
}

func TestScripts(t *testing.T) {
	var n atomic.Int32
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GROUP", fmt.Sprintf("test-%d-%d", os.Getpid(), n.Add(1)))
			return nil
		},
		Condition: func(c string) (bool, error) {
			return c == "short" && testing.Short(), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"history": history},
	})
}

// history writes traces of simulated members, one file each:
//
//	history FOLDER [EVENT]
//
// Without the EVENT-th delivery, if that is given: what a member that loses a
// message would write.
func history(ts *testscript.TestScript, _ bool, args []string) {
	omit := -1
	if len(args) > 1 {
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		omit = n
	}
	files := &splitter{folder: ts.MkAbs(args[0]), omit: omit, files: map[string]*trace.Writer{}}
	ts.Check(os.MkdirAll(files.folder, 0o755))
	c := clsvtest.NewConfig(1, clsvtest.Config{Trace: files})
	for _, name := range []string{"a", "b", "c"} {
		o := clsv.Options{Role: clsv.Server}
		o.Total = true
		c.Join(name, o)
	}
	c.Run(time.Second)
	for i := range 20 {
		_, err := c.Member("a").TryScast([]byte{byte(i)})
		ts.Check(err)
		c.Run(time.Millisecond)
	}
	for _, name := range []string{"a", "b", "c"} {
		ts.Check(c.Member(name).StartLeave())
		c.Run(time.Second)
	}
	ts.Check(c.Close())
	for _, w := range files.files {
		ts.Check(w.Close())
	}
}

// splitter is a trace.Recorder with a file for each member.
type splitter struct {
	folder string
	files  map[string]*trace.Writer
	omit   int
}

func (s *splitter) Record(e *trace.Event) {
	if e.Kind == trace.Deliver {
		if s.omit--; s.omit == -1 {
			return
		}
	}
	w := s.files[e.P.Name]
	if w == nil {
		var err error
		if w, err = trace.Create(filepath.Join(s.folder, e.P.Name+".trace")); err != nil {
			panic(err)
		}
		s.files[e.P.Name] = w
	}
	w.Record(e)
}
