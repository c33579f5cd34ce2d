package clsv_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/stack/check"
)

// counter counts what it gets; its methods run on the member's goroutine.
type counter struct {
	clsv.NopHandler
	mu     sync.Mutex
	n      int
	served int
	exit   error
	m      *clsv.Member
	state  []byte
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *counter) ReceiveCast(clsv.Endpoint, []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

func (c *counter) ReceiveScast(clsv.Endpoint, []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.served++
}

func (c *counter) scasts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.served
}

func (c *counter) AcceptedView(v *clsv.View, _ []byte) {
	if v.StartXfer {
		_ = c.m.AskState(v.Servers[0], []byte("all"))
	}
}

func (c *counter) AskState(o clsv.Endpoint, _ []byte) { _ = c.m.SendState(o, make([]byte, 1<<20)) }

func (c *counter) RcvState(_ clsv.Endpoint, b []byte) {
	c.mu.Lock()
	c.state = append(c.state, b...)
	c.mu.Unlock()
	_ = c.m.XferDone()
}

func (c *counter) Exit(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exit = err
}

// joinLo has a member join over the loopback interface; its handler finds it in
// place before the first callback.
func joinLo(ctx context.Context, t *testing.T, place **clsv.Member, o clsv.Options) *clsv.Member {
	t.Helper()
	o.Transport.Interface = "lo"
	m, err := clsv.New(o)
	if err != nil {
		t.Fatal(err)
	}
	*place = m
	if err := m.Join(ctx); err != nil {
		if strings.Contains(err.Error(), "udp") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	return m
}

// TestNet runs a group over real sockets on the loopback interface.
func TestNet(t *testing.T) {
	group := fmt.Sprint("clsv-test-", time.Now().UnixNano())
	o := check.VSync()
	o.ClSv = true
	rec := clsvtest.NewWitness(o)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var ms []*clsv.Member
	var hs []*counter
	for i := range 3 {
		h := &counter{}
		m := joinLo(ctx, t, &h.m, clsv.Options{Role: clsv.Server, Xfer: clsv.ProtectedXfer,
			Handler: h, GroupOptions: clsv.GroupOptions{Group: group,
				Name: fmt.Sprint("m", i), Trace: rec}})
		ms, hs = append(ms, m), append(hs, h)
	}
	wait(t, "normal servers", func() bool {
		v := ms[0].View()
		return len(v.Servers) == 3
	})
	const n = 2000
	var wg sync.WaitGroup
	for _, m := range ms {
		wg.Go(func() {
			for range n {
				if _, err := m.Cast(ctx, make([]byte, 300)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	wait(t, "all messages", func() bool {
		return hs[0].count() == 3*n && hs[1].count() == 3*n && hs[2].count() == 3*n
	})
	if err := ms[0].Leave(ctx); err != nil {
		t.Error(err)
	}
	if err := ms[0].Join(ctx); err != nil { // again, as another endpoint
		t.Error(err)
	}
	wait(t, "the second life", func() bool { return len(ms[1].View().Servers) == 3 })
	for i, m := range ms {
		if err := m.Close(); err != nil {
			t.Errorf("close %d: %v", i, err)
		}
		_, err := m.TryCast(nil)
		if !errors.Is(err, clsv.ErrClosed) && !errors.Is(err, clsv.ErrNotJoined) {
			t.Error(err)
		}
	}
	if err := rec.Close(); err != nil {
		t.Error(err)
	}
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

// TestNetBlocking calls what waits from within callbacks, and cancels a Join.
func TestNetBlocking(t *testing.T) {
	group := fmt.Sprint("clsv-test-", time.Now().UnixNano())
	h := &blocker{done: make(chan error, 10)}
	m, err := clsv.New(clsv.Options{Handler: h, GroupOptions: clsv.GroupOptions{Group: group,
		Transport: clsv.Transport{Interface: "lo"}, Discovery: 300 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	h.m = m
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := m.Join(ctx); err != nil && strings.Contains(err.Error(), "udp") {
		t.Skip(err)
	} else if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	wait(t, "exit", func() bool { return m.State() == clsv.Initial })
	if err := m.Join(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-h.done; err != nil {
		t.Error(err)
	}
	wait(t, "exit", func() bool { return m.State() == clsv.Initial })
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

type blocker struct {
	clsv.NopHandler
	m    *clsv.Member
	done chan error
}

func (b *blocker) AcceptedView(*clsv.View, []byte) {
	b.done <- b.m.Leave(context.Background())
}

// TestNetClientsHearNoServers sends to servers, over real sockets, what must not
// reach a client's.
func TestNetClientsHearNoServers(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	group := fmt.Sprintf("core-%d", time.Now().UnixNano())
	member := func(name string, role clsv.Role) *counter {
		c := &counter{}
		o := clsv.Options{Role: role, Handler: c}
		o.Group, o.Name, o.Transport.Interface = group, name, "lo"
		m, err := clsv.New(o)
		if err != nil {
			t.Fatal(err)
		}
		c.m = m
		t.Cleanup(func() { m.Close() })
		if err := m.Join(ctx); err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b, d := member("a", clsv.Server), member("b", clsv.Server), member("d", clsv.Client)
	for d.m.View() == nil || len(a.m.View().Members) != 3 || len(a.m.View().Servers) != 2 {
		if ctx.Err() != nil {
			t.Fatal("no view of all")
		}
		time.Sleep(time.Millisecond)
	}
	bytesIn := func(c *counter) uint64 {
		s, ok := c.m.Stats()
		if !ok {
			t.Fatal("no figures")
		}
		return s.Sockets.BytesIn
	}
	server, client := bytesIn(b), bytesIn(d)
	const count, size = 2000, 1000
	for range count {
		if _, err := a.m.Scast(ctx, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	for b.scasts() < count {
		if ctx.Err() != nil {
			t.Fatalf("%d of %d scasts", b.scasts(), count)
		}
		time.Sleep(time.Millisecond)
	}
	server, client = bytesIn(b)-server, bytesIn(d)-client
	if server < count*size || client > count*size/20 || d.scasts() != 0 {
		t.Errorf("the other server's sockets have got %d bytes, the client's %d", server, client)
	}
}
