package request_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/clsv/once"
	"maestro/clsv/request"
)

const ms = time.Millisecond

// node is a member with a service: a ledger of the requests that it has
// executed. As a server it transfers the ledger.
type node struct {
	clsv.NopHandler
	name string
	m    *clsv.Member
	d    *request.Dispatcher

	ledger
	have    bool
	backlog []*request.Request
	snaps   map[clsv.Endpoint][]byte
	from    clsv.Endpoint
	got     []string                                 // messages that are not requests
	mute    bool                                     // answers nothing
	later   []*request.Request                       // what it has not answered
	serve   func(r *request.Request) ([]byte, error) // instead of the ledger
	quorum  bool                                     // refuses outside of primary views
	view    *clsv.View
	block   func()
	hoard   bool // does not answer AskState
	exit    bool
}

// ledger is the replicated state.
type ledger struct {
	done  []string
	times map[string]int
	table *once.Table
}

func newLedger() ledger {
	return ledger{times: map[string]int{}, table: once.New(once.Limits{Sessions: 3})}
}

func (l *ledger) apply(r *request.Request) []byte {
	s := string(r.Data)
	l.done = append(l.done, s)
	l.times[s]++
	return []byte("did " + s)
}

func (l *ledger) snapshot() []byte {
	b := binary.AppendUvarint(nil, uint64(len(l.done)))
	for _, s := range l.done {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return l.table.AppendSnapshot(b)
}

func (l *ledger) restore(b []byte) error {
	*l = newLedger()
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[n:]
		return v
	}
	for n := next(); n > 0; n-- {
		k := next()
		s := string(b[:k])
		b = b[k:]
		l.done = append(l.done, s)
		l.times[s]++
	}
	return l.table.Restore(b)
}

var errNotPrimary = errors.New("not primary")

const errRefused request.Type = "refused"

func (n *node) answer(r *request.Request) ([]byte, error) {
	switch {
	case n.serve != nil:
		return n.serve(r)
	case n.quorum && !n.view.Primary:
		return nil, errNotPrimary
	case !n.have:
		n.backlog = append(n.backlog, &request.Request{ID: r.ID, Data: slices.Clone(r.Data)})
		return nil, nil // it is not sent
	}
	return request.Once(n.table, n.apply)(r)
}

// serveLater answers at once, or keeps the request.
func (n *node) serveLater(r *request.Request) {
	if n.mute {
		n.later = append(n.later, r)
		return
	}
	_ = r.Reply(n.answer(r))
}

func (n *node) AcceptedView(v *clsv.View, _ []byte) {
	n.view = v
	if v.StartXfer {
		n.ledger, n.backlog, n.have, n.from = newLedger(), nil, false, clsv.Endpoint{}
	}
	if v.State == clsv.ServerXfer && len(v.Servers) > 0 && !v.IsServer(n.from) {
		n.from = v.Servers[0]
		_ = n.m.AskState(n.from, nil)
	}
	if v.State == clsv.ServerNormal {
		n.have = true
		for i, e := range v.XferServers {
			if v.XferStarts[i] == v.ID.Ltime {
				n.snaps[e] = n.snapshot()
			}
		}
	}
}

func (n *node) AskState(e clsv.Endpoint, _ []byte) {
	if !n.hoard {
		_ = n.m.SendState(e, n.snaps[e])
	}
}

func (n *node) RcvState(_ clsv.Endpoint, b []byte) {
	if n.have {
		return
	}
	if err := n.restore(b); err != nil {
		panic(err)
	}
	n.have = true
	for _, r := range n.backlog {
		_, _ = request.Once(n.table, n.apply)(r)
	}
	n.backlog = nil
	_ = n.m.XferDone()
}

func (n *node) ReceiveCast(e clsv.Endpoint, msg []byte) {
	n.got = append(n.got, e.Name+":"+string(msg))
}

func (n *node) ReceiveSend(e clsv.Endpoint, msg []byte) { n.ReceiveCast(e, msg) }
func (n *node) Block() {
	if n.block != nil {
		n.block()
	}
}

func (n *node) Exit(error) { n.exit = true }

// lab is a simulated group of nodes.
type lab struct {
	*testing.T
	c     *clsvtest.Cluster
	n     map[string]*node
	later bool // nodes use ServeLater
}

func newLab(t *testing.T, seed uint64) *lab {
	l := &lab{T: t, c: clsvtest.New(seed), n: map[string]*node{}}
	t.Cleanup(func() {
		if err := l.c.Close(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	})
	return l
}

func (l *lab) add(name string, o clsv.Options, ro request.Options) *node {
	l.Helper()
	n := &node{name: name, ledger: newLedger(), snaps: map[clsv.Endpoint][]byte{}}
	if l.later {
		ro.ServeLater = n.serveLater
	} else {
		ro.Serve = n.answer
	}
	d, err := request.New(ro)
	if err != nil {
		l.Fatal(err)
	}
	o.Handler, o.Total = d.Wrap(n), true
	n.d, n.m = d, l.c.Add(name, o)
	d.Bind(n.m)
	if err := n.m.StartJoin(); err != nil {
		l.Fatal(err)
	}
	l.n[name] = n
	return n
}

func (l *lab) server(name string) *node {
	return l.add(name, clsv.Options{Role: clsv.Server, Xfer: clsv.FreeXfer}, request.Options{})
}

func (l *lab) client(name string) *node { return l.add(name, clsv.Options{}, request.Options{}) }

// group makes members, servers by capital names, and waits for one view.
func (l *lab) group(names ...string) {
	l.Helper()
	for _, n := range names {
		if strings.ToUpper(n) == n {
			l.server(n)
		} else {
			l.client(n)
		}
		l.settle()
	}
}

func (l *lab) settle() {
	l.Helper()
	l.until("settle", func() bool {
		var names []string
		servers := 0
		for name, n := range l.n {
			if s := n.m.State(); s != clsv.Initial && s != clsv.Leaving {
				names = append(names, name)
				if s >= clsv.BecomingServer {
					servers++
				}
			}
		}
		return l.c.Settled(0, names...) && len(l.n[names[0]].m.View().Servers) == servers
	})
}

func (l *lab) until(what string, ok func() bool) {
	l.Helper()
	if !l.c.Wait(10*time.Second, ok) {
		l.Fatalf("%s: not in time", what)
	}
}

// result is what became of a call.
type result struct {
	ended   int
	replies []request.Reply
	err     error
}

// call starts a call.
func (l *lab) call(from string, c request.Call) (*result, *request.Pending) {
	l.Helper()
	r := &result{}
	p, err := l.n[from].d.Start(c, func(replies []request.Reply, err error) {
		r.ended++
		r.replies, r.err = replies, err
	})
	if err != nil {
		l.Fatal(err)
	}
	return r, p
}

// expect waits for the end of a call and compares who has replied what.
func (l *lab) expect(r *result, err error, want ...string) {
	l.Helper()
	l.until("call", func() bool { return r.ended > 0 })
	var got []string
	for _, p := range r.replies {
		s := p.From.Name + ":" + string(p.Data)
		if p.Err != nil {
			s += "!" + p.Err.Error()
		}
		got = append(got, s)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) || !errors.Is(r.err, err) || r.ended != 1 {
		l.Errorf("ended %d times with %q %v, want %q %v", r.ended, got, r.err, want, err)
	}
}

func echo(n *node) func(*request.Request) ([]byte, error) {
	return func(r *request.Request) ([]byte, error) {
		return fmt.Appendf(nil, "%s got %s", n.name, r.Data), nil
	}
}

func (l *lab) echo() {
	for _, n := range l.n {
		n.serve = echo(n)
	}
}
