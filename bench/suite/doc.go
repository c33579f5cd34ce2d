// Package suite is the benchmark suite: it builds a network of members, each a
// process of its own, has them work, and measures what they do beside the floor
// in the same minute. 'maestro bench' is its command; docs/benchmarks.md says
// what each benchmark measures.
//
// Whatever is started ends with the process that runs the suite: processes by
// the kernel, when the one that has started them ends, and namespaces with the
// last descriptor. There are no files.
package suite
