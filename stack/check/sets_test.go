package check

import (
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestTable puts numbers into a table in all the orders that there are in
// traces, and in others, and holds what it finds against a map.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x table
		want := map[uint64]int32{}
		next := rapid.SampledFrom([]uint64{0, 1, 63, 64, 65, 1 << 40, math.MaxUint64 - 100}).
			Draw(t, "first")
		for i := range int32(rapid.IntRange(0, 300).Draw(t, "n")) {
			n := next
			switch rapid.IntRange(0, 9).Draw(t, "how") {
			case 0: // far away
				n = rapid.Uint64().Draw(t, "number")
			case 1: // earlier than the first
				n = next - rapid.Uint64Range(0, 200).Draw(t, "back")
			case 2: // a gap that dense grows over later
				next += rapid.Uint64Range(0, 3000).Draw(t, "gap")
				n = next
			}
			next++
			if _, ok := want[n]; ok {
				continue // put is for new ones
			}
			x.put(n, i)
			want[n] = i
		}
		for n, i := range want {
			if got := x.get(n); got != i {
				t.Fatalf("get(%d) = %d, want %d", n, got, i)
			}
		}
		for _, n := range slices.Concat(slices.Collect(maps.Keys(want)),
			[]uint64{0, next, math.MaxUint64}) {
			for _, n := range []uint64{n - 1, n, n + 1} {
				if _, ok := want[n]; !ok && x.get(n) != -1 {
					t.Fatalf("get(%d) = %d, nobody has put it", n, x.get(n))
				}
			}
		}
	})
}

// TestTableEmpty: nothing is in a table before something has been put there, nor
// is index 0 taken for nothing.
func TestTableEmpty(t *testing.T) {
	var x table
	for _, n := range []uint64{0, 1, math.MaxUint64} {
		if i := x.get(n); i != -1 {
			t.Errorf("get(%d) = %d", n, i)
		}
	}
	x.put(1000, 0)
	for n, want := range map[uint64]int32{1000: 0, 999: -1, 936: -1, 935: -1, 1001: -1} {
		if i := x.get(n); i != want {
			t.Errorf("get(%d) = %d, want %d", n, i, want)
		}
	}
}

// TestTableMemory: numbers in order cost an array, wild ones do not cost one that
// reaches them.
func TestTableMemory(t *testing.T) {
	var x table
	for i := range int32(1000) {
		x.put(uint64(i)<<40, i)
	}
	if len(x.dense) > 5000 || len(x.sparse) != 999 {
		t.Errorf("%d places, %d others", len(x.dense), len(x.sparse))
	}
}

// TestNumbers holds a set of numbers against a map.
func TestNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x numbers
		want := map[uint64]bool{}
		for range rapid.IntRange(0, 200).Draw(t, "n") {
			n := rapid.Uint64Range(0, 60).Draw(t, "number")
			if rapid.IntRange(0, 20).Draw(t, "large") == 0 {
				n = math.MaxUint64 - n
			}
			if x.add(n) == want[n] {
				t.Fatalf("add(%d) with %v", n, want[n])
			}
			want[n] = true
		}
		for n := range uint64(70) {
			for _, n := range []uint64{n, math.MaxUint64 - n} {
				if x.has(n) != want[n] {
					t.Fatalf("has(%d) = %v: %v", n, x.has(n), x.spans)
				}
			}
		}
		for i := 1; i < len(x.spans); i++ {
			if x.spans[i-1].hi+1 >= x.spans[i].lo {
				t.Fatalf("spans that touch: %v", x.spans)
			}
		}
	})
}
