package docs_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
)

// begin: counter
// counter is a replicated number.
type counter struct {
	clsv.NopHandler
	m       *clsv.Member
	have    bool // the state is here
	n       int
	asked   uint64         // the view in which the backlog begins
	backlog []int          // received while the state is on its way
	kept    map[uint64]int // the state as it was when a view began
}

// add is called by clients: all servers add x, in the same order.
func (c *counter) add(x int) error {
	_, err := c.m.TryScast(fmt.Append(nil, x))
	return err
}

func (c *counter) ReceiveScast(_ clsv.Endpoint, msg []byte) {
	x := 0
	fmt.Sscan(string(msg), &x)
	if c.have {
		c.n += x
	} else {
		c.backlog = append(c.backlog, x)
	}
}

func (c *counter) AcceptedView(v *clsv.View, _ []byte) {
	switch {
	case v.StartXfer, v.State == clsv.ServerXfer && len(v.DepartedServers) > 0:
		// Begin, or begin again: the server that was asked may be gone.
		c.have, c.asked, c.backlog = false, v.ID.Ltime, nil
		_ = c.m.AskState(v.ServerCoordinator, fmt.Append(nil, c.asked))
	case v.State == clsv.ServerNormal:
		c.have = true // the first server begins with nothing
		if len(v.XferServers) == 0 {
			clear(c.kept)
		} else {
			c.kept[v.ID.Ltime] = c.n
		}
	}
}

func (c *counter) AskState(origin clsv.Endpoint, request []byte) {
	var view uint64
	fmt.Sscan(string(request), &view)
	if n, ok := c.kept[view]; ok {
		_ = c.m.SendState(origin, fmt.Append(nil, view, n))
	}
}

func (c *counter) RcvState(_ clsv.Endpoint, state []byte) {
	var view uint64
	var n int
	fmt.Sscan(string(state), &view, &n)
	if c.have || view != c.asked {
		return // the answer to an earlier request
	}
	for _, x := range c.backlog {
		n += x
	}
	c.have, c.n, c.backlog = true, n, nil
	_ = c.m.XferDone()
}

// end: counter

// begin: options
func newCounter(name string, role clsv.Role) (*counter, clsv.Options) {
	c := &counter{kept: map[uint64]int{}}
	o := clsv.Options{Role: role, Xfer: clsv.FreeXfer, Handler: c}
	o.Group, o.Name, o.Total = "counters", name, true
	return c, o
}

// end: options

// begin: open
func run(ctx context.Context) error {
	c, o := newCounter("a", clsv.Server)
	o.Transport.Interface = "lo"
	m, err := clsv.New(o)
	if err != nil {
		return err
	}
	c.m = m // before the first callback
	defer m.Close()
	if err := m.Join(ctx); err != nil {
		return err
	}
	fmt.Println(m.View().State)
	return m.Leave(ctx)
}

// end: open

// begin: test
func TestCounter(t *testing.T) {
	cluster := clsvtest.New(1) // a seed: always the same history
	join := func(name string, role clsv.Role) *counter {
		c, o := newCounter(name, role)
		c.m = cluster.Add(name, o)
		if err := c.m.StartJoin(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, client := join("a", clsv.Server), join("client", clsv.Client)
	cluster.Run(time.Second)
	for i := range 10 {
		if err := client.add(i); err != nil {
			t.Fatal(err)
		}
	}
	b := join("b", clsv.Server)
	cluster.Run(time.Second)
	cluster.Crash("a")
	cluster.Run(time.Second)
	if err := client.add(100); err != nil {
		t.Fatal(err)
	}
	cluster.Run(time.Second)
	if a.n != 45 || b.n != 145 {
		t.Errorf("a has %d, b has %d", a.n, b.n)
	}
	if err := cluster.Close(); err != nil { // what virtual synchrony promises
		t.Error(err)
	}
}

// end: test

func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := run(ctx); err != nil {
		t.Error(err)
	}
}

// The code of the guide is the code above.
func TestGuide(t *testing.T) {
	code, err := os.ReadFile("guide_test.go")
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile("guide.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range strings.Split(string(code), "// begin: ")[1:] {
		if i == 0 && !strings.HasPrefix(part, "counter\n") {
			t.Fatal("not the parts")
		}
		name, text, _ := strings.Cut(part, "\n")
		text, _, found := strings.Cut(text, "\n// end: "+name+"\n")
		if !found {
			continue // of this function
		}
		if !strings.Contains(string(guide), "```go\n"+strings.TrimSpace(text)+"\n```\n") {
			t.Errorf("guide.md does not have the part %q as it is here", name)
		}
	}
}
