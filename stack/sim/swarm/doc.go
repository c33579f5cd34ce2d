// Package swarm makes whole histories of a group from one seed each, and has
// the checker judge them.
//
// A seed decides how many members there are, which stack they run, how its
// limits and timeouts are set, what they send, which classes of faults there
// are and how often, and what happens in which order: members join, leave,
// crash, come back, stand still or are slow, the network loses, repeats and
// reorders, and falls apart in several ways. Much of it is aimed at view
// changes in progress. After this storm the network is whole again and nothing
// fails any more; then, within a bound that follows from the configuration, all
// members must be in one view, everything sent in it must have been delivered,
// and the group must be quiet.
//
// A run of a seed is always the same run:
//
//	r := swarm.Run(seed, swarm.Options{})
//	if !r.OK() {
//		swarm.Run(seed, swarm.Options{Trace: os.Stdout}) // look at it
//	}
//
// The counters of a Result tell which rare situations a run met. Over many
// seeds each of them should come up; what never comes up is not tested.
package swarm
