// Package check judges traces: it is fed with the events of the members of a
// group (package trace) and says which property of virtual synchrony or of the
// client/server layer they violate, with the members, the message, the view and
// what happened around.
//
// It works on-line inside a simulator, where every view is judged when its last
// member has left it and is then forgotten, and off-line on the files of several
// processes, where nothing is assumed about how their events interleave: only
// the order of events within one process counts, the rest follows from views
// and from send and delivery.
//
// A Checker gathers, for each view, what each member did in it, in dense
// arrays by rank and message; see view.go. What one member's events alone can
// show wrong is reported as they come (local.go, callbacks.go, delay.go,
// transfer.go, roles.go); the rest when the view is judged (judge.go), in time
// linear in the number of deliveries.
package check
