package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// The ports of the adapters, new ones each time: what is left of the connections
// before is not met.
const (
	peerPort  = 18000
	peerPorts = 64
	peerTurns = 200
)

// pingTime is when a system's round trips end, however many there were.
const pingTime = 3 * time.Second

// peerTime is what a system gets to start, beyond what it has to do.
const peerTime = 40 * time.Second

// peer has one system do a job: its members are started, and ended.
func (w *network) peer(o *other, j *job) (got outcome, err error) {
	w.turn++
	procs := make([]*proc, j.members)
	defer func() {
		for _, p := range procs {
			if p != nil {
				p.kill()
				w.forget(p)
			}
		}
		w.settle()
	}()
	for i := range procs {
		cmd := exec.Command(o.command[0], slices.Concat(o.command[1:], w.peerArgs(i+1, j))...)
		if procs[i], err = w.launch(i+1, cmd); err != nil {
			return got, err
		}
	}
	for _, p := range procs {
		if _, err := p.wait(w.ctx, "READY", peerTime, nil); err != nil {
			return got, skipped(procs, err)
		}
	}
	if o.Version == "" {
		if f, err := procs[0].wait(w.ctx, "ABOUT", time.Second, nil); err == nil {
			_ = json.Unmarshal([]byte(f[0]), o.System)
		}
	}
	if err := procs[0].say("go"); err != nil {
		return got, err
	}
	if j.mode == "ping" {
		return result1(w.ctx, procs[0])
	}
	return outcomes(w.ctx, procs, j)
}

// skipped is why a system does not do something, in its own words if it has said.
func skipped(procs []*proc, err error) error {
	for _, p := range procs {
		if f, _ := p.search("SKIP", nil); f != nil {
			return errors.New(f[0])
		}
	}
	return err
}

// outcomes is the slowest receiver's, with how much was sent.
func outcomes(ctx context.Context, procs []*proc, j *job) (least outcome, err error) {
	f, err := procs[0].wait(ctx, "SENT", j.d+peerTime, nil)
	if err != nil {
		return least, err
	}
	for i, p := range procs[1:] {
		if err := p.say("end %s", f[0]); err != nil {
			return least, err
		}
		got, err := result1(ctx, p)
		if err != nil {
			return least, err
		}
		rate := func(o outcome) float64 { return float64(o.Count) / max(o.Seconds, 1e-9) }
		if i == 0 || rate(got) < rate(least) {
			least = got
		}
	}
	least.Sent = number(f[0])
	return least, nil
}

func result1(ctx context.Context, p *proc) (got outcome, err error) {
	f, err := p.wait(ctx, "RESULT", peerTime, nil)
	if err == nil {
		err = json.Unmarshal([]byte(f[0]), &got)
	}
	return got, err
}

// peerArgs is the arguments of an adapter.
func (w *network) peerArgs(i int, j *job) []string {
	hosts := make([]string, j.members)
	for k := range hosts {
		hosts[k] = "127.0.0.1"
		if w.lab != nil {
			hosts[k] = w.lab.addr(k + 1).String()
		}
	}
	port := peerPort + w.turn%peerTurns*peerPorts
	return []string{fmt.Sprint("member=", i), fmt.Sprint("members=", j.members), "mode=" + j.mode,
		fmt.Sprint("size=", j.size), fmt.Sprint("ms=", j.d.Milliseconds()),
		fmt.Sprint("count=", j.count), fmt.Sprint("port=", port), "iface=" + w.iface,
		"group=" + w.address(0).Addr().String(), "hosts=" + strings.Join(hosts, ",")}
}
