package clsvtest

import (
	goruntime "runtime"
	"time"

	"maestro/stack"
)

// task is a goroutine of an application that takes turns with the simulation:
// one of the two runs at a time, so that everything still follows from the seed.
type task struct {
	r     *runtime
	turn  chan bool     // the task may run; false: it is to end
	back  chan struct{} // the simulation may
	ready func() bool   // what the task waits for; nil at its beginning
	looks int           // counts looks on the agenda; the last one counts
	ended bool
}

// poll is how often a task that waits is looked at, since nobody tells when a
// context or a limit is over.
const poll = time.Millisecond

// Go runs f as a task.
func (r *runtime) Go(f func()) {
	t := &task{r: r, turn: make(chan bool), back: make(chan struct{})}
	r.tasks = append(r.tasks, t)
	go func() {
		defer func() {
			t.ended = true
			t.back <- struct{}{}
		}()
		if <-t.turn {
			f()
		}
	}()
	t.look(0)
}

// look has the task run, when d has passed, if it is ready then. It runs within
// a turn of its member, and like its process: not while that is stopped.
func (t *task) look(d time.Duration) {
	t.looks++
	n := t.looks
	t.r.cluster.World.After(d, func() {
		switch {
		case n != t.looks || t.ended:
		case t.ready != nil && !t.ready():
			t.look(poll)
		default:
			t.r.m.Do(func(*stack.Group) {
				if n == t.looks && !t.ended {
					t.step(true)
				}
			})
		}
	})
}

// step gives the task a turn.
func (t *task) step(alive bool) {
	c := t.r.cluster
	was := c.task
	c.task = t
	t.turn <- alive
	<-t.back
	c.task = was
}

// wait gives the turn back until ready.
func (t *task) wait(ready func() bool) {
	t.ready = ready
	for !ready() {
		if t.r.dead {
			goruntime.Goexit()
		}
		t.look(poll)
		t.back <- struct{}{}
		if !<-t.turn {
			goruntime.Goexit()
		}
	}
}

// wake looks after the tasks that have become ready.
func (r *runtime) wake() {
	kept := r.tasks[:0]
	for _, t := range r.tasks {
		if !t.ended {
			kept = append(kept, t)
		}
	}
	clear(r.tasks[len(kept):])
	r.tasks = kept
	for _, t := range r.tasks {
		if t != r.cluster.task && t.ready != nil && t.ready() {
			t.look(0)
		}
	}
}

// kill ends the tasks of a process that has ended. Those of one that has ended
// as it should go on until they have to wait. Deferred calls run.
func (r *runtime) kill() {
	r.dead = true
	for _, t := range r.tasks {
		if t != r.cluster.task && !t.ended {
			t.step(r.over && t.ready != nil && t.ready())
		}
	}
	r.tasks = nil
}

// Go runs f as a goroutine of a member's process. It takes turns with everything
// else. What waits is allowed in it, if it is a call of that member, such as Cast
// or Wait; in f nothing else may wait.
func (c *Cluster) Go(name string, f func()) { c.lives[name].Go(f) }
