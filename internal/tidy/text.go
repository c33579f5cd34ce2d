package tidy

import (
	"net/url"
	"path"
	"regexp"
	"strings"
)

// unfinished are words that mark what somebody wanted to do later. They are
// put together here, so that this file has none of them.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

// words looks for words that do not belong into the repository.
func words(t *Tree) (found []Finding) {
	for _, f := range t.files {
		n := 0
		for line := range strings.Lines(string(f.text)) {
			n++
			if w := unfinished.FindString(line); w != "" {
				found = append(found, Finding{f.name, n, w + ": finish it or open an issue"})
			}
		}
	}
	return found
}

// headings are what the package comment of a layer has to tell, each at the
// beginning of a line.
var headings = []string{"Guarantee", "Needs", "Header", "Timers", "Source"}

// packageComments looks for packages that do not say what they are.
func packageComments(t *Tree) (found []Finding) {
	for _, dir := range t.folders() {
		doc := ""
		var first *file
		for _, f := range t.code() {
			if f.dir != dir {
				continue
			}
			if first == nil {
				first = f
			}
			if f.ast.Doc != nil {
				doc += f.ast.Doc.Text()
			}
		}
		at := first.ast.Package
		if strings.TrimSpace(doc) == "" {
			found = append(found, t.at(at, "package %s has no package comment: "+
				"a reader looks for it first", first.ast.Name.Name))
			continue
		}
		if path.Dir(dir) != "layers" {
			continue
		}
		for _, h := range headings {
			if !regexp.MustCompile(`(?m)^(# )?` + h + `\b`).MatchString(doc) {
				found = append(found, t.at(at, "package comment without the heading %q: "+
					"every layer is described in the same way", h))
			}
		}
	}
	return found
}

// link is a Markdown link or image, [text](target) or [name]: target.
var link = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\s*\[[^\]]+\]:\s*<?([^\s>]+)>?`)

// inlineCode is not looked at for links.
var inlineCode = regexp.MustCompile("`[^`]*`")

// links looks for relative links to what does not exist.
func links(t *Tree) (found []Finding) {
	for _, f := range t.files {
		if !strings.HasSuffix(f.name, ".md") {
			continue
		}
		n, fenced := 0, false
		for line := range strings.Lines(string(f.text)) {
			n++
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
			}
			if fenced {
				continue
			}
			line = inlineCode.ReplaceAllString(line, "")
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				if target := m[1] + m[2]; !t.resolves(f.dir, target) {
					found = append(found, Finding{f.name, n, "link to " + target +
						": there is no such file in the repository"})
				}
			}
		}
	}
	return found
}

// resolves says whether the target of a link exists, as far as it is ours.
func (t *Tree) resolves(dir, target string) bool {
	u, err := url.Parse(target)
	if err != nil {
		return false
	}
	if u.Scheme != "" || u.Host != "" || u.Path == "" {
		return true
	}
	if path.IsAbs(u.Path) {
		return false // GitHub and a file system would not agree on it
	}
	return t.all[path.Join(dir, u.Path)]
}
