package clsvtest

import (
	"context"
	"time"

	"maestro/clsv"
	"maestro/stack"
	"maestro/stack/sim"
	"maestro/stack/trace"
)

// Start makes a cluster the clsv.Driver of its members.
func (c *Cluster) Start(o *clsv.GroupOptions, app stack.Runner) (clsv.Runtime, error) {
	r := &runtime{cluster: c}
	timed := app.(clsv.Timed)
	m, err := c.World.Add(o.Name, clsv.StackConfig(o), &application{app, timed, r})
	if err != nil {
		return nil, err
	}
	r.m = m
	fresh := c.lives[o.Name] == nil
	c.lives[o.Name] = r
	if fresh && len(c.parts) > 0 {
		c.split()
	}
	return r, nil
}

// runtime is one life of a member, as clsv sees it.
type runtime struct {
	cluster *Cluster
	m       *sim.Member
	running bool // callbacks run
	over    bool // it has ended as it should
	dead    bool // it has ended
	tasks   []*task
}

// Do runs f in the member's group.
func (r *runtime) Do(f func(g *stack.Group)) {
	r.m.Do(f)
	r.wake()
}

// Wait lets virtual time pass. A task gives its turn back meanwhile.
func (r *runtime) Wait(ctx context.Context, done <-chan struct{}, limit time.Duration) error {
	if limit == 0 {
		limit = time.Hour
	}
	closed := func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	if t := r.cluster.task; t != nil {
		end := r.cluster.Now() + limit
		t.wait(func() bool { return closed() || ctx.Err() != nil || r.cluster.Now() >= end })
	} else {
		r.cluster.World.WaitFor(limit, func() bool { return closed() || ctx.Err() != nil })
	}
	switch {
	case closed():
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return context.DeadlineExceeded
}

// Close ends the member's process.
func (r *runtime) Close() error {
	r.over = true
	if r.running {
		r.cluster.World.After(0, r.m.Close)
	} else {
		r.m.Close()
	}
	return nil
}

// application is a member as the simulator sees it.
type application struct {
	stack.Runner
	clsv.Timed
	r *runtime
}

// Entered tells the merge protocol whether the application uses the view.
func (a *application) Entered() bool {
	e, ok := a.Runner.(interface{ Entered() bool })
	return !ok || e.Entered()
}

// Exit notes that the member has left.
func (a *application) Exit(err error) {
	a.r.over = true
	a.Runner.Exit(err)
}

// Run runs callbacks.
func (a *application) Run() {
	a.r.running = true
	a.Runner.Run()
	a.r.running = false
	a.r.wake()
}

// Close is called when the member's process has ended.
func (a *application) Close() {
	if c, ok := a.Runner.(sim.Closer); ok {
		c.Close()
	}
	a.r.kill()
	if !a.r.over && !a.r.cluster.closing {
		a.r.over = true
		e := trace.Event{Kind: trace.Crash, Time: int64(a.r.cluster.World.Now()), P: a.r.m.Self}
		a.r.cluster.Record(&e)
	}
}
