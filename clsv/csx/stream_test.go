package csx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/stack/sim"
)

// holder is a server whose state is bytes; newcomers load it.
func holder(data []byte) *app {
	a := &app{}
	a.snap = func(*clsv.View) io.WriterTo { return bytes.NewReader(data) }
	return a
}

// loader is a newcomer that reads the state whole, with pauses.
type loader struct {
	*app
	got   []byte
	runs  int
	pause time.Duration
	err   error
}

func newLoader() *loader {
	l := &loader{app: &app{}}
	l.transfer = func(ctx context.Context, x *Transfer) {
		l.err = x.Load(ctx, func(r io.Reader) error {
			l.runs++
			l.got = nil
			b := make([]byte, 777)
			for {
				n, err := r.Read(b)
				l.got = append(l.got, b[:n]...)
				if errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if l.pause > 0 {
					l.sleep(l.pause)
				}
			}
		})
		if l.err == nil {
			l.err = x.Done()
		}
	}
	l.snap = func(*clsv.View) io.WriterTo { return bytes.NewReader(l.got) }
	return l
}

func streamLab(t *testing.T, seed uint64, cfg clsvtest.Config) *lab {
	l := newLabOn(t, seed, cfg)
	l.opts.Chunk, l.opts.Window = 1000, 4
	return l
}

func (l *lab) same(got, want []byte) {
	l.Helper()
	if !bytes.Equal(got, want) {
		l.Errorf("%d bytes differ from the %d of the state", len(got), len(want))
	}
}

func TestStream(t *testing.T) {
	for _, n := range []int{0, 1, 999, 1000, 1001, 3000, 100_000} {
		l := streamLab(t, 1, clsvtest.Config{})
		data := state(n, 1)
		k := l.join("K", clsv.FreeXfer, holder(data))
		x := newLoader()
		l.join("X", clsv.ProtectedXfer, x.app)
		l.same(x.got, data)
		s, out := x.m.Stats(), k.m.Stats()
		if x.err != nil || x.runs != 1 || s.BytesIn != uint64(n) || out.BytesOut != uint64(n) {
			t.Errorf("%d: %v, %d runs, %+v", n, x.err, x.runs, s)
		}
	}
}

// What compresses is compressed when the network is slow.
func TestStreamCompressed(t *testing.T) {
	cfg := clsvtest.Config{Sim: sim.Options{Bandwidth: 1 << 20}}
	for _, text := range []bool{true, false} {
		l := streamLab(t, 1, cfg)
		data := state(400_000, 1)
		if text {
			data = bytes.Repeat([]byte("a line of text\n"), 30_000)
		}
		l.join("K", clsv.FreeXfer, holder(data))
		x := newLoader()
		l.join("X", clsv.FreeXfer, x.app)
		l.same(x.got, data)
		if s := x.m.Stats(); text != (s.WireIn < s.BytesIn/2) {
			t.Errorf("text %v: %d bytes as %d", text, s.BytesIn, s.WireIn)
		}
	}
}

// The source dies in the middle: another goes on, nothing comes twice.
func TestStreamResumed(t *testing.T) {
	for seed := range uint64(20) {
		l := streamLab(t, seed, clsvtest.Config{})
		data := state(200_000, seed)
		apps := []*app{l.join("A", clsv.FreeXfer, holder(data)), nil, nil}
		for i, n := range []string{"B", "C"} {
			y := newLoader()
			apps[i+1] = l.join(n, clsv.FreeXfer, y.app)
		}
		x := newLoader()
		x.pause = 100 * time.Microsecond
		l.start("X", clsv.FreeXfer, x.app)
		var src *app
		for k := range 2 {
			l.until("some of it", func() bool { return len(x.got) > 60_000*(k+1) })
			for _, a := range apps {
				if a.m.Endpoint() == x.xfers[0].Source() {
					src = a
				}
			}
			l.crash(src)
		}
		l.settle()
		l.same(x.got, data)
		s := x.m.Stats()
		if x.runs != 1 || s.Reasked != 2 || s.Restarted != 0 || s.BytesIn != uint64(len(data)) {
			t.Errorf("seed %d: %d runs, %+v", seed, x.runs, s)
		}
	}
}

// The sources' states are equal, but their bytes are not: reading begins again.
func TestStreamRestarted(t *testing.T) {
	l := streamLab(t, 1, clsvtest.Config{})
	one, two := state(100_000, 1), state(90_000, 2)
	a := l.join("A", clsv.FreeXfer, holder(one))
	b := l.join("B", clsv.FreeXfer, holder(two))
	x := newLoader()
	x.pause = 100 * time.Microsecond
	l.start("X", clsv.FreeXfer, x.app)
	l.until("some of it", func() bool { return len(x.got) > 50_000 })
	src, want := a, two
	if b.m.Endpoint() == x.xfers[0].Source() {
		src, want = b, one
	}
	l.crash(src)
	l.settle()
	l.same(x.got, want)
	if s := x.m.Stats(); x.runs != 2 || s.Restarted != 1 {
		t.Errorf("%d runs, %+v", x.runs, s)
	}
}

// Three newcomers ask three servers.
func TestStreamSpread(t *testing.T) {
	l := streamLab(t, 1, clsvtest.Config{})
	data := state(50_000, 1)
	var servers, fresh []*app
	for _, n := range []string{"A", "B", "C"} {
		servers = append(servers, l.join(n, clsv.FreeXfer, holder(data)))
	}
	for _, n := range []string{"X", "Y", "Z"} {
		x := newLoader()
		x.pause = time.Millisecond
		fresh = append(fresh, l.start(n, clsv.FreeXfer, x.app))
	}
	l.settle()
	for i, s := range servers {
		if s.m.Stats().BytesOut != uint64(len(data)) {
			t.Errorf("server %d sent %d bytes", i, s.m.Stats().BytesOut)
		}
	}
	for _, x := range fresh {
		if s := x.m.Stats(); s.Reasked != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// Chunks that arrive corrupt are got again, from elsewhere.
func TestStreamCorrupt(t *testing.T) {
	l := streamLab(t, 1, clsvtest.Config{})
	data := state(50_000, 1)
	for _, n := range []string{"A", "B"} {
		l.join(n, clsv.FreeXfer, holder(data))
	}
	x := newLoader()
	x.pause = time.Millisecond
	l.start("X", clsv.FreeXfer, x.app)
	l.until("some of it", func() bool { return len(x.got) > 10_000 })
	x.m.mu.Lock()
	for _, r := range x.m.xfer.reqs {
		r.queue.slots[r.queue.head].data[3] ^= 1
	}
	x.m.mu.Unlock()
	l.settle()
	l.same(x.got, data)
	if s := x.m.Stats(); x.runs != 1 || s.Corrupt != 1 {
		t.Errorf("%d runs, %+v", x.runs, s)
	}
}

// A server that has no copy says so.
func TestNoSnapshot(t *testing.T) {
	l := newLab(t)
	l.join("K", clsv.FreeXfer, &app{})
	x := newLoader()
	l.start("X", clsv.FreeXfer, x.app)
	l.until("error", func() bool { return x.err != nil })
	if !errors.Is(x.err, ErrRemote) {
		t.Error(x.err)
	}
	_ = x.xfers[0].Done()
	l.settle()
}

// closer is a copy that counts how often it is closed.
type closer struct {
	*bytes.Reader
	n *int
}

func (c closer) Close() error {
	*c.n++
	return nil
}

// Copies are made at the view's beginning and closed when the newcomers are done.
func TestSnapshotReleased(t *testing.T) {
	l := streamLab(t, 1, clsvtest.Config{})
	made, closed := 0, 0
	a := &app{}
	a.snap = func(v *clsv.View) io.WriterTo {
		made++
		if len(v.NewXferServers) == 0 {
			t.Error("nobody begins in", v)
		}
		return closer{bytes.NewReader(state(20_000, 1)), &closed}
	}
	l.join("A", clsv.FreeXfer, a)
	for _, n := range []string{"X", "Y"} {
		x := newLoader()
		x.pause = time.Millisecond
		l.start(n, clsv.FreeXfer, x.app)
	}
	l.until("copy", func() bool { return made > 0 })
	l.c.Run(5 * ms)
	if closed != 0 {
		t.Error("closed too early")
	}
	l.crash(l.apps["Y"])
	l.settle()
	l.c.Run(10 * ms)
	if made != closed || made > 2 {
		t.Errorf("%d made, %d closed", made, closed)
	}
}

// tally is a replicated state that has the order of all messages in it.
type tally struct {
	*app
	log  []byte
	slow time.Duration
}

func newTally(slow time.Duration) *tally {
	a := &tally{app: &app{}, slow: slow}
	a.receive = func(_ clsv.Endpoint, msg []byte) { a.log = append(a.log, msg...) }
	a.snap = func(*clsv.View) io.WriterTo { return bytes.NewReader(slices.Clone(a.log)) }
	a.accepted = func(v *clsv.View) {
		if v.StartXfer {
			a.log = nil
		}
	}
	a.transfer = func(ctx context.Context, x *Transfer) {
		var log []byte
		err := x.Load(ctx, func(r io.Reader) (err error) {
			log, err = io.ReadAll(r)
			return err
		})
		if err == nil {
			a.sleep(a.slow)
			a.log = log
			_ = x.Done()
		}
	}
	return a
}

// A copy and what is held back make the state: no gap, no duplicate, in many
// interleavings, with crashes of sources.
func TestXF17(t *testing.T) {
	runs := 1000
	if testing.Short() {
		runs = 50
	}
	for seed := range runs { // each a test of its own, so that none outlives its end
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { xf17(t, uint64(seed)) }) {
			break
		}
	}
}

func xf17(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 17))
	link := sim.LAN()
	link.Loss, link.Reorder = 0.01*float64(seed%5), 0.02
	l := newLabOn(t, seed, clsvtest.Config{Sim: sim.Options{Link: &link}})
	l.opts.Chunk, l.opts.Window, l.opts.Hold, l.opts.Total = 64, 4, true, true
	xfer := clsv.FreeXfer + clsv.Xfer(seed%3)
	all := map[string]*tally{}
	start := func(n string) {
		all[n] = newTally(time.Duration(rnd.IntN(3000)) * time.Microsecond)
		l.start(n, xfer, all[n].app)
	}
	start("A")
	start("B")
	l.settle()
	n := byte(0)
	for i, name := range []string{"X", "Y", "Z"} {
		l.c.World.After(time.Duration(i*10+rnd.IntN(40))*ms, func() { start(name) })
	}
	if seed%2 == 1 {
		l.c.World.After(time.Duration(10+rnd.IntN(40))*ms, func() { l.crash(l.apps["A"]) })
	}
	for range 200 {
		l.c.World.After(time.Duration(rnd.IntN(80_000))*time.Microsecond, func() {
			if a := l.apps[[]string{"A", "B"}[rnd.IntN(2)]]; a != nil {
				n++
				_, _ = a.m.TryScast([]byte{n})
			}
		})
	}
	l.c.Run(100 * ms)
	l.settle()
	l.c.Run(20 * ms)
	for name := range l.apps {
		if !bytes.Equal(all[name].log, all["B"].log) || len(all["B"].log) < 50 {
			t.Errorf("%s has %x\nB has %x", name, all[name].log, all["B"].log)
		}
	}
}

// XF-05: a server that loses its place before a request arrives does not answer.
func TestXF05(t *testing.T) {
	for seed := range uint64(30) {
		e := &app{}
		l := newLabOn(t, seed, clsvtest.Config{})
		for _, n := range []string{"P", "A"} {
			l.join(n, clsv.FreeXfer, &app{})
		}
		l.c.Partition([]string{"P", "A"}, []string{"D", "E"})
		d := l.start("D", clsv.FreeXfer, &app{})
		l.until("alone", func() bool { return d.m.State() == clsv.ServerNormal })
		d.ask = func(context.Context, clsv.Endpoint, []byte) (io.WriterTo, error) {
			if s := d.m.State(); s != clsv.ServerNormal {
				t.Errorf("seed %d: asked a %v", seed, s)
			}
			return bytes.NewReader([]byte("old")), nil
		}
		e.transfer = func(ctx context.Context, x *Transfer) {
			for i := range 40 {
				if e.get(ctx, x, fmt.Sprint(i)) != nil {
					return
				}
				e.sleep(ms)
			}
			_ = x.Done()
		}
		l.c.World.After(20*ms+time.Duration(seed)*300*time.Microsecond, l.c.Heal)
		l.start("E", clsv.FreeXfer, e)
		l.settle()
		if n := len(e.xfers); n < 1 || n > 2 || e.m.State() != clsv.ServerNormal {
			t.Errorf("seed %d: %d transfers", seed, n)
		}
	}
}

// The last source dies: the newcomer goes on with what it has, and with what
// was held back, and serves it to another.
func TestPromoted(t *testing.T) {
	l := newLab(t)
	l.opts.Hold, l.opts.Chunk, l.opts.Window, l.opts.Total = true, 16, 2, true
	k := newTally(0)
	k.log = state(2000, 1)
	l.join("K", clsv.FreeXfer, k.app)
	x := newTally(0)
	var part []byte
	x.transfer = func(ctx context.Context, tr *Transfer) {
		err := tr.Load(ctx, func(r io.Reader) error {
			b := make([]byte, 10)
			for {
				n, err := r.Read(b)
				part = append(part, b[:n]...)
				if err != nil {
					if !errors.Is(err, clsv.ErrSourcesLost) {
						t.Error(err)
					}
					return nil // good enough
				}
				x.sleep(time.Millisecond)
			}
		})
		if err != nil {
			t.Error(err)
		}
		x.log = slices.Clone(part)
		if err := tr.Done(); !errors.Is(err, ErrTerminated) {
			t.Error(err)
		}
	}
	c := l.start("c", clsv.NoXfer, &app{})
	l.start("X", clsv.FreeXfer, x.app)
	l.until("some of it", func() bool { return len(part) > 200 })
	_, _ = c.m.TryScast([]byte("held"))
	l.c.Run(5 * ms)
	if !bytes.Equal(x.log, nil) {
		t.Error("not held back")
	}
	l.crash(k.app)
	l.settle()
	_, _ = c.m.TryScast([]byte("new"))
	l.c.Run(5 * ms)
	want := append(slices.Clone(part), "heldnew"...)
	l.same(x.log, want)
	y := newTally(0)
	l.join("Y", clsv.FreeXfer, y.app)
	l.same(y.log, want)
}

// Too much comes during a transfer: it ends, memory stays bounded.
func TestBacklog(t *testing.T) {
	l := newLab(t)
	l.opts.Hold, l.opts.MaxBacklog, l.opts.XferTimeout = true, 10_000, time.Second
	k := l.join("K", clsv.FreeXfer, newTally(0).app)
	x := newTally(0)
	var cause error
	x.transfer = func(ctx context.Context, tr *Transfer) {
		x.never(ctx, tr)
		cause = context.Cause(ctx)
	}
	l.start("X", clsv.FreeXfer, x.app)
	l.until("transfer", func() bool { return x.has("transfer 1") })
	for range 20 {
		_, _ = k.m.TryScast(make([]byte, 1000))
		l.c.Run(ms)
	}
	if !errors.Is(cause, ErrBacklog) || !errors.Is(cause, ErrTerminated) || x.m.held != nil {
		t.Error(cause)
	}
	l.settle() // given up for want of progress
	if s := x.m.State(); s != clsv.BecomingServer {
		t.Error(s)
	}
}

// A source that became a server during the transfer has a copy of a later view:
// what was held back from before that is in it already.
func TestLaterCut(t *testing.T) {
	later := 0
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 18))
		// A's end is not to be noticed at once.
		l := newLabOn(t, seed, clsvtest.Config{Sim: sim.Options{NoLifelines: true}})
		l.opts.Hold, l.opts.Chunk, l.opts.Window, l.opts.Total = true, 16, 2, true
		l.join("A", clsv.FreeXfer, newTally(0).app)
		c := l.join("c", clsv.NoXfer, &app{})
		for n := range byte(200) {
			l.c.World.After(time.Duration(rnd.IntN(60_000))*time.Microsecond, func() {
				_, _ = c.m.TryScast([]byte{n})
			})
		}
		l.c.Run(20 * ms)
		x, y := newTally(0), newTally(0)
		load := x.transfer
		x.transfer = func(ctx context.Context, tr *Transfer) {
			var head [20]byte
			s := tr.Stream(ctx)
			_, _ = io.ReadFull(s, head[:])
			x.sleep(time.Duration(rnd.IntN(15_000)) * time.Microsecond)
			_ = s.Close()
			before := tr.cut
			load(ctx, tr)
			if tr.cut > before && before > 0 && tr.over == ErrDone {
				later++
			}
		}
		l.start("X", clsv.FreeXfer, x.app)
		l.start("Y", clsv.FreeXfer, y.app)
		l.c.Run(time.Duration(5+rnd.IntN(15)) * ms)
		l.crash(l.apps["A"])
		l.settle()
		l.c.Run(50 * ms)
		if len(x.log) == 0 || !bytes.Equal(x.log, y.log) {
			t.Fatalf("seed %d: X has %x\nY has %x", seed, x.log, y.log)
		}
	}
	if later < 10 {
		t.Errorf("only %d times from a later view", later)
	}
}
