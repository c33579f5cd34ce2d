// Package script runs golden interaction scripts: readable text in, readable
// text out. A script drives one layer between stubs (Layer), or several members
// with whole stacks over a network that only moves when the script says so
// (Groups). It reads
//
//	# What one learns from this step.
//	net from=1 cast seq=3 "three"
//	tick 200us
//	----
//	> b: nak origin=1 spans=[1-2]
//
// Commands stand above the line of dashes; below it, up to an empty line, is
// what came of them. With update the outputs are written anew.
//
// Layer commands (see layer.go) and group commands (see group.go) are
//
//	Layer   new up down log burst net emit event ask answer hooks consumed retire
//	        tick flush dump close
//	Groups  config start run tick deliver drop flight cut heal cast send leave
//	        change suspect unreachable busy ready crash dump views
package script

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine is what a script drives.
type machine interface {
	// do runs one command.
	do(cmd string, a args)
	// after runs at the end of each block.
	after()
	// close reports what is wrong at the end.
	close() error
	// output returns the lines written since it was called last.
	output() string
}

// run runs all scripts of a package's testdata.
func run(t *testing.T, update bool, pattern string, make func() machine) {
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			t.Parallel()
			file(t, update, name, make())
		})
	}
}

// block is one step of a script.
type block struct {
	head string // prose and commands, as they stand in the file
	cmds []string
	line int // of the first command
	want string
	done bool // it has a line of dashes
}

// blocks takes a script apart.
func blocks(text string) []block {
	var all []block
	var b block
	in := false // below the dashes
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		switch {
		case in && line == "":
			all, b, in = append(all, b), block{}, false
		case in:
			b.want += line + "\n"
		case line == "----":
			in, b.done = true, true
		default:
			b.head += line + "\n"
			if line != "" && line[0] != '#' {
				if b.cmds = append(b.cmds, line); b.line == 0 {
					b.line = i + 1
				}
			}
		}
	}
	return append(all, b)
}

// file runs one script.
func file(t *testing.T, update bool, name string, m machine) {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for i, b := range blocks(string(text)) {
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(b.head)
		if len(b.cmds) == 0 && !b.done {
			continue // prose at the end
		}
		got := step(t, name, &b, m)
		out.WriteString("----\n" + got)
		if got != b.want && !update {
			t.Errorf("%s:%d: %s\n-- got\n%s-- want\n%s", name, b.line,
				strings.Join(b.cmds, "\n"), got, b.want)
		}
	}
	if err := m.close(); err != nil {
		t.Error(name, err)
	}
	if update && out.String() != string(text) {
		if err := os.WriteFile(name, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// step runs the commands of one block.
func step(t *testing.T, name string, b *block, m machine) string {
	for i, line := range b.cmds {
		func() {
			defer func() {
				switch r := recover().(type) {
				case nil:
				case mistake:
					t.Fatalf("%s:%d: %s: %s", name, b.line+i, line, r)
				default:
					t.Logf("%s:%d: %s", name, b.line+i, line)
					panic(r)
				}
			}()
			words := must(split(line))
			m.do(words[0], words[1:])
		}()
	}
	m.after()
	if s := m.output(); s != "" {
		return s
	}
	return "ok\n"
}

// lines gathers output.
type lines struct{ b strings.Builder }

func (l *lines) printf(format string, a ...any) { fmt.Fprintf(&l.b, format+"\n", a...) }

func (l *lines) output() string {
	s := l.b.String()
	l.b.Reset()
	return s
}
