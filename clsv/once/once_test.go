package once_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"maestro/clsv/once"
	"maestro/wire"
)

func name(i int) wire.Endpoint { return wire.Endpoint{Name: fmt.Sprint("c", i), Incarnation: 7} }

func do(t *testing.T, x *once.Table, id once.ID, want string, wantErr error) {
	t.Helper()
	got, err := x.Do(id, func() []byte { return []byte(fmt.Sprint(id.Number)) })
	if string(got) != want || !errors.Is(err, wantErr) {
		t.Errorf("%v: %q %v, want %q %v", id, got, err, want, wantErr)
	}
}

// never fails a test that has a request executed.
func never(t *testing.T) func() []byte {
	return func() []byte { t.Error("executed again"); return nil }
}

func TestRepeat(t *testing.T) {
	x := once.New(once.Limits{})
	c := once.NewClient(name(1), 0)
	var ids []once.ID
	for range 3 {
		id, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	for _, i := range []int{0, 2, 1} { // out of order: the second went another way
		do(t, x, ids[i], fmt.Sprint(i+1), nil)
	}
	for i, id := range ids {
		if r, err := x.Do(id, never(t)); err != nil || string(r) != fmt.Sprint(i+1) {
			t.Errorf("%q %v", r, err)
		}
	}
	c.Done(2)
	c.Done(1)
	c.Done(1)
	id, _ := c.Next()
	if id.Acked != 2 {
		t.Errorf("%+v", id)
	}
	do(t, x, id, "4", nil)
	if _, err := x.Do(ids[1], never(t)); !errors.Is(err, once.ErrForgotten) {
		t.Error(err)
	}
	if r, err := x.Do(ids[2], never(t)); err != nil || string(r) != "3" {
		t.Errorf("%q %v", r, err)
	}
}

// TestForgottenClient has a client fall out of the table: what it repeats then
// is refused, what is new is done, and what is late is still refused.
func TestForgottenClient(t *testing.T) {
	x := once.New(once.Limits{Sessions: 1})
	a, b := once.NewClient(name(1), 0), once.NewClient(name(2), 0)
	first, _ := a.Next()
	do(t, x, first, "1", nil)
	id, _ := b.Next()
	do(t, x, id, "1", nil) // a falls out
	do(t, x, first, "", once.ErrForgotten)
	a.Learn(x.Clock())
	second, _ := a.Next() // the first is still outstanding
	do(t, x, second, "2", nil)
	do(t, x, first, "", once.ErrForgotten)
	do(t, x, second, "2", nil)

	c := once.NewClient(name(3), 0) // has not heard of a clock: nobody knows
	id, _ = c.Next()
	do(t, x, id, "", once.ErrForgotten)
	c.Done(id.Number)
	c.Learn(x.Clock())
	id, _ = c.Next()
	do(t, x, id, "2", nil)
	id.Number, id.Base = 3, 1000
	do(t, x, id, "", once.ErrForgotten) // of a table that was not ours
}

func TestBusy(t *testing.T) {
	c := once.NewClient(name(1), 2)
	for range 2 {
		if _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
	}
	c.Done(2)
	c.Done(9)
	if _, err := c.Next(); !errors.Is(err, once.ErrBusy) {
		t.Error(err)
	}
	c.Done(1)
	if id, err := c.Next(); err != nil || id.Number != 3 || id.Acked != 2 {
		t.Errorf("%+v %v", id, err)
	}
}

// TestForgedClock tells a client clocks that no table has: one refusal each time,
// and then it goes on.
func TestForgedClock(t *testing.T) {
	x := once.New(once.Limits{Sessions: 1})
	c, other := once.NewClient(name(1), 0), once.NewClient(name(2), 0)
	for _, forged := range []uint64{math.MaxUint64, 1 << 32, 1} {
		other.Learn(x.Clock())
		id, _ := other.Next() // the client falls out of the table
		do(t, x, id, fmt.Sprint(id.Number), nil)
		c.Learn(forged)
		id, _ = c.Next()
		do(t, x, id, "", once.ErrForgotten)
		c.Done(id.Number)
		c.Learn(x.Clock()) // comes with the refusal
		late := id
		id, _ = c.Next()
		do(t, x, id, fmt.Sprint(id.Number), nil)
		do(t, x, late, "", once.ErrForgotten)
	}
}

// TestClientMemory: whatever is said to be done, in any order, a client remembers
// less than a window.
func TestClientMemory(t *testing.T) {
	const window = 8
	c := once.NewClient(name(1), window)
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		_, _ = c.Next()
		c.Done(rnd.Uint64N(1 << rnd.IntN(18)))
		c.Learn(rnd.Uint64())
		if n := once.Remembered(c); n >= window {
			t.Fatalf("%d numbers of a window of %d", n, window)
		}
	}
}

func TestMalformed(t *testing.T) {
	x := once.New(once.Limits{})
	for _, id := range []once.ID{{}, {Number: 1, Acked: 1},
		{Number: 1, Client: wire.Endpoint{Name: string(make([]byte, wire.MaxName+1))}}} {
		if _, err := x.Do(id, never(t)); !errors.Is(err, once.ErrFormat) {
			t.Errorf("%v: %v", id, err)
		}
		if _, _, err := once.ParseID(id.Append(nil)); !errors.Is(err, once.ErrFormat) {
			t.Errorf("%v: %v", id, err)
		}
	}
	if x.Clock() != 0 || x.Len() != 0 {
		t.Error("it has left a trace")
	}
	y := once.New(once.Limits{Window: 1})
	if err := y.Restore(x.AppendSnapshot(nil)); !errors.Is(err, once.ErrLimits) {
		t.Error(err)
	}
}

// world is clients, the network that repeats their requests at any time, and
// replicas of a table; and who remembers everything.
type world struct {
	limits   once.Limits
	clients  []*once.Client
	out      []map[uint64]once.ID // per client, those not done
	sent     []once.ID
	replicas []*once.Table
	executed map[string]bool
}

func key(id once.ID) string { return fmt.Sprint(id.Client, id.Number) }

// do has all replicas execute a request, and returns what the first said.
func (w *world) do(t *rapid.T, id once.ID) error {
	var first error
	size := rapid.IntRange(0, 9).Draw(t, "size")
	for i, x := range w.replicas {
		ran := false
		r, err := x.Do(id, func() []byte {
			ran = true
			if i == 0 && w.executed[key(id)] {
				t.Fatalf("%+v executed twice", id)
			}
			return append(make([]byte, size), key(id)...)
		})
		if i == 0 {
			first = err
			w.executed[key(id)] = w.executed[key(id)] || ran
		} else if !errors.Is(err, first) {
			t.Fatalf("%v and %v", first, err)
		}
		if err == nil && !bytes.HasSuffix(r, []byte(key(id))) {
			t.Fatalf("%+v got %q", id, r)
		}
		if x.Len() > w.limits.Sessions || x.Bytes() > w.limits.Bytes && x.Len() > 1 {
			t.Fatalf("%d clients, %d bytes", x.Len(), x.Bytes())
		}
	}
	return first
}

func (w *world) step(t *rapid.T) {
	i := rapid.IntRange(0, len(w.clients)-1).Draw(t, "client")
	c := w.clients[i]
	switch rapid.SampledFrom([]string{"ask", "ask", "ask", "late", "done", "learn", "forge",
		"copy"}).Draw(t, "what") {
	case "ask":
		id, err := c.Next()
		if err != nil {
			return
		}
		w.out[i][id.Number] = id
		w.sent = append(w.sent, id)
		if rapid.IntRange(0, 3).Draw(t, "lost") > 0 {
			_ = w.do(t, id)
		}
	case "late": // whatever has been sent comes once more
		if len(w.sent) > 0 {
			_ = w.do(t, rapid.SampledFrom(w.sent).Draw(t, "which"))
		}
	case "done":
		if n := slices.Sorted(maps.Keys(w.out[i])); len(n) > 0 {
			d := rapid.SampledFrom(n).Draw(t, "number")
			c.Done(d)
			delete(w.out[i], d)
		}
	case "learn":
		c.Learn(w.replicas[0].Clock())
	case "forge":
		c.Learn(rapid.Uint64Range(1, 2*w.replicas[0].Clock()+1).Draw(t, "clock"))
	case "copy": // a replica is replaced by another, which gets the state
		b := w.replicas[0].AppendSnapshot(nil)
		x := once.New(w.limits)
		if err := x.Restore(b); err != nil {
			t.Fatal(err)
		}
		w.replicas = append(w.replicas[len(w.replicas)-1:], x)
	}
}

// TestTableProperties: no request is ever executed twice, replicas stay equal,
// the limits are kept.
func TestTableProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := once.Limits{Sessions: rapid.IntRange(1, 4).Draw(t, "sessions"),
			Window: rapid.IntRange(1, 4).Draw(t, "window"),
			Bytes:  rapid.IntRange(10, 300).Draw(t, "bytes")}
		w := &world{limits: l, executed: map[string]bool{},
			replicas: []*once.Table{once.New(l), once.New(l)}}
		for i := range rapid.IntRange(1, 6).Draw(t, "clients") {
			w.clients = append(w.clients, once.NewClient(name(i), l.Window))
			w.out = append(w.out, map[uint64]once.ID{})
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			w.step(t)
			a := w.replicas[0].AppendSnapshot(nil)
			if !bytes.Equal(a, w.replicas[1].AppendSnapshot(nil)) {
				t.Fatal("replicas differ")
			}
		}
	})
}

// TestWellBehaved: a client that is not forgotten has each of its requests
// executed, in whatever order they come, and its answers kept until it is done.
func TestWellBehaved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := rapid.IntRange(1, 5).Draw(t, "window")
		x := once.New(once.Limits{Window: window})
		c := once.NewClient(name(1), window)
		var out []once.ID
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			if id, err := c.Next(); err == nil {
				out = append(out, id)
			} else if len(out) == 0 {
				t.Fatal(err)
			}
			if len(out) == 0 {
				continue
			}
			k := rapid.IntRange(0, len(out)-1).Draw(t, "which")
			id := out[k]
			for range rapid.IntRange(1, 3).Draw(t, "times") {
				r, err := x.Do(id, func() []byte { return []byte(key(id)) })
				if err != nil || string(r) != key(id) {
					t.Fatalf("%+v: %q %v", id, r, err)
				}
			}
			if rapid.Bool().Draw(t, "done") {
				c.Done(id.Number)
				out = append(out[:k], out[k+1:]...)
			}
		}
	})
}

// FuzzTable restores any bytes, and asks what is left of them.
func FuzzTable(f *testing.F) {
	l := once.Limits{Sessions: 3, Window: 3, Bytes: 100}
	x := once.New(l)
	f.Add(x.AppendSnapshot(nil))
	for i := range 5 {
		c := once.NewClient(name(i), 0)
		c.Learn(x.Clock())
		for range 4 {
			id, _ := c.Next()
			_, _ = x.Do(id, func() []byte { return []byte("reply") })
		}
	}
	full := x.AppendSnapshot(nil)
	f.Add(full)
	f.Add(full[:len(full)-1])
	f.Add(once.ID{Client: name(1), Number: 300, Acked: 200, Base: 7}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		x := once.New(l)
		if err := x.Restore(full); err != nil {
			t.Fatal(err)
		}
		want := full
		if err := x.Restore(b); err == nil {
			want = b
		}
		if got := x.AppendSnapshot(nil); !bytes.Equal(got, want) {
			t.Fatalf("restored %q as %q", want, got)
		}
		if x.Len() > l.Sessions {
			t.Fatalf("%d clients", x.Len())
		}
		id, rest, err := once.ParseID(b)
		if err != nil {
			return
		}
		if got := append(id.Append(nil), rest...); !bytes.Equal(got, b) {
			t.Fatalf("id %q as %q", b, got)
		}
		_, _ = x.Do(id, func() []byte { return nil })
	})
}
