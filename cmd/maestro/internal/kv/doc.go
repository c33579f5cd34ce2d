// Package kv is a map from strings to strings that the servers of a group hold
// and keep equal: the machine that maestro's commands show, on package
// clsv/rsm, which does all that is difficult: order, exactly once, transfer of
// the state. Here is the map, and the questions that members without it ask.
//
// An update is acknowledged when two servers have applied it, or one if there is
// no other. It survives as long as one of those goes on in the primary view.
// With a quorum, servers without one refuse updates.
package kv
