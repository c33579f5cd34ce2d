package docs_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write events.md anew")

// word is an event or a query: who speaks it and who understands it.
type word struct {
	text         string // what it says
	query        bool
	speak, grasp map[string]bool
}

// vocabulary finds all words of stack/event.go.
func vocabulary(t *testing.T, fset *token.FileSet) map[string]*word {
	f, err := parser.ParseFile(fset, "../stack/event.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]*word{}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if s, ok := s.(*ast.TypeSpec); ok {
					words[s.Name.Name] = &word{text: new(doc.Package).Synopsis(d.Doc.Text()),
						speak: map[string]bool{}, grasp: map[string]bool{}}
				}
			}
		case *ast.FuncDecl: // func (X) event() or func (*X) query()
			if d.Recv != nil && d.Name.Name == "query" {
				words[typeName(d.Recv.List[0].Type)].query = true
			}
		}
	}
	for _, not := range []string{"Event", "Query"} {
		delete(words, not)
	}
	return words
}

// typeName is the name of a type of package stack, or "".
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.UnaryExpr:
		return typeName(e.X)
	case *ast.CompositeLit:
		return typeName(e.Type)
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok && x.Name == "stack" {
			return e.Sel.Name
		}
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// scan notes what one file of a package speaks and understands.
func scan(words map[string]*word, f *ast.File, who string) {
	understood := map[ast.Node]bool{} // types in cases and assertions
	grasp := func(e ast.Expr) {
		if w := words[typeName(e)]; w != nil {
			w.grasp[who] = true
			understood[e] = true
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if n == nil || understood[n] {
			return false
		}
		switch n := n.(type) {
		case *ast.KeyValueExpr: // a Maker's list of what its layer answers
			if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Answers" {
				return false
			}
		case *ast.TypeSwitchStmt:
			for _, c := range n.Body.List {
				for _, e := range c.(*ast.CaseClause).List {
					grasp(e)
				}
			}
		case *ast.TypeAssertExpr:
			if n.Type != nil {
				grasp(n.Type)
			}
		case *ast.FuncDecl:
			// What takes a word is a part of what understands it.
			for _, p := range n.Type.Params.List {
				if words[typeName(p.Type)] != nil {
					understood[p.Type] = true
				}
			}
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && strings.EqualFold(s.Sel.Name, "tell") {
				if w := words[typeName(n.Args[0])]; w != nil {
					w.speak[who] = true
				}
			}
		case *ast.SelectorExpr:
			if w := words[typeName(n)]; w != nil && w.query {
				w.speak[who] = true
			}
		case *ast.Ident:
			if w := words[n.Name]; w != nil && w.query && f.Name.Name == "stack" {
				w.speak[who] = true
			}
		}
		return true
	})
}

// table writes the words that are, or are not, queries.
func table(words map[string]*word, query bool, head string) string {
	var b strings.Builder
	b.WriteString(head)
	for _, name := range slices.Sorted(maps.Keys(words)) {
		w := words[name]
		if w.query != query {
			continue
		}
		list := func(m map[string]bool) string {
			if len(m) == 0 {
				return "-"
			}
			return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
		}
		text := strings.TrimPrefix(w.text, name+" ")
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, text, list(w.speak), list(w.grasp))
	}
	return b.String()
}

// The table of who tells and handles what, which no single file shows, is as the
// source is.
func TestEvents(t *testing.T) {
	fset := token.NewFileSet()
	words := vocabulary(t, fset)
	files, err := filepath.Glob("../layers/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	frame, err := filepath.Glob("../stack/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, frame...) {
		if strings.HasSuffix(name, "_test.go") || filepath.Base(name) == "event.go" {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		who := f.Name.Name
		if who == "stack" {
			who = "the group"
		}
		scan(words, f, who)
	}
	text := "# Events and queries\n\n" +
		"Written by `go test ./docs -update` from the source. Events are told to all layers\n" +
		"and to the group; queries are asked, and who knows fills them in.\n\n" +
		table(words, false, "| event | says | told by | handled by |\n|---|---|---|---|\n") + "\n" +
		table(words, true, "| query | says | asked by | answered by |\n|---|---|---|---|\n")
	if *update {
		if err := os.WriteFile("events.md", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("events.md")
	if err != nil || string(want) != text {
		t.Errorf("events.md is not what the source says (%v): go test ./docs -update", err)
	}
	for name, w := range words {
		if len(w.grasp) == 0 && name != "Note" {
			t.Errorf("nobody handles %s", name)
		}
		if len(w.speak) == 0 {
			t.Errorf("nobody tells or asks %s", name)
		}
	}
}
