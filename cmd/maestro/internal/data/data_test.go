package data_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"maestro/cmd/maestro/internal/data"
)

func TestBuiltin(t *testing.T) {
	list, err := data.Load("")
	if err != nil || len(list) < 240 {
		t.Fatalf("%d records, %v", len(list), err)
	}
	for _, e := range list {
		if e.Key == "CH" {
			want := `{"name":"Switzerland","coordinates":"+4723+00832","zone":"Europe/Zurich"}`
			if e.Value != want {
				t.Errorf("%s, want %s", e.Value, want)
			}
		}
	}
}

func TestFormats(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a.csv", "k,v\na,1\nb,\"2,3\"\n", "a=1 b=2,3"},
		{"a.csv", "k,x,y\na,1,2\n", `a={"x":"1","y":"2"}`},
		{"a.jsonl", "{\"key\":\"a\",\"value\":1}\n\n{\"value\":\"2\",\"key\":3}", "a=1 3=2"},
		{"a.json", `{"id": "q", "n": {"m": 1}}`, `q={"id":"q","n":{"m":1}}`},
		{"a.json", "{}", "line 1: not a JSON object with a field"},
		{"a.json", "{\"a\":1}\n{", "line 2: unexpected end of JSON input"},
		{"a.csv", "", "no headings: EOF"},
		{"a.csv", "a,b\nc\n", "record on line 2: wrong number of fields"},
	} {
		path := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := data.Load(path)
		var got []string
		for _, e := range list {
			got = append(got, e.Key+"="+e.Value)
		}
		s := strings.Join(got, " ")
		if err != nil {
			s = strings.TrimPrefix(err.Error(), path+": ")
		}
		if s != c.want {
			t.Errorf("%q: %s, want %s", c.text, s, c.want)
		}
	}
	if _, err := data.Load("/nonexistent.csv"); err == nil {
		t.Error("no error for a file that is not there")
	}
}
