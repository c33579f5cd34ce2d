package clsvtest_test

import (
	"fmt"
	"strings"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
)

// journal is a replicated list of lines. Its state is transferred as a whole.
type journal struct {
	clsv.NopHandler
	m       *clsv.Member
	have    bool // the state is here
	lines   []string
	backlog []string          // received while the state is on its way
	snaps   map[string]string // by the view in which they begin
}

func (j *journal) AcceptedView(v *clsv.View, _ []byte) {
	view := fmt.Sprint(v.ID.Ltime)
	switch {
	case v.StartXfer, v.State == clsv.ServerXfer && len(v.DepartedServers) > 0:
		j.have, j.lines, j.backlog = false, nil, nil
		_ = j.m.AskState(v.ServerCoordinator, []byte(view))
	case v.State == clsv.ServerNormal:
		j.have = true
		if len(v.XferServers) > 0 {
			j.snaps[view] = strings.Join(j.lines, "\n")
		}
	}
}

func (j *journal) ReceiveScast(_ clsv.Endpoint, msg []byte) {
	if j.have {
		j.lines = append(j.lines, string(msg))
	} else {
		j.backlog = append(j.backlog, string(msg))
	}
}

func (j *journal) AskState(origin clsv.Endpoint, view []byte) {
	_ = j.m.SendState(origin, []byte(j.snaps[string(view)]))
}

func (j *journal) RcvState(_ clsv.Endpoint, state []byte) {
	j.have, j.lines = true, append(strings.Split(string(state), "\n"), j.backlog...)
	_ = j.m.XferDone()
}

func server(c *clsvtest.Cluster, name string) *journal {
	j := &journal{snaps: map[string]string{}}
	j.m = c.Add(name, clsv.Options{Role: clsv.Server, Xfer: clsv.FreeXfer, Handler: j})
	_ = j.m.StartJoin()
	return j
}

func Example() {
	c := clsvtest.New(1)
	a := server(c, "a")
	client := c.Client("client", nil)
	c.Run(time.Second)

	_, _ = client.TryScast([]byte("one"))
	_, _ = client.TryScast([]byte("two"))
	c.Run(10 * time.Millisecond)
	b := server(c, "b")
	c.Run(time.Second)
	_, _ = client.TryScast([]byte("three"))
	c.Run(10 * time.Millisecond)
	fmt.Println(a.lines, b.lines)

	c.Crash("a")
	c.Run(time.Second)
	_, _ = client.TryScast([]byte("four"))
	c.Run(10 * time.Millisecond)
	fmt.Println(b.lines, b.m.View().Servers[0].Name)
	fmt.Println(c.Close())
	// Output:
	// [one two three] [one two three]
	// [one two three four] b
	// <nil>
}
