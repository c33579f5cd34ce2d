package suite

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"maestro/bench/floor"
)

// ErrNoFaults says that a network cannot be disturbed: only namespaces can.
var ErrNoFaults = errors.New("suite: faults need --net ns")

// lab is what can be done to a network of namespaces. Members count from 1.
type lab interface {
	// in runs f on a thread in the namespace of member i.
	in(i int, f func()) error
	addr(i int) netip.Addr
	loss(permille int) error
	partition(groups [][]int) error // none heals
	link(i int, up bool) error
	close()
}

// network is where members' processes run.
type network struct {
	ctx   context.Context // ends with the run, or with a member that should not
	end   context.CancelCauseFunc
	o     *Options
	n     int
	lab   lab    // nil: loopback, or
	fleet *fleet // other machines
	iface string
	mtu   int
	turn  int // of other systems

	mu    sync.Mutex
	procs []*proc
}

// newNetwork makes a network for n members, with bursts that cross it as one
// packet or, as faults want it, cut into datagrams. It must be closed.
func newNetwork(ctx context.Context, o *Options, n int, bursts bool) (*network, error) {
	w := &network{o: o, n: n, iface: "eth0", mtu: o.MTU}
	w.ctx, w.end = context.WithCancelCause(ctx)
	if w.mtu == 0 {
		w.mtu = 1500
	}
	if o.plan != nil && o.plan.dry {
		o.plan.whole.About += time.Duration(n) * spaceCost
		return w, nil
	}
	if o.Net == Machines {
		if n > len(o.Hosts) {
			w.end(nil)
			return w, fmt.Errorf("suite: %d members need as many hosts, not %d", n, len(o.Hosts))
		}
		if w.fleet = o.fleet; o.MTU == 0 {
			w.mtu = w.fleet.mtu
		}
		return w, nil
	}
	if o.Net == Namespaces {
		var err error
		if w.lab, err = newLab(n, w.mtu, bursts); err != nil {
			w.end(nil)
		}
		return w, err
	}
	var err error
	if w.iface, w.mtu, err = loopback(); err != nil {
		w.end(nil)
	}
	return w, err
}

// loopback finds the loopback interface.
func loopback() (name string, mtu int, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return "", 0, fmt.Errorf("suite: %w", err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 {
			return i.Name, i.MTU, nil
		}
	}
	return "", 0, errors.New("suite: there is no loopback interface")
}

// start starts a process of member i.
func (w *network) start(i int, kind, arg string) (*proc, error) {
	if w.fleet != nil {
		return w.launch(i, w.fleet.member(i, kind, arg))
	}
	return w.launch(i, w.o.Command(kind, arg))
}

// launch starts a command on the host of member i.
func (w *network) launch(i int, made *exec.Cmd) (*proc, error) {
	if w.ctx.Err() != nil {
		return nil, context.Cause(w.ctx)
	}
	cmd := exec.CommandContext(w.ctx, made.Path)
	cmd.Args, cmd.Env, cmd.Dir = made.Args, made.Env, made.Dir
	p, err := run(cmd, i, func(cmd *exec.Cmd) (err error) {
		if w.lab == nil {
			return start(cmd, w.cpu(i))
		}
		return errors.Join(w.lab.in(i, func() { err = start(cmd, w.cpu(i)) }), err)
	})
	if err != nil {
		return nil, err
	}
	if w.fleet != nil {
		p.host = w.fleet.hosts[i-1].Name
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.procs = append(w.procs, p)
	return p, nil
}

// guard ends all that is under way on the network if a process ends that nobody
// has ended.
func (w *network) guard(p *proc) {
	<-p.done
	if !p.mortal.Load() {
		w.end(p.trouble("has ended by itself", p.err))
	}
}

// interfaceOf is the network interface of member i.
func (w *network) interfaceOf(i int) string {
	if w.fleet != nil {
		return w.fleet.hosts[i-1].Interface
	}
	return w.iface
}

// local is what this machine's clock showed when member i's showed t.
func (w *network) local(i int, t time.Time) time.Time {
	if w.fleet != nil {
		return t.Add(-w.fleet.at[w.fleet.hosts[i-1].Name].offset)
	}
	return t
}

// cpu is where member i belongs.
func (w *network) cpu(i int) int {
	switch {
	case w.fleet != nil:
	case w.o.Pin == OneCore:
		return 0
	case w.o.Pin == Spread:
		return (i - 1) % runtime.NumCPU()
	}
	return -1
}

// close ends all processes and takes the network away.
func (w *network) close() {
	w.end(nil)
	w.mu.Lock()
	procs := w.procs
	w.procs = nil
	w.mu.Unlock()
	for _, p := range procs {
		_ = p.cmd.Process.Kill()
	}
	for _, p := range procs {
		<-p.done
	}
	if w.lab != nil {
		w.lab.close()
	}
}

// forget drops a process that has ended.
func (w *network) forget(p *proc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.procs {
		if w.procs[i] == p {
			w.procs = append(w.procs[:i], w.procs[i+1:]...)
			return
		}
	}
}

// floor runs the floor on this network: its member m on the host m+1, or the
// last one on another.
func (w *network) floor(c floor.Config, last int) (floor.Result, error) {
	c.Interface, c.Group = w.iface, w.address(floorPort)
	c.Datagram = min(w.mtu, 1500) - 28
	c.Shared = w.fleet != nil && len(w.fleet.at) < len(w.fleet.hosts)
	c.Launch = func(ctx context.Context, m int, arg string) ([]byte, error) {
		host := m + 1
		if last > 0 && m > 0 {
			host = last
		}
		if w.fleet != nil {
			var err error
			if arg, err = w.fleet.withInterface(host, arg); err != nil {
				return nil, err
			}
		}
		p, err := w.start(host, "floor", arg)
		if err != nil {
			return nil, err
		}
		defer w.forget(p)
		select {
		case <-p.done:
		case <-ctx.Done():
			p.kill()
		}
		if p.err != nil {
			return nil, p.trouble("of the floor", p.err)
		}
		return p.output(), nil
	}
	var r floor.Result
	var err error
	for range floorTries {
		r, err = floor.Run(w.ctx, c)
		if err == nil && r.Stalls == 0 || w.ctx.Err() != nil {
			break
		}
	}
	if w.ctx.Err() != nil {
		return r, context.Cause(w.ctx)
	}
	if err == nil && r.Stalls > 0 {
		err = fmt.Errorf("suite: the floor has stalled in %d runs: the machine is too busy",
			floorTries)
	}
	return r, err
}

// A run of the floor in which credit has been lost, so that the sender has waited in vain,
// is no yardstick: it would flatter the stack. One that has lost more ends, since
// it repairs nothing. Either begins again.
const floorTries = 3

// settle lets what ended processes have left in the kernel's queues run out.
func (w *network) settle() {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-w.ctx.Done():
	}
}

// pid is what tells runs apart that share the loopback interface.
func pid() int { return os.Getpid() }
