package tidy

import (
	"maps"
	"slices"
	"strings"
)

// A row says what the packages in a folder may import of our own. The first row
// that fits counts. Tests may import what they like.
type row struct {
	folder string // "x/*" is all below x
	allow  []string
	why    string
}

// anything is the allowance of programs.
var anything = []string{
	"wire", "wire/*", "stack", "stack/*", "layers", "layers/*", "clsv", "clsv/*",
	"bench", "bench/*", "cmd", "cmd/*", "internal/*",
}

var table = []row{
	{"wire", nil, "wire is the ground, it knows nothing of ours"},
	{"wire/udp", []string{"wire"}, "sockets move bytes and know no protocol"},
	{"stack", []string{"wire"}, "the framework must not know its layers"},
	{"stack/trace", []string{"wire", "stack"}, "a trace is of any stack"},
	{"stack/check", []string{"wire", "stack", "stack/trace"}, "the checker judges any stack"},
	{"stack/node", []string{"wire", "wire/udp", "stack", "layers", "layers/*"},
		"the driver joins socket and stack"},
	{"stack/sim", []string{"wire", "stack", "stack/check", "stack/trace", "layers", "layers/*"},
		"the simulator has no real sockets"},
	{"stack/sim/*", []string{"wire", "stack", "stack/sim", "stack/sim/*", "stack/check",
		"stack/trace", "layers", "layers/*"}, "the simulator has no real sockets"},
	{"layers", []string{"wire", "stack", "layers/*"}, "the list of layers knows layers only"},
	{"layers/*", []string{"wire", "stack", "internal/seq", "internal/rank"},
		"layers are exchangeable, so they do not know each other nor what is around them"},
	{"clsv", []string{"wire", "stack", "stack/*", "layers", "layers/*"},
		"applications must not pull programs in"},
	{"clsv/*", []string{"clsv", "clsv/*", "wire", "stack", "stack/*", "layers", "layers/*"},
		"applications must not pull programs in"},
	{"bench", anything, ""},
	{"bench/*", anything, ""},
	{"cmd/*", anything, ""},
	{"internal/script", []string{"wire", "stack"}, "scripts drive any layer, tests bring it"},
	{"internal/*", nil, "helpers stand alone"},
}

// dependencies are the modules of others, and the folders whose packages may
// import them. What tests need may be imported by tests anywhere.
var dependencies = []struct {
	prefix string
	allow  []string
}{
	{"golang.org/x/sys", []string{"wire/udp", "internal/netlab", "bench", "bench/*"}},
	{"golang.org/x/net", []string{"wire/udp", "internal/netlab", "bench", "bench/*"}},
	{"github.com/vishvananda/netlink", []string{"internal/netlab"}},
	{"github.com/vishvananda/netns", []string{"internal/netlab"}},
	{"github.com/prometheus", []string{"clsv/metrics", "cmd/*"}},
	{"github.com/spf13/cobra", []string{"cmd/*"}},
	{"github.com/cespare/xxhash", []string{"clsv/csx", "clsv/rsm"}},
	{"github.com/klauspost", []string{"clsv", "clsv/*", "layers/*"}},
	{"github.com/HdrHistogram", []string{"bench", "bench/*", "cmd/*"}},
}

// heavy is what an application must not get by importing clsv.
var heavy = []string{
	"github.com/prometheus", "github.com/spf13/cobra", "github.com/HdrHistogram",
}

// imports holds every import against the tables.
func imports(t *Tree) (found []Finding) {
	for _, f := range t.code() {
		for _, spec := range f.ast.Imports {
			why := judge(f.dir, importPath(spec.Path.Value))
			if why != "" {
				found = append(found, t.at(spec.Pos(), "import of %s: %s", spec.Path.Value, why))
			}
		}
	}
	return found
}

func importPath(quoted string) string { return strings.Trim(quoted, "\"`") }

// judge says why a folder may not import a package, or "".
func judge(dir, imported string) string {
	if ours, ok := strings.CutPrefix(imported, Module+"/"); ok {
		for _, r := range table {
			if within(dir, []string{r.folder}) {
				if within(ours, r.allow) {
					return ""
				}
				return dir + " may not: " + r.why + " (table in internal/tidy/imports.go)"
			}
		}
		return dir + " has no row in the table of internal/tidy/imports.go"
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return "" // of the standard library
	}
	for _, d := range dependencies {
		if under(imported, d.prefix) {
			if within(dir, d.allow) {
				return ""
			}
			return "only for " + strings.Join(d.allow, ", ") + ": dependencies stay at the edges"
		}
	}
	return "a new dependency has to be agreed on, and gets a row in internal/tidy/imports.go"
}

// under says whether a package belongs to a prefix of import paths.
func under(pkg, prefix string) bool { return pkg == prefix || strings.HasPrefix(pkg, prefix+"/") }

// reach follows our own packages from clsv and looks for heavy dependencies.
// What other people's modules import is not followed.
func reach(t *Tree) (found []Finding) {
	byDir := map[string][]*file{}
	for _, f := range t.code() {
		byDir[f.dir] = append(byDir[f.dir], f)
	}
	from := map[string]string{"clsv": "clsv"} // the way to a folder
	for queue := []string{"clsv"}; len(queue) > 0; queue = queue[1:] {
		way := from[queue[0]]
		for _, f := range byDir[queue[0]] {
			for _, spec := range f.ast.Imports {
				p := importPath(spec.Path.Value)
				if slices.ContainsFunc(heavy, func(h string) bool { return under(p, h) }) {
					found = append(found, t.at(spec.Pos(), "%s -> %s: clsv must stay light, "+
						"applications import it", way, p))
				}
				dir, ok := strings.CutPrefix(p, Module+"/")
				if _, seen := from[dir]; ok && !seen {
					from[dir] = way + " -> " + dir
					queue = append(queue, dir)
				}
			}
		}
	}
	return found
}

// folders is all folders that hold Go code, in order.
func (t *Tree) folders() []string {
	dirs := map[string]bool{}
	for _, f := range t.code() {
		dirs[f.dir] = true
	}
	return slices.Sorted(maps.Keys(dirs))
}
