package rsm

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"maestro/clsv"
)

// TestNet proposes from servers and a client over real sockets, while servers
// join and leave.
func TestNet(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	group := fmt.Sprint("rsm-test-", time.Now().UnixNano())
	open := func(name string, role clsv.Role) (*Replica[string, string], *journal) {
		j := &journal{}
		o := Options[string, string]{}
		o.Group, o.Name, o.Role, o.Transport.Interface = group, name, role, "lo"
		if role == clsv.Server {
			o.Machine = j
		}
		r, err := Open(ctx, o)
		if err != nil && strings.Contains(err.Error(), "udp") {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		return r, j
	}
	a, _ := open("a", clsv.Server)
	c, _ := open("c", clsv.Client)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 200 {
				if _, err := c.Propose(ctx, fmt.Sprint(i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	b, jb := open("b", clsv.Server)
	d, jd := open("d", clsv.Server)
	wg.Wait()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if got, err := c.Propose(ctx, "last"); got != "801 last" || err != nil {
		t.Error(got, err)
	}
	for r, j := range map[*Replica[string, string]]*journal{b: jb, d: jd} {
		n := 0
		if err := r.Read(ctx, func() { n = len(j.Lines) }); n != 801 || err != nil {
			t.Error(n, err)
		}
	}
	for _, r := range []*Replica[string, string]{b, c, d} {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
