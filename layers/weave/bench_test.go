package weave_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"maestro/bench/rig"
	"maestro/layers/weave"
	"maestro/stack"
)

// BenchmarkUp is casts of one sender at a member of the core: all of them wide,
// or wide and narrow ones in turns, each with its mark.
func BenchmarkUp(b *testing.B) {
	for _, turns := range []bool{false, true} {
		b.Run(fmt.Sprintf("turns=%v", turns), func(b *testing.B) {
			r, err := rig.NewCore(3, 1, stack.Set{false, true, true}, weave.Maker())
			if err != nil {
				b.Fatal(err)
			}
			m := stack.Msg{From: 0, To: stack.All, Kind: 1, Data: make([]byte, 64)}
			mark := stack.Msg{From: 0, To: stack.All, Kind: stack.KindWeave, Data: make([]byte, 16)}
			n := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				if n++; turns {
					// The k-th of a side comes after as many of the other.
					m.To = stack.All - int(n&1)
					mark.To = m.To
					binary.LittleEndian.PutUint64(mark.Data, n/2)
					r.Up(&mark)
				}
				r.Up(&m)
			}
			if r.Delivered != uint64(b.N) {
				b.Fatalf("%d of %d delivered", r.Delivered, b.N)
			}
		})
	}
}

// BenchmarkDown is casts to all, or to all and to the core in turns.
func BenchmarkDown(b *testing.B) {
	for _, turns := range []bool{false, true} {
		b.Run(fmt.Sprintf("turns=%v", turns), func(b *testing.B) {
			r, err := rig.NewCore(3, 1, stack.Set{true, true, false}, weave.Maker())
			if err != nil {
				b.Fatal(err)
			}
			m := stack.Msg{From: 1, To: stack.All, Kind: 1, Data: make([]byte, 64)}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n++; turns {
					m.To = stack.All - n&1
				}
				r.Down(&m)
				if n&63 == 0 {
					r.EndTurn()
				}
			}
			if want := uint64(b.N); r.Passed < want || !turns && r.Passed > want {
				b.Fatalf("%d messages went down, %d were cast", r.Passed, want)
			}
		})
	}
}
