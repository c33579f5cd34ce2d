package kv

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/stack/check"
)

var seeds = flag.Uint64("seeds", 40, "how many histories of TestStorm")

// bench is a simulated cluster of stores.
type bench struct {
	t      *testing.T
	c      *clsvtest.Cluster
	quorum int
	chunk  int
	xfer   clsv.Xfer
	stores map[string]*Store
	events map[string][]Event
	names  []string // in the order of their making
}

func newBench(t *testing.T, seed uint64) *bench {
	b := &bench{t: t, stores: map[string]*Store{}, events: map[string][]Event{}, chunk: 64}
	b.c = clsvtest.NewConfig(seed, clsvtest.Config{
		Check: func(o *check.Options) { o.StateEqual = true }})
	t.Cleanup(func() {
		if err := b.c.Close(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	})
	return b
}

func load() (list []Entry, err error) {
	for i := range 20 {
		list = append(list, Entry{fmt.Sprintf("key-%02d", i), fmt.Sprintf("first value %d", i)})
	}
	return list, nil
}

// add makes a store that begins to join.
func (b *bench) add(name string, role clsv.Role) *Store {
	b.t.Helper()
	o := clsv.Options{Role: role, Xfer: b.xfer, GroupOptions: clsv.GroupOptions{Group: "test",
		Name: name, Quorum: b.quorum, Trace: b.c}}
	s, err := New(Options{Load: load, Chunk: b.chunk, Window: 2, Notify: func(e Event) {
		b.events[name] = append(b.events[name], e)
	}}, o, b.c)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := s.Member().StartJoin(); err != nil {
		b.t.Fatal(err)
	}
	if b.stores[name] == nil {
		b.names = append(b.names, name)
	}
	b.stores[name] = s
	return s
}

func (b *bench) settle(names ...string) {
	b.t.Helper()
	if !b.c.Wait(20*time.Second, func() bool { return b.settled(names) }) {
		for _, n := range names {
			b.t.Logf("%s: ready %v, %v", n, b.stores[n].Ready(), b.stores[n].View())
		}
		b.t.Fatalf("%v are not in one view, or not ready", names)
	}
}

func (b *bench) settled(names []string) bool {
	var id clsv.ViewID
	for i, n := range names {
		v := b.stores[n].View()
		if v == nil || len(v.Members) != len(names) || !b.stores[n].Ready() || i > 0 && v.ID != id {
			return false
		}
		id = v.ID
	}
	return true
}

// wait runs until an update is done.
func (b *bench) wait(u *Update) (bool, error) {
	b.t.Helper()
	if !b.c.Wait(20*time.Second, func() bool { return closed(u.Done()) }) {
		b.t.Fatalf("update of %s has no end", u.key)
	}
	return u.Result()
}

// inquire has a store ask a server, in virtual time.
func (b *bench) inquire(s *Store, what uint8, key string) string {
	b.t.Helper()
	a := s.startAsk(what, key)
	if !b.c.Wait(20*time.Second, func() bool { return closed(a.done) }) {
		b.t.Fatal("no answer")
	}
	if a.err != nil {
		b.t.Error(a.err)
	}
	return string(a.body)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (s *Store) entries() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.have {
		return nil
	}
	return s.t.entries()
}

// same checks that all servers hold the same map, and returns it.
func (b *bench) same(names ...string) map[string]string {
	b.t.Helper()
	b.c.Run(10 * time.Millisecond) // what one has acknowledged may be on its way to the other
	first := b.stores[names[0]].entries()
	for _, n := range names[1:] {
		if other := b.stores[n].entries(); !slices.Equal(first, other) {
			b.t.Errorf("%s has %v\n%s has %v", names[0], first, n, other)
		}
	}
	m := map[string]string{}
	for _, e := range first {
		m[e.Key] = e.Value
	}
	return m
}

func TestSetGetDelete(t *testing.T) {
	b := newBench(t, 1)
	b.add("a", clsv.Server)
	b.add("b", clsv.Server)
	c := b.add("c", clsv.Client)
	b.settle("a", "b", "c")
	for _, s := range []*Store{c, b.stores["a"], b.stores["b"]} {
		if was, err := b.wait(s.StartSet("x", "1")); was != (s != c) || err != nil {
			t.Error(was, err)
		}
	}
	if was, err := b.wait(c.StartDelete("key-00")); !was || err != nil {
		t.Error(was, err)
	}
	if was, err := b.wait(c.StartDelete("key-00")); was || err != nil {
		t.Error(was, err)
	}
	if got := b.same("a", "b"); len(got) != 20 || got["x"] != "1" {
		t.Error(got)
	}
	if _, err := b.wait(c.StartSet(string(make([]byte, MaxKey+1)), "")); err != ErrTooLarge {
		t.Error(err)
	}
	want, _ := json.Marshal(b.stores["a"].t.digest())
	if got := b.inquire(c, askDigest, ""); got != string(want) {
		t.Errorf("%s, want %s", got, want)
	}
	list := newTable()
	if _, err := list.restore(strings.NewReader(b.inquire(c, askDump, ""))); err != nil ||
		!slices.Equal(list.entries(), b.stores["b"].entries()) {
		t.Error(list.entries(), err)
	}
	if got := b.inquire(c, askGet, "key-01"); got != "\x01first value 1" {
		t.Errorf("%q", got)
	}
	if got := b.inquire(c, askGet, "key-00"); got != "\x00" {
		t.Errorf("%q", got)
	}
}

// write has a store write without end, several updates at a time; the result
// tells what was acknowledged last for each key.
func (b *bench) write(s *Store, until func() bool) (acked map[string]string) {
	acked = map[string]string{}
	var flight []*Update
	for i := 0; !until(); i++ {
		flight = append(flight, s.StartSet(fmt.Sprintf("%s-%02d", s.r.Endpoint().Name, i%40),
			fmt.Sprintf("write %d", i)))
		b.c.Run(300 * time.Microsecond)
		flight = b.reap(flight, acked)
	}
	for _, u := range flight {
		if _, err := b.wait(u); err != nil {
			b.t.Errorf("%s: %v", u.key, err)
		}
	}
	b.reap(flight, acked)
	return acked
}

func (b *bench) reap(flight []*Update, acked map[string]string) []*Update {
	for len(flight) > 0 {
		select {
		case <-flight[0].Done():
			if _, err := flight[0].Result(); err == nil {
				acked[flight[0].key] = flight[0].value
			}
			flight = flight[1:]
			continue
		default:
		}
		break
	}
	return flight
}

func (b *bench) holds(got, acked map[string]string) {
	b.t.Helper()
	for k, v := range acked {
		if got[k] != v {
			b.t.Errorf("%s is %q, and %q was acknowledged", k, got[k], v)
		}
	}
}

// The updates that come during a transfer are applied exactly once, with each
// type of transfer.
func TestTransferUnderLoad(t *testing.T) {
	for _, xfer := range []clsv.Xfer{clsv.FreeXfer, clsv.ProtectedXfer, clsv.AtomicXfer} {
		for seed := range uint64(5) {
			b := newBench(t, seed)
			b.xfer = xfer
			b.add("a", clsv.Server)
			c := b.add("c", clsv.Client)
			b.settle("a", "c")
			joined := false
			acked := b.write(c, func() bool {
				if !joined && len(b.stores["a"].entries()) > 35 {
					joined = true
					b.add("b", clsv.Server)
				}
				return joined && b.stores["b"].Ready()
			})
			b.settle("a", "b", "c")
			b.holds(b.same("a", "b"), acked)
			i := slices.IndexFunc(b.events["b"], func(e Event) bool { return e.What == Restored })
			if i < 0 || b.events["b"][i].Bytes < 500 {
				t.Error(b.events["b"])
			}
		}
	}
}

// A newcomer whose source dies gets the state from another.
func TestSourceDies(t *testing.T) {
	for seed := range uint64(10) {
		b := newBench(t, seed)
		b.add("a", clsv.Server)
		b.add("b", clsv.Server)
		c := b.add("c", clsv.Client)
		b.settle("a", "b", "c")
		n := b.add("n", clsv.Server)
		if !b.c.Wait(5*time.Second, func() bool { return n.r.Member.Stats().BytesIn > 150 }) {
			t.Fatal("no transfer")
		}
		source := ""
		for _, e := range b.events["n"] {
			if e.What == Transferring {
				source = e.Source.Name
			}
		}
		b.c.Crash(source)
		acked := b.write(c, n.Ready)
		left := slices.DeleteFunc([]string{"a", "b", "n", "c"},
			func(s string) bool { return s == source })
		b.settle(left...)
		b.holds(b.same(left[0], left[1]), acked)
		if got := n.entries(); len(got) < 20 {
			t.Error(got)
		}
	}
}

// When the last server with the state dies, the newcomer goes on with what it
// has got of it.
func TestPromoted(t *testing.T) {
	b := newBench(t, 1)
	b.add("a", clsv.Server)
	c := b.add("c", clsv.Client)
	b.settle("a", "c")
	n := b.add("n", clsv.Server)
	b.c.Wait(5*time.Second, func() bool { return n.r.Member.Stats().BytesIn > 150 })
	b.c.Crash("a")
	b.settle("n", "c")
	if got := len(n.entries()); got == 0 || got >= 20 {
		t.Errorf("%d entries", got)
	}
	if _, err := b.wait(c.StartSet("x", "1")); err != nil {
		t.Error(err)
	}
	is := func(e Event) bool { return e.What == Promoted }
	if !slices.ContainsFunc(b.events["n"], is) {
		t.Error("not told")
	}
}

// A minority refuses updates, and gets the majority's state.
func TestQuorum(t *testing.T) {
	b := newBench(t, 1)
	b.quorum = 3
	for _, n := range []string{"a", "b", "d"} {
		b.add(n, clsv.Server)
	}
	c := b.add("c", clsv.Client)
	b.settle("a", "b", "c", "d")
	b.c.Partition([]string{"a"}, []string{"b", "c", "d"})
	if !b.c.Wait(5*time.Second, func() bool { return len(b.stores["a"].View().Members) == 1 }) {
		t.Fatal("not alone")
	}
	if _, err := b.wait(b.stores["a"].StartSet("x", "lost")); !errors.Is(err, ErrNoQuorum) {
		t.Error(err)
	}
	if _, err := b.wait(c.StartSet("x", "kept")); err != nil {
		t.Error(err)
	}
	b.c.Heal()
	b.settle("a", "b", "c", "d")
	if got := b.same("a", "b", "d"); got["x"] != "kept" {
		t.Error(got)
	}
	if _, err := b.wait(b.stores["a"].StartSet("y", "1")); err != nil {
		t.Error(err)
	}
}

// A server that dies with an acknowledgement under way does not make an update
// happen twice: deletes tell what was there.
func TestOnce(t *testing.T) {
	for k := 1; k <= 24; k++ {
		b := newBench(t, uint64(k))
		b.add("a", clsv.Server)
		b.settle("a")
		b.add("b", clsv.Server)
		c := b.add("c", clsv.Client)
		b.settle("a", "b", "c")
		b.c.CrashAt("a", k, k%2 == 0)
		for i := range 10 {
			key := fmt.Sprintf("key-%02d", i)
			if was, err := b.wait(c.StartDelete(key)); !was || err != nil {
				t.Errorf("k = %d, %s: %v, %v", k, key, was, err)
			}
		}
		b.c.Run(time.Second) // one server has acknowledged, the other has it by now
		if got := len(b.stores["b"].entries()); got != 10 {
			t.Errorf("k = %d: %d entries", k, got)
		}
	}
}

// Leaving ends what waits.
func TestExit(t *testing.T) {
	b := newBench(t, 1)
	c := b.add("c", clsv.Client)
	b.settle("c")
	u := c.StartSet("x", "1") // there is no server
	b.c.Run(3 * time.Second)
	if err := c.Member().Leave(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.wait(u); err != ErrClosed {
		t.Error(err)
	}
	if _, err := c.Digest(context.Background()); err != ErrClosed {
		t.Error(err)
	}
	if _, err := b.wait(c.StartSet("x", "1")); err != ErrClosed {
		t.Error(err)
	}
}

// Whatever happens, servers agree in the end, and hold what the majority
// acknowledged.
func TestStorm(t *testing.T) {
	n := *seeds
	if testing.Short() {
		n /= 5
	}
	for seed := range n {
		storm(t, seed)
	}
}

func storm(t *testing.T, seed uint64) {
	b := newBench(t, seed)
	b.quorum = 4
	rnd := rand.New(rand.NewPCG(seed, 1))
	servers := []string{"a", "b", "d", "e"}
	for _, n := range servers {
		b.add(n, clsv.Server)
	}
	all := append(slices.Clone(servers), "c", "f")
	c := b.add("c", clsv.Client)
	b.add("f", clsv.Client)
	b.settle(all...)
	var victim string
	phase, end := 0, b.c.Now()
	acked := b.write(c, func() bool {
		if b.c.Now() < end {
			return false
		}
		switch phase++; phase % 2 {
		case 1:
			victim = servers[rnd.IntN(len(servers))]
			end = b.c.Now() + time.Duration(rnd.IntN(1500))*time.Millisecond
			switch rnd.IntN(3) {
			case 0:
				b.c.Partition([]string{victim}, slices.DeleteFunc(slices.Clone(all),
					func(n string) bool { return n == victim }))
			case 1:
				b.c.Pause(victim)
			case 2:
				b.c.Crash(victim)
				b.add(victim, clsv.Server)
			}
		case 0:
			b.c.Heal()
			b.c.Resume(victim)
			end = b.c.Now() + time.Duration(rnd.IntN(400))*time.Millisecond
			if rnd.IntN(2) == 0 { // let it come to an end
				b.settle(all...)
			}
		}
		return phase == 8
	})
	b.settle(all...)
	b.c.Run(time.Second)
	b.holds(b.same(servers...), acked)
	if t.Failed() {
		t.Fatalf("seed %d", seed)
	}
}

// After a sync, each server has what was acknowledged before.
func TestSync(t *testing.T) {
	b := newBench(t, 1)
	for _, n := range []string{"a", "b", "d"} {
		b.add(n, clsv.Server)
	}
	c := b.add("c", clsv.Client)
	b.settle("a", "b", "c", "d")
	for i := range 100 {
		s, want := b.stores[[]string{"a", "b", "d"}[i%3]], fmt.Sprint(i)
		if _, err := b.wait(c.StartSet("x", want)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.wait(s.StartSync()); err != nil {
			t.Fatal(err)
		}
		if got, _, err := s.Get(context.Background(), "x"); got != want || err != nil {
			t.Fatalf("%s, %v, want %s", got, err, want)
		}
	}
	if _, err := b.wait(c.StartSync()); err != nil {
		t.Error(err)
	}
}

// A question that is asked before there is a view is answered when there is.
func TestAskEarly(t *testing.T) {
	b := newBench(t, 1)
	a := b.add("a", clsv.Server)
	for _, s := range []*Store{a, b.add("n", clsv.Server)} {
		if got := b.inquire(s, askGet, "key-01"); got != "\x01first value 1" {
			t.Errorf("%q", got)
		}
	}
}
