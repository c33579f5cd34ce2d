// Package trace is the record of what the members of a group did and saw: the
// events of the specification's trace model, a recorder to hand them to, and
// the file that a member writes them into.
//
// A member's code fills an Event and calls Record; what becomes of it depends
// on the Recorder: Log keeps events in memory, Writer appends them to a file
// from which Reader gives them back, and the checker (package check) judges
// them as they come. Recording costs a call and a copy, so that it can stay on
// in tests and be switched on by operators.
package trace
