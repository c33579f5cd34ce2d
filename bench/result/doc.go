// Package result is what benchmarks measure: points, each the values of some
// repetitions of one metric, with the values of a yardstick that were taken in
// between; latency histograms; the machine that it was measured on; the ways to
// print all that, and to compare two runs.
package result
