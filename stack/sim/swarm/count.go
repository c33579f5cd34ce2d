package swarm

import (
	"reflect"

	"maestro/stack"
)

// addCounters adds a group's counters to those of a run, by field.
func addCounters(to map[string]uint64, c *stack.Counters) {
	v := reflect.ValueOf(c).Elem()
	t := v.Type()
	for i := range t.NumField() {
		f := v.Field(i)
		switch f.Kind() {
		case reflect.Uint64:
			if n := f.Uint(); n > 0 {
				to[t.Field(i).Name] += n
			}
		case reflect.Array:
			for k := range f.Len() {
				if n := f.Index(k).Uint(); n > 0 {
					to[t.Field(i).Name] += n
				}
			}
		}
	}
}

// Rare lists the counters that a good number of histories must have moved:
// branches of the protocol that ordinary runs do not take.
func Rare() []string {
	return []string{"Adopted", "BlockTimeouts", "Duplicates", "Exclusions", "FlowLimited",
		"FlushRestarts", "FromFailed", "MergeDenials", "Merges", "NaksOut", "OtherView",
		"Repairs", "RepairsForeign", "RepairsHushed", "SelfStalls", "Stashed", "Suspicions",
		"Unreachable", "crash in a view change", "crash of a coordinator in a view change",
		"action in a view change"}
}
