package tidy

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The limits, in lines and columns. Tests may be twice as long.
const (
	maxFunc    = 70
	maxFile    = 400
	maxColumns = 100
	tabWidth   = 4
)

// A measure is the length of something that is too long.
type measure struct {
	what  string // "func wire/buf.go (*Buf).Drop", "file wire/buf.go", "columns wire/buf.go"
	n     int    // lines; for columns the number of lines that are too wide
	limit int
	at    Finding // with the lines that are too wide
}

// measure returns everything that is too long.
func (t *Tree) measure() []measure {
	var m []measure
	for _, f := range t.files {
		if f.ast == nil || f.generated {
			continue
		}
		funcs, lines := maxFunc, maxFile
		if f.isTest {
			funcs, lines = 2*funcs, 2*lines
		}
		if n := bytes.Count(f.text, []byte{'\n'}); n > lines {
			m = append(m, measure{"file " + f.name, n, lines, Finding{File: f.name, Line: 1}})
		}
		if w := wide(f.text); len(w) > 0 {
			what := "columns " + f.name
			at := Finding{File: f.name, Line: w[0], Text: fmt.Sprintf(" (%d)", w)}
			m = append(m, measure{what, len(w), 0, at})
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := t.fset.Position(fn.End()).Line - t.fset.Position(fn.Pos()).Line + 1
			if n > funcs {
				what := "func " + f.name + " " + funcName(fn)
				m = append(m, measure{what, n, funcs, t.at(fn.Pos(), "")})
			}
		}
	}
	return m
}

// wide tells which lines have more than maxColumns.
func wide(text []byte) (lines []int) {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		width := utf8.RuneCount(bytes.TrimRight(line, "\n"))
		if width+(tabWidth-1)*bytes.Count(line, []byte{'\t'}) > maxColumns {
			lines = append(lines, n)
		}
	}
	return lines
}

func funcName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	recv, star := fn.Recv.List[0].Type, ""
	if s, ok := recv.(*ast.StarExpr); ok {
		recv, star = s.X, "*"
	}
	switch g := recv.(type) {
	case *ast.IndexExpr:
		recv = g.X
	case *ast.IndexListExpr:
		recv = g.X
	}
	return fmt.Sprintf("(%s%s).%s", star, recv, fn.Name.Name)
}

// Ratchet is the lengths beyond the limits that are tolerated. They may only
// shrink: an entry that is larger than what it stands for is a breach as well.
type Ratchet struct {
	file string
	max  map[string]int
}

// LoadRatchet reads a ratchet; a file that is not there is an empty one.
func LoadRatchet(name string) (Ratchet, error) {
	r := Ratchet{file: name, max: map[string]int{}}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		n, bad := strconv.Atoi(line[i+1:])
		if i < 0 || bad != nil {
			return r, fmt.Errorf("%s: bad line %q", name, line)
		}
		r.max[line[:i]] = n
	}
	return r, err
}

func (r Ratchet) check(measured []measure) (found []Finding) {
	left := maps.Clone(r.max)
	for _, m := range measured {
		delete(left, m.what)
		max, listed := r.max[m.what]
		length := fmt.Sprintf("%s: %d lines", m.what, m.n)
		if strings.HasPrefix(m.what, "columns") {
			length += fmt.Sprintf(" of more than %d columns%s", maxColumns, m.at.Text)
		}
		switch {
		case !listed:
			m.at.Text = fmt.Sprintf("%s, limit %d: what is long is not read", length, m.limit)
		case m.n > max:
			m.at.Text = fmt.Sprintf("%s, was %d: it may only shrink", length, max)
		case m.n < max:
			m.at.Text = fmt.Sprintf("%s, was %d: well done, now tighten the ratchet (%s)",
				length, max, updateCommand)
		default:
			continue
		}
		found = append(found, m.at)
	}
	for what := range left {
		text := fmt.Sprintf("%s: keeps the limit or is gone, so its entry has to go (%s)",
			what, updateCommand)
		found = append(found, Finding{File: r.file, Line: 1, Text: text})
	}
	return found
}

const updateCommand = "go test ./internal/tidy -update"

const ratchetHead = `# Lengths beyond the limits (internal/tidy/length.go) tolerated for now.
# They may only shrink. 'go test ./internal/tidy -update' lowers and removes
# entries; a new one is written by hand, where a reviewer sees it.
`

// Tighten lowers and removes entries to what has been measured, and writes the
// file. It never adds one.
func (r Ratchet) Tighten(t *Tree) error {
	var lines []string
	for _, m := range t.measure() {
		if max, listed := r.max[m.what]; listed {
			lines = append(lines, fmt.Sprintf("%s %d\n", m.what, min(m.n, max)))
		}
	}
	slices.Sort(lines)
	return os.WriteFile(r.file, []byte(ratchetHead+strings.Join(lines, "")), 0o644)
}
