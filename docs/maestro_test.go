package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// declared is what a package declares: "Name" and "Type.Member".
type declared struct {
	has      map[string]bool
	embedded map[string][]string // by type
}

// read reads the names of a package's code, or of its tests.
func read(t *testing.T, dir string, tests bool) *declared {
	n := &declared{has: map[string]bool{}, embedded: map[string][]string{}}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no code in %s: %v", dir, err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") != tests {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			n.add(d)
		}
	}
	return n
}

func (n *declared) add(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			name = nameOf(d.Recv.List[0].Type) + "." + name
		}
		n.has[name] = true
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				for _, id := range s.Names {
					n.has[id.Name] = true
				}
			case *ast.TypeSpec:
				n.has[s.Name.Name] = true
				n.members(s.Name.Name, s.Type)
			}
		}
	}
}

// members enters the fields of a struct or the methods of an interface.
func (n *declared) members(of string, t ast.Expr) {
	var list *ast.FieldList
	switch t := t.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return
	}
	for _, f := range list.List {
		if len(f.Names) == 0 {
			n.embedded[of] = append(n.embedded[of], nameOf(f.Type))
		}
		for _, id := range f.Names {
			n.has[of+"."+id.Name] = true
		}
	}
}

func nameOf(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return nameOf(t.X)
	case *ast.Ident:
		return t.Name
	}
	return "?"
}

// find looks for a name, in embedded types too.
func (n *declared) find(name string) bool {
	if n.has[name] {
		return true
	}
	of, member, ok := strings.Cut(name, ".")
	if !ok {
		return false
	}
	for _, e := range n.embedded[of] {
		if n.find(e + "." + member) {
			return true
		}
	}
	return false
}

// quoted is a name of Go in a table: of clsv, or with the package that it is of.
var quoted = regexp.MustCompile(
	"`((?:csx\\.|prim\\.)?)([A-Z][A-Za-z0-9]*(?:\\.[A-Z][A-Za-z0-9]*)?)`")

// TestMaestro checks that what maestro.md names is there.
func TestMaestro(t *testing.T) {
	text, err := os.ReadFile("maestro.md")
	if err != nil {
		t.Fatal(err)
	}
	code, tests := map[string]*declared{}, map[string]*declared{}
	for prefix, dir := range map[string]string{"": "../clsv", "csx.": "../clsv/csx",
		"prim.": "../clsv/prim"} {
		code[prefix], tests[prefix] = read(t, dir, false), read(t, dir, true)
	}
	found, rows := 0, 0
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| Maestro |") {
			rows++
			if cells := strings.Split(line, "|"); !strings.Contains(cells[4], "`") {
				t.Errorf("no test in %q", line)
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			prefix, name := m[1], m[2]
			found++
			in := code
			if strings.HasPrefix(name, "Test") {
				in = tests
			}
			if name != "TestDefect" && !in[prefix].find(name) {
				t.Errorf("there is no %s%s", prefix, name)
			}
		}
	}
	if rows < 60 || found < 150 {
		t.Errorf("only %d rows and %d names", rows, found)
	}
}
