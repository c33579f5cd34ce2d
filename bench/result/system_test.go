package result

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// What was measured beside each other is in every report, and comes back from JSON.
func TestSystems(t *testing.T) {
	s := &System{Name: "other", Version: "v1.2", Settings: "as it comes", Guarantee: "none at all",
		Skipped: "no <compiler>"}
	r := &Run{Systems: []*System{s}, Points: []*Point{New("b", "m", "us", true, 1)}}
	var text bytes.Buffer
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	again, err := ReadJSON(&text)
	if err != nil || len(again.Systems) != 1 || *again.Systems[0] != *s || len(again.Points) != 1 {
		t.Errorf("%+v %v", again, err)
	}
	for name, write := range map[string]func() error{
		"table": func() error { return r.WriteTable(&text, false) },
		"page":  func() error { return r.WriteHTML(&text) },
	} {
		text.Reset()
		if err := write(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{s.Name, s.Version, s.Settings, s.Guarantee, "compiler"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("no %q in the %s", want, name)
			}
		}
	}
}

// Each line of a point has what readers count on, yardstick or not.
func TestFields(t *testing.T) {
	for _, p := range []*Point{New("b", "m", "us", true, 1),
		New("b", "m", "us", true, 1).Against("f", []float64{2})} {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var has map[string]any
		if err := json.Unmarshal(b, &has); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"bench", "metric", "unit", "median", "min", "max",
			"floor_median", "ratio"} {
			if _, ok := has[want]; !ok {
				t.Errorf("no %s in %s", want, b)
			}
		}
	}
}
