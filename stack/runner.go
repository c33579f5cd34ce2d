package stack

// Runner is an App whose callbacks run outside the group, so that a slow one
// holds up nobody else. What the group told the App waits until the driver has
// time for it:
//
//	for app.Take() { // with the group locked
//		app.Run() // without
//		app.Done() // with
//	}
//
// The simulator runs the three in one go, or Run and Done later to play a slow
// application.
type Runner interface {
	App
	// Take takes the callbacks that wait and reports whether there were any.
	Take() bool
	// Run runs the callbacks taken. It may call back into the group through the
	// driver.
	Run()
	// Done tells the group what has been consumed.
	Done()
}
