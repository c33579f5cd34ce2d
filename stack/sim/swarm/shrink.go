package swarm

// Shrink looks for a smaller history of a seed that still fails: it leaves out
// as many actions of the storm as it can, within a number of runs. It returns
// what to set Options.Omit to, and how many actions are left of how many.
func Shrink(seed uint64, o Options, runs int) (omit func(int) bool, left, of int) {
	n := len(newPlan(seed, &o).actions)
	out := make([]bool, n)
	left = n
	fails := func(from, to int) bool {
		try := append([]bool(nil), out...)
		for i := from; i < to; i++ {
			try[i] = true
		}
		with := o
		with.Trace, with.Record = nil, nil
		with.Omit = func(i int) bool { return try[i] }
		r := Run(seed, with)
		return !r.OK()
	}
	for size := n; size > 0; size /= 2 {
		for from := 0; from < n && runs > 0; from += size {
			to := min(from+size, n)
			gone := 0
			for i := from; i < to; i++ {
				if !out[i] {
					gone++
				}
			}
			if gone == 0 {
				continue
			}
			runs--
			if fails(from, to) {
				for i := from; i < to; i++ {
					out[i] = true
				}
				left -= gone
			}
		}
	}
	return func(i int) bool { return i < n && out[i] }, left, n
}
