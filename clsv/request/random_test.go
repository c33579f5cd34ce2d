package request_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/once"
	"maestro/clsv/request"
)

var (
	histories = flag.Int("request.seeds", 100, "number of random histories")
	oneSeed   = flag.Int("request.seed", -1, "the only random history, if not negative")
)

// history is a random run of three servers and two clients that count things,
// each of which has a name of its own. Either servers and clients crash, one at
// a time; or they are paused and cut off from each other, and two servers have
// to answer. (Nothing without a disk survives both.)
type history struct {
	*lab
	seed  uint64
	rnd   *rand.Rand
	acked []string
	calls int
	ended int
	crash int
	open  map[*node]int // calls that have not ended
	cuts  bool          // pauses and partitions, no crashes
}

// forward is a service that any one server can be asked: it has all servers
// execute the request, in one order, and answers when it has done so itself.
type forward struct {
	*node
	pending map[string]*request.Request
}

// The forwarded message: identity, request.
func (f *forward) serveLater(r *request.Request) {
	if f.quorum && !f.view.Primary {
		_ = r.Reply(nil, errNotPrimary)
		return
	}
	id := r.ID.Append(nil)
	if r.Kind == clsv.Scast { // a request to all servers
		b, err := f.answer(r)
		_ = r.Reply(b, err)
		return
	}
	f.pending[string(id)] = r
	_, _ = f.m.TryScast(append(id, r.Data...), clsv.MsgOptions{Queue: true})
}

func (f *forward) ReceiveScast(_ clsv.Endpoint, msg []byte) {
	id, data, err := once.ParseID(msg)
	if err != nil {
		panic(err)
	}
	r := &request.Request{ID: id, Data: data}
	key := string(id.Append(nil))
	b, err := f.answer(r)
	if p := f.pending[key]; p != nil && f.have {
		delete(f.pending, key)
		p.Clock = f.table.Clock()
		_ = p.Reply(b, err)
	}
}

func (h *history) node(name string) {
	n := &node{name: name, ledger: newLedger(), snaps: map[clsv.Endpoint][]byte{}, quorum: true}
	f := &forward{n, map[string]*request.Request{}}
	o := clsv.Options{}
	if strings.ToUpper(name) == name {
		o.Role, o.Xfer = clsv.Server, clsv.FreeXfer
	}
	o.Total, o.Quorum = true, 4
	var err error
	if n.d, err = request.New(request.Options{ServeLater: f.serveLater}); err != nil {
		h.Fatal(err)
	}
	o.Handler = n.d.Wrap(f)
	n.m = h.c.Add(name, o)
	n.d.Bind(n.m)
	if err := n.m.StartJoin(); err != nil {
		h.Fatal(err)
	}
	h.lab.n[name] = n
}

// count has a client count something, by one of two ways.
func (h *history) count(client string) {
	h.calls++
	name := fmt.Sprintf("%s-%d", client, h.calls)
	c := request.Call{To: request.AllServers(), Collect: 2, Retry: true, Data: []byte(name)}
	if h.rnd.IntN(3) == 0 && !h.cuts {
		c = request.Call{Data: []byte(name)}
	}
	ended := false
	n := h.lab.n[client]
	h.open[n]++
	_, err := n.d.Start(c, func(r []request.Reply, err error) {
		if ended {
			h.Errorf("seed %d: %s ended twice", h.seed, name)
		}
		ended = true
		h.ended++
		h.open[n]--
		h.judge(name, r, err)
	})
	if err != nil {
		h.open[n]--
	}
	if err != nil && !errors.Is(err, clsv.ErrNotJoined) && !errors.Is(err, clsv.ErrWouldBlock) &&
		!errors.Is(err, clsv.ErrClosed) { // crashed, or paused
		h.Errorf("seed %d: %v", h.seed, err)
	}
}

// judge notes what has been acknowledged.
func (h *history) judge(name string, replies []request.Reply, err error) {
	good, wanted := 0, len(replies)
	for _, r := range replies {
		switch {
		case r.Err == nil && string(r.Data) != "did "+name:
			h.Errorf("seed %d: %s got the reply %q", h.seed, name, r.Data)
		case r.Err == nil:
			good++
		case errors.Is(r.Err, request.ErrMemberLeft):
		case strings.Contains(r.Err.Error(), errNotPrimary.Error()):
		case errors.Is(r.Err, request.ErrForgotten):
		default:
			h.Errorf("seed %d: %s got %v", h.seed, name, r.Err)
		}
	}
	if err == nil && good == wanted {
		h.acked = append(h.acked, name)
	}
}

// fault does something to the network or to a member.
func (h *history) fault() {
	all := []string{"A", "B", "C", "d", "e"}
	name := all[h.rnd.IntN(5)]
	switch k := h.rnd.IntN(10); {
	case !h.cuts:
		if v := h.lab.n["A"].m.View(); v == nil || len(v.Servers) < 3 || len(v.Members) < 5 {
			return // one at a time
		}
		h.crash++
		if k < 5 {
			h.c.CrashAt(name, 1+h.rnd.IntN(20), h.rnd.IntN(2) == 0)
		} else {
			h.c.Crash(name)
		}
		h.c.World.After(time.Duration(1+h.rnd.IntN(500))*ms, func() {
			h.c.Crash(name)
			h.node(name)
		})
	case k < 3:
		h.c.Heal()
	case k < 7:
		h.rnd.Shuffle(5, func(i, j int) { all[i], all[j] = all[j], all[i] })
		cut := 1 + h.rnd.IntN(2)
		h.c.Partition(all[:cut], all[cut:])
	default:
		h.c.Pause(name)
		h.c.World.After(time.Duration(h.rnd.IntN(800))*ms, func() { h.c.Resume(name) })
	}
}

func (h *history) run() {
	for _, n := range []string{"A", "B", "C", "d", "e"} {
		h.node(n)
	}
	h.settle()
	for range 60 {
		for range h.rnd.IntN(4) {
			h.count([]string{"d", "e"}[h.rnd.IntN(2)])
		}
		if h.rnd.IntN(6) == 0 {
			h.fault()
		}
		h.c.Run(time.Duration(h.rnd.IntN(60)) * ms)
	}
	h.c.Heal()
	h.c.Run(time.Second)
	h.settle()
	h.c.Run(500 * ms)
	for _, n := range []*node{h.lab.n["d"], h.lab.n["e"]} {
		if k := h.open[n]; k > 0 {
			h.Errorf("seed %d: %d calls of %s never end: %+v", h.seed, k, n.name, n.d.Stats())
		}
	}
	a := h.lab.n["A"]
	for _, name := range []string{"A", "B", "C"} {
		n := h.lab.n[name]
		for s, times := range n.times {
			if times != 1 {
				h.Errorf("seed %d: %s has counted %s %d times", h.seed, name, s, times)
			}
		}
		if !slices.Equal(n.done, a.done) || string(n.snapshot()) != string(a.snapshot()) {
			h.Errorf("seed %d: A and %s differ: %d, %d", h.seed, name, len(a.done), len(n.done))
		}
	}
	for _, s := range h.acked {
		if a.times[s] != 1 {
			h.Errorf("seed %d: %s was acknowledged and is lost", h.seed, s)
		}
	}
}

// TestRandomHistories: whatever happens, each increment that is acknowledged
// has been counted exactly once, each other one at most once, and nobody gets
// the reply to somebody else's.
func TestRandomHistories(t *testing.T) {
	from, to := 0, *histories
	if *oneSeed >= 0 {
		from, to = *oneSeed, *oneSeed+1
	}
	acked, calls, ended, retries, crashes := 0, 0, 0, uint64(0), 0
	for seed := from; seed < to && !t.Failed(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { // so that it gives its memory back
			h := &history{lab: newLab(t, uint64(seed)), seed: uint64(seed),
				rnd: rand.New(rand.NewPCG(uint64(seed), 9)), cuts: seed%2 == 1,
				open: map[*node]int{}}
			h.run()
			acked, calls, ended = acked+len(h.acked), calls+h.calls, ended+h.ended
			crashes += h.crash
			for _, n := range h.lab.n {
				retries += n.d.Stats().Retries
			}
		})
	}
	t.Logf("%d calls, %d ended, %d acknowledged, %d repeated, %d crashes", calls, ended, acked,
		retries, crashes)
	if to-from >= 20 && (retries == 0 || crashes == 0 || acked < calls/3) {
		t.Error("too little happens")
	}
}
