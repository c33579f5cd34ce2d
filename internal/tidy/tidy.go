// Package tidy keeps the rules of this repository that a compiler does not: who
// may import whom, what a protocol layer must not touch, how long things may
// be, and what every package has to say about itself. Its test reads the whole
// tree and names file, line and reason of each breach.
//
// A rule that makes code worse is to be changed here, in its table, and not
// worked around in the code.
package tidy

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Module is the path that our own imports begin with.
const Module = "maestro"

// Finding is one breach of a rule.
type Finding struct {
	File string // relative to the root of the tree, with slashes
	Line int
	Text string // what is wrong, and why it is
}

func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text) }

// Tree is a repository that has been read.
type Tree struct {
	fset  *token.FileSet
	files []*file
	all   map[string]bool // files and folders that exist
}

// file is one text file. The fields below ast are of Go files only.
type file struct {
	name string
	dir  string // folder, "." for the root
	text []byte

	ast       *ast.File
	isTest    bool
	generated bool
}

// Load reads the tree under root. Modules of their own inside it are left out,
// and so is what folders of the name testdata hold.
func Load(root string) (*Tree, error) {
	t := &Tree{fset: token.NewFileSet(), all: map[string]bool{}}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		t.all[name] = true
		if d.IsDir() {
			return t.enter(p, name)
		}
		if !d.Type().IsRegular() || strings.Contains("/"+name, "/testdata/") {
			return nil
		}
		return t.read(p, name)
	})
	return t, err
}

func (t *Tree) enter(p, name string) error {
	if path.Base(name) == ".git" {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil && name != "." {
		return filepath.SkipDir
	}
	return nil
}

func (t *Tree) read(p, name string) error {
	text, err := os.ReadFile(p)
	if err != nil {
		return err
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil // not text
	}
	f := &file{name: name, dir: path.Dir(name), text: text}
	if strings.HasSuffix(name, ".go") {
		f.ast, err = parser.ParseFile(t.fset, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		f.isTest = strings.HasSuffix(name, "_test.go")
		f.generated = ast.IsGenerated(f.ast)
	}
	t.files = append(t.files, f)
	return nil
}

// Check applies every rule. The ratchet holds the lengths that are tolerated.
func (t *Tree) Check(r Ratchet) []Finding {
	var found []Finding
	for _, rule := range []func(*Tree) []Finding{
		imports, reach, pure, state, words, packageComments, links,
	} {
		found = append(found, rule(t)...)
	}
	found = append(found, r.check(t.measure())...)
	slices.SortFunc(found, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			strings.Compare(a.Text, b.Text))
	})
	return found
}

// code is the Go files that are not tests.
func (t *Tree) code() []*file {
	var c []*file
	for _, f := range t.files {
		if f.ast != nil && !f.isTest {
			c = append(c, f)
		}
	}
	return c
}

// at makes a finding at a place in a Go file.
func (t *Tree) at(pos token.Pos, format string, args ...any) Finding {
	p := t.fset.Position(pos)
	return Finding{File: p.Filename, Line: p.Line, Text: fmt.Sprintf(format, args...)}
}

// within says whether a folder is one of a list or, for a name that ends in
// "/*", below it.
func within(dir string, list []string) bool {
	for _, p := range list {
		if dir == p || strings.HasSuffix(p, "/*") && strings.HasPrefix(dir, p[:len(p)-1]) {
			return true
		}
	}
	return false
}
