package request_test

import (
	"errors"
	"testing"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/clsv/request"
)

// silent serves nothing in time, and notes its Exit.
type silent struct {
	clsv.NopHandler
	exit error
}

func (s *silent) Exit(err error) { s.exit = err }

// TestPanicCompletions: when a member leaves, each call ends, even if the completion
// of one before panics, and so does the application.
func TestPanicCompletions(t *testing.T) {
	cluster := clsvtest.New(1)
	join := func(name string, o request.Options) (*silent, *request.Dispatcher, *clsv.Member) {
		h := &silent{}
		d, err := request.New(o)
		if err != nil {
			t.Fatal(err)
		}
		mo := clsv.Options{Role: clsv.Server, Handler: d.Wrap(h)}
		mo.Group, mo.Name = "test", name
		m := cluster.Add(name, mo)
		d.Bind(m)
		if err := m.StartJoin(); err != nil {
			t.Fatal(err)
		}
		cluster.Run(200 * ms)
		return h, d, m
	}
	_, _, to := join("a", request.Options{ServeLater: func(*request.Request) {}})
	h, d, m := join("b", request.Options{})
	var errs []error
	for i := range 3 {
		_, err := d.Start(request.Call{To: request.Members(to.Endpoint())},
			func(_ []request.Reply, err error) {
				errs = append(errs, err)
				if i == 0 {
					panic("oh")
				}
			})
		if err != nil {
			t.Fatal(err)
		}
	}
	cluster.Run(50 * ms)
	_ = m.StartLeave()
	cluster.Run(200 * ms)
	if len(errs) != 3 || !errors.Is(errs[2], clsv.ErrNotJoined) || m.State() != clsv.Initial {
		t.Error(errs, m.State())
	}
	if h.exit != nil {
		t.Error(h.exit)
	}
	if s := d.Stats(); s.Pending != 0 {
		t.Errorf("%+v", s)
	}
	_ = cluster.Close() // what has panicked after Exit has begun, Close tells
}
