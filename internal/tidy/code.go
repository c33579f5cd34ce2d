package tidy

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// isPure says whether a folder's code must be a deterministic machine.
func isPure(dir string) bool { return within(dir, []string{"stack", "layers", "layers/*"}) }

const pureWhy = "a layer is a deterministic machine: time, chance and input are arguments"

// impurePackages may not be imported by pure code.
var impurePackages = []string{"sync", "os", "net", "log", "syscall", "unsafe"}

// impureTime is what reads or waits for the real clock.
var impureTime = []string{
	"Now", "After", "Sleep", "Since", "Until", "Tick", "NewTimer", "NewTicker", "AfterFunc",
}

// privateRand is what of math/rand does not touch its global source.
var privateRand = []string{
	"New", "NewSource", "NewPCG", "NewChaCha8", "NewZipf",
	"Rand", "Source", "Source64", "PCG", "ChaCha8", "Zipf",
}

// pure looks for clocks, goroutines, locks, files and global chance in layers
// and in the framework.
func pure(t *Tree) (found []Finding) {
	for _, f := range t.code() {
		if !isPure(f.dir) {
			continue
		}
		for _, spec := range f.ast.Imports {
			p := importPath(spec.Path.Value)
			bad := func(b string) bool { return under(p, b) }
			if p != "net/netip" && slices.ContainsFunc(impurePackages, bad) {
				found = append(found, t.at(spec.Pos(), "import of %q: %s", p, pureWhy))
			}
		}
		timeName, randName := f.local("time"), f.local("math/rand", "math/rand/v2")
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				found = append(found, t.at(n.Pos(), "go statement: %s", pureWhy))
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if !ok || x.Obj != nil { // a local variable of that name
					break
				}
				if x.Name == timeName && slices.Contains(impureTime, n.Sel.Name) ||
					x.Name == randName && !slices.Contains(privateRand, n.Sel.Name) {
					found = append(found, t.at(n.Pos(), "%s.%s: %s", x.Name, n.Sel.Name, pureWhy))
				}
			}
			return true
		})
	}
	return found
}

// local is the name that a file knows a package by, or "" if it does not.
func (f *file) local(paths ...string) string {
	for _, spec := range f.ast.Imports {
		if !slices.Contains(paths, importPath(spec.Path.Value)) {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		parts := strings.Split(strings.TrimSuffix(importPath(spec.Path.Value), "/v2"), "/")
		return parts[len(parts)-1]
	}
	return ""
}

const stateWhy = "global state is an input that nobody sees"

// state looks for init functions, and for package-level variables that are not
// constants in all but name: errors, tables, compiled patterns, embedded files.
func state(t *Tree) (found []Finding) {
	vars := map[string]map[string]bool{} // by folder
	for _, f := range t.code() {
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					found = append(found, t.at(d.Pos(), "init function: %s", stateWhy))
				}
			case *ast.GenDecl:
				if d.Tok != token.VAR {
					continue
				}
				if vars[f.dir] == nil {
					vars[f.dir] = map[string]bool{}
				}
				for _, s := range d.Specs {
					found = append(found, t.variable(d, s.(*ast.ValueSpec), vars[f.dir])...)
				}
			}
		}
	}
	for _, f := range t.code() {
		found = append(found, t.assigned(f, vars[f.dir])...)
	}
	return found
}

// variable judges one declaration, and notes the names that it allows.
func (t *Tree) variable(d *ast.GenDecl, s *ast.ValueSpec, ok map[string]bool) (found []Finding) {
	for i, name := range s.Names {
		constant := len(s.Values) == len(s.Names) && isConstant(s.Values[i])
		switch {
		case name.Name == "_" || embedded(d, s):
		case constant:
			ok[name.Name] = true
		default:
			found = append(found, t.at(name.Pos(),
				"var %s: only errors, tables and compiled patterns may be global: %s",
				name.Name, stateWhy))
		}
	}
	return found
}

func embedded(d *ast.GenDecl, s *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{d.Doc, s.Doc} {
		if doc == nil {
			continue
		}
		for _, c := range doc.List {
			if strings.HasPrefix(c.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

// makers are functions whose results are as good as constants.
var makers = []string{
	"errors.New", "fmt.Errorf", "regexp.MustCompile", "strings.NewReplacer", "crc32.MakeTable",
	"crc64.MakeTable", "netip.MustParseAddr", "netip.MustParsePrefix", "netip.MustParseAddrPort",
	"netip.AddrFrom4", "netip.AddrFrom16", "template.Must", "reflect.TypeFor", "reflect.TypeOf",
}

func isConstant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CompositeLit, *ast.FuncLit:
		return true
	case *ast.CallExpr:
		switch fun := ast.Unparen(e.Fun).(type) {
		case *ast.FuncLit: // computes a table
			return true
		case *ast.IndexExpr: // reflect.TypeFor[T]()
			return slices.Contains(makers, selector(fun.X))
		case *ast.ArrayType: // []byte("...")
			return true
		default:
			return slices.Contains(makers, selector(fun))
		}
	}
	return false
}

func selector(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			return x.Name + "." + s.Sel.Name
		}
	}
	return ""
}

// changers are builtin functions that change their first argument.
var changers = []string{"clear", "copy", "delete"}

// assigned looks for changes to the package's variables that pass as tables.
func (t *Tree) assigned(f *file, vars map[string]bool) (found []Finding) {
	change := func(e ast.Expr) {
		id := root(e)
		if id == nil || !vars[id.Name] {
			return
		}
		if id.Obj != nil && id.Obj != f.ast.Scope.Lookup(id.Name) {
			return // a local variable of the same name
		}
		found = append(found, t.at(e.Pos(), "change of (or pointer to) global variable %s: %s",
			id.Name, stateWhy))
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				if n.Tok != token.DEFINE {
					change(e)
				}
			}
		case *ast.IncDecStmt:
			change(n.X)
		case *ast.UnaryExpr:
			if _, whole := n.X.(*ast.Ident); whole && n.Op == token.AND {
				change(n.X)
			}
		case *ast.CallExpr:
			if fn, ok := n.Fun.(*ast.Ident); ok && slices.Contains(changers, fn.Name) {
				change(n.Args[0])
			}
		}
		return true
	})
	return found
}

// root is the variable that an expression such as x.y[i] changes a part of.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}
