package tidy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "lower and remove entries of testdata/ratchet.txt")

// The repository itself.
func TestRepository(t *testing.T) {
	tree, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	ratchet, err := LoadRatchet("testdata/ratchet.txt")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := ratchet.Tighten(tree); err != nil {
			t.Fatal(err)
		}
		if ratchet, err = LoadRatchet("testdata/ratchet.txt"); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range tree.Check(ratchet) {
		t.Error(f)
	}
}

// Every rule can fail: each file in testdata/*.txt is a small repository, and
// says in its last part 'want' what is to be found in it: file, line, and some
// of the text.
func TestRules(t *testing.T) {
	names, err := filepath.Glob("testdata/rule-*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			root, want := unpack(t, name)
			tree, err := Load(root)
			if err != nil {
				t.Fatal(err)
			}
			ratchet, err := LoadRatchet(filepath.Join(root, "ratchet.txt"))
			if err != nil {
				t.Fatal(err)
			}
			ratchet.file = "ratchet.txt"
			compare(t, tree.Check(ratchet), want)
		})
	}
}

func compare(t *testing.T, found []Finding, want []string) {
	t.Helper()
	for i := 0; i < max(len(found), len(want)); i++ {
		switch {
		case i >= len(want):
			t.Errorf("found more: %s", found[i])
		case i >= len(found):
			t.Errorf("not found: %s", want[i])
		default:
			place, text, _ := strings.Cut(want[i], " ")
			if got := found[i].String(); !strings.HasPrefix(got, place+" ") ||
				!strings.Contains(got, text) {
				t.Errorf("found  %s\nwanted %s", got, want[i])
			}
		}
	}
}

// unpack writes the parts of a file, which begin with lines '-- name --', into
// a folder of their own.
func unpack(t *testing.T, name string) (root string, want []string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	for _, part := range strings.Split("\n"+string(text), "\n-- ")[1:] {
		name, body, _ := strings.Cut(part, " --\n")
		if name == "want" {
			want = strings.FieldsFunc(body, func(r rune) bool { return r == '\n' })
			continue
		}
		write(t, filepath.Join(root, name), body+"\n")
	}
	return root, want
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// lengths makes a repository with a long function, file and line.
func lengths(t *testing.T, funcLines, fileLines, columns int) *Tree {
	t.Helper()
	text := "// Package x is long.\npackage x\n\nfunc (t *T) long() {\n" +
		strings.Repeat("\t_ = 0\n", funcLines-2) + "}\n"
	text += "// " + strings.Repeat("é", columns-3) + "\n"
	text += strings.Repeat("\n", fileLines-strings.Count(text, "\n"))
	root := t.TempDir()
	write(t, filepath.Join(root, "x.go"), text)
	tree, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestLengths(t *testing.T) {
	ratchet := Ratchet{file: "ratchet.txt"}
	compare(t, lengths(t, maxFunc, maxFile, maxColumns).Check(ratchet), nil)
	tree := lengths(t, maxFunc+1, maxFile+2, maxColumns+1)
	compare(t, tree.Check(ratchet), []string{
		"x.go:1: file x.go: 402 lines, limit 400",
		"x.go:4: func x.go (*T).long: 71 lines, limit 70",
		"x.go:75: columns x.go: 1 lines of more than 100 columns",
	})
}

// An entry of the ratchet must be the truth: not less, not more, not stale.
func TestRatchetMayOnlyShrink(t *testing.T) {
	tree := lengths(t, maxFunc+2, maxFile+2, maxColumns)
	name := filepath.Join(t.TempDir(), "ratchet.txt")
	for _, c := range []struct {
		funcs int
		want  []string
	}{
		{72, nil},
		{71, []string{"x.go:4: 72 lines, was 71: it may only shrink"}},
		{80, []string{"x.go:4: 72 lines, was 80: well done"}},
	} {
		write(t, name, fmt.Sprintf("# head\nfile x.go 402\nfunc x.go (*T).long %d\n", c.funcs))
		r, err := LoadRatchet(name)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, tree.Check(r), c.want)
	}

	write(t, name, "file x.go 500\nfile gone.go 500\nfunc x.go (*T).long 71\n")
	r, err := LoadRatchet(name)
	if err != nil {
		t.Fatal(err)
	}
	stale := r.check(nil)
	if len(stale) != 3 || !strings.Contains(stale[0].Text, "has to go") {
		t.Errorf("stale entries: %v", stale)
	}
	if err := r.Tighten(tree); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	want := ratchetHead + "file x.go 402\nfunc x.go (*T).long 71\n"
	if err != nil || string(text) != want {
		t.Errorf("tightened to\n%s, %v", text, err)
	}
}
