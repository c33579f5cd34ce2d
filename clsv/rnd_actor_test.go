package clsv_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"maestro/clsv"
)

// actor is a member of a random run: a replicated state machine, watched by a
// witness. Its state is a hash over all Generic scasts, in their order where
// the group has one.
//
// It asks for the state at the beginning of the view in which it asks; what it
// receives from then on it keeps, and applies afterwards. When its source has
// gone it begins anew, in the view that tells so. A normal server keeps its
// state at the beginning of each view in which somebody transfers.
type actor struct {
	clsv.NopHandler
	witness
	c    *chaos
	name string
	m    *clsv.Member
	rnd  *rand.Rand // for what it does in callbacks
	o    clsv.Options

	state   uint64
	have    bool
	backlog [][]byte
	from    clsv.Endpoint // whom it has asked
	asked   clsv.ViewID   // in which view
	cuts    map[clsv.ViewID]uint64
	tries   int // grows with every transfer
}

func (a *actor) log(format string, args ...any) {
	if *rndSeed >= 0 {
		a.c.Logf("%9.6f %s: %s", a.c.c.Now().Seconds(), a.name, fmt.Sprintf(format, args...))
	}
}

func (a *actor) apply(msg []byte) {
	h := fnv.New64a()
	h.Write(msg)
	if a.o.Total { // the order counts
		a.state = a.state*1099511628211 ^ h.Sum64()
	} else {
		a.state += h.Sum64()
	}
}

func (a *actor) Block() {
	defer a.enter("Block")()
	a.log("block")
	a.block()
	if a.rnd.IntN(4) == 0 { // goes out in this view still
		_, _ = a.m.TryCast([]byte("b"))
	}
}

func (a *actor) AcceptedView(v *clsv.View, _ []byte) {
	defer a.enter("AcceptedView")()
	a.log("view %s", describe(v))
	a.accepted(v)
	if a.rnd.IntN(4) == 0 {
		_, _ = a.m.TryScast([]byte("gv"))
	}
	switch v.State {
	case clsv.ServerNormal:
		a.have = true
		if len(v.XferServers) > 0 {
			a.cuts[v.ID] = a.state
		} else {
			clear(a.cuts)
		}
	case clsv.ServerXfer:
		if v.StartXfer {
			a.tries++
			a.have, a.from, a.asked = false, clsv.Endpoint{}, clsv.ViewID{}
		}
		if !a.have && len(v.Servers) > 0 && !v.IsServer(a.from) {
			a.ask(v)
		}
	case clsv.BecomingServer:
		a.have = false
		if a.xfer != clsv.NoXfer { // it was given up
			a.c.c.World.After(20*time.Millisecond, func() { _ = a.m.RetryTransfer() })
		}
	}
}

// ask begins to get the state, from any server.
func (a *actor) ask(v *clsv.View) {
	a.from, a.asked, a.backlog = v.Servers[a.rnd.IntN(len(v.Servers))], v.ID, nil
	for _, e := range v.Servers {
		if e.Name == a.c.mute {
			a.from = e
		}
	}
	if a.c.lazy && a.rnd.IntN(8) == 0 || a.name == a.c.lazyOne {
		return // to be given up
	}
	if err := a.m.AskState(a.from, cut(v.ID)); err != nil {
		a.log("ask: %v", err)
	}
}

// cut names the beginning of a view.
func cut(id clsv.ViewID) []byte {
	b := binary.LittleEndian.AppendUint64(nil, id.Ltime)
	b = binary.LittleEndian.AppendUint64(b, id.Coord.Incarnation)
	return append(b, id.Coord.Name...)
}

func uncut(b []byte) clsv.ViewID {
	return clsv.ViewID{Ltime: binary.LittleEndian.Uint64(b), Coord: clsv.Endpoint{
		Incarnation: binary.LittleEndian.Uint64(b[8:]), Name: string(b[16:])}}
}

func (a *actor) AskState(o clsv.Endpoint, req []byte) {
	defer a.message("AskState", o)()
	a.log("ask of %v for %v", o, uncut(req))
	state, ok := a.cuts[uncut(req)]
	if !ok || a.name == a.c.mute {
		return // a view that this server has skipped; the deadline helps
	}
	err := a.m.SendState(o, append(binary.LittleEndian.AppendUint64(nil, state), req...))
	if err != nil {
		a.log("send state: %v", err)
	}
}

func (a *actor) RcvState(o clsv.Endpoint, b []byte) {
	defer a.message("RcvState", o)()
	a.log("state from %v", o)
	if a.have || uncut(b[8:]) != a.asked {
		return
	}
	a.have, a.state = true, binary.LittleEndian.Uint64(b)
	for _, msg := range a.backlog {
		a.apply(msg)
	}
	a.backlog = nil
	if a.rnd.IntN(2) == 0 {
		a.finish(a.tries)
		return
	}
	tries := a.tries
	a.c.c.World.After(time.Duration(a.rnd.IntN(100))*time.Millisecond, func() { a.finish(tries) })
}

// finish ends the transfer with a number, if it still runs.
func (a *actor) finish(tries int) {
	if tries == a.tries && a.have && a.m.State() == clsv.ServerXfer {
		err := a.m.XferDone()
		if a.in == "" && errors.Is(err, clsv.ErrNotInTransfer) {
			return // it begins again, as AcceptedView is about to tell
		}
		if err != nil {
			a.fail("XferDone: %v", err)
		}
		a.log("done")
		a.done, a.raced = true, a.in == ""
	}
}

func (a *actor) ReceiveScast(o clsv.Endpoint, msg []byte) {
	defer a.message("ReceiveScast", o)()
	if msg[0] != 'g' {
		return
	}
	switch a.last.State {
	case clsv.ServerNormal, clsv.ServerXfer, clsv.ServerXferDone:
		if a.have {
			a.apply(msg)
		} else {
			a.backlog = append(a.backlog, append([]byte(nil), msg...))
		}
	}
}

func (a *actor) ReceiveCast(o clsv.Endpoint, _ []byte)  { a.message("ReceiveCast", o)() }
func (a *actor) ReceiveLsend(o clsv.Endpoint, _ []byte) { a.message("ReceiveLsend", o)() }
func (a *actor) ReceiveSend(o clsv.Endpoint, _ []byte)  { a.message("ReceiveSend", o)() }
func (a *actor) Dropped(clsv.Dropped)                   { a.enter("Dropped")() }

func (a *actor) Degraded(d clsv.Degraded) {
	defer a.enter("Degraded")()
	a.log("degraded %v", d.Err)
	a.degraded = &d
}

func (a *actor) Exit(err error) {
	defer a.enter("Exit")()
	a.log("exit %v", err)
	a.exited = true
	a.have, a.state, a.backlog = false, 0, nil
	a.tries++
	clear(a.cuts)
}

// StateHash shows the state to the checker.
func (a *actor) StateHash() uint64 {
	if a.have && a.c.equal {
		return a.state | 1<<63
	}
	return 0
}

// exchangingActor is an actor that exchanges state messages.
type exchangingActor struct{ *actor }

func (x exchangingActor) ChangingView(v *clsv.View) []byte {
	defer x.enter("ChangingView")()
	x.log("changing %s", describe(v))
	x.proposed(v)
	if !x.c.calm && x.rnd.IntN(10) == 0 { // so that this view may never be accepted
		n := v.Members[x.rnd.IntN(len(v.Members))].Name
		x.c.c.World.After(time.Duration(x.rnd.IntN(300))*time.Microsecond, func() {
			if !x.c.calm && x.c.up(n) {
				x.c.c.Crash(n)
				x.c.make(n)
			}
		})
	}
	return []byte(x.name)
}

func (x exchangingActor) ProposeView(v *clsv.View, msgs [][]byte) []byte {
	defer x.enter("ProposeView")()
	x.proposed(v)
	if len(msgs) != len(v.Members) || v.MyRank != 0 {
		x.fail("ProposeView of %v with %d messages", v, len(msgs))
	}
	return []byte("v" + x.name)
}
