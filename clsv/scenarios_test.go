package clsv_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// scenarios are those of the specification, by kind.
const scenarios = `
	GM 1 2 4 5 7 8 10 11 13 14 16 17 19 20 22 23 25 26
	CJ 1 2 4 5 7 8 10 11 13 14 16 17 19 20 22 23 25 26 28 29
	MS 1 2 4 5 7 8 10 11 13 14 16 17 19 20 22 23 25 26
	XF 1 2 4 5 7 8 10 11 13 14 16 17 19
	MG 1 2 4 5 7 8 10 11 13 14 16
	CX 1 2 4 5 7 8 10 11 13 14 16 17 19 20 22 23 25 26
	TH 1 2 4 5 7 8
	PR 1 2 4
	RND 1 2 3 4`

// named is a test that carries one or several scenarios: TestGM01, TestXF01and02,
// TestMS01to04.
var named = regexp.MustCompile(`(?m)^func Test([A-Z]+)([0-9]+)(?:(and|And|to)([0-9]+))?`)

// TestScenarios: each scenario has a test under its name.
func TestScenarios(t *testing.T) {
	have := map[string]bool{}
	for _, dir := range []string{".", "csx", "prim"} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range named.FindAllStringSubmatch(string(b), -1) {
				first, _ := strconv.Atoi(m[2])
				last := first
				if m[4] != "" {
					last, _ = strconv.Atoi(m[4])
				}
				if strings.EqualFold(m[3], "and") {
					have[m[1]+strconv.Itoa(first)] = true
					first = last
				}
				for ; first <= last; first++ {
					have[m[1]+strconv.Itoa(first)] = true
				}
			}
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(scenarios), "\n") {
		words := strings.Fields(line)
		for _, n := range words[1:] {
			if !have[words[0]+n] {
				t.Errorf("%s-%s has no test", words[0], n)
			}
		}
	}
}
