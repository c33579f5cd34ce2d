package request_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/request"
)

// TestTimeout has calls end by themselves that nobody answers.
func TestTimeout(t *testing.T) {
	l := newLab(t, 1)
	l.later = true
	l.group("A", "B", "c")
	l.n["A"].mute = true
	d := l.n["c"].d
	all := request.Call{To: request.AllServers(), Collect: request.All, Retry: true,
		Data: []byte("x"), Timeout: 50 * ms}
	short, _ := l.call("c", all)
	mute := request.Members(l.n["A"].m.Endpoint())
	long, p := l.call("c", request.Call{Data: []byte("y"), To: mute})
	ever, q := l.call("c", request.Call{Data: []byte("z"), To: mute, Timeout: clsv.NoTimeout})
	l.c.Run(40 * ms)
	if short.ended+long.ended > 0 {
		t.Error("too early")
	}
	l.c.Run(20 * ms)
	l.expect(short, context.DeadlineExceeded, "B:did x")
	l.c.Run(request.DefaultTimeout - time.Second)
	if long.ended > 0 {
		t.Error("too early")
	}
	l.c.Run(2 * time.Second)
	l.expect(long, context.DeadlineExceeded)
	if s := d.Stats(); ever.ended > 0 || s.TimedOut != 2 || s.Pending != 1 {
		t.Errorf("ended %d, %+v", ever.ended, s)
	}
	p.Cancel() // it has ended
	q.Cancel()
	l.expect(ever, context.Canceled)
	if s := d.Stats(); s.Pending != 0 {
		t.Errorf("%+v", s)
	}
}

// TestTimeoutWaiting: a call that waits for a view, and one that waits for a
// window, have deadlines too.
func TestTimeoutWaiting(t *testing.T) {
	l := newLab(t, 1)
	l.later = true
	l.group("A")
	l.n["A"].mute = true
	n := l.add("c", clsv.Options{}, request.Options{Window: 1, Timeout: 100 * ms})
	l.settle()
	first, _ := l.call("c", request.Call{Timeout: 300 * ms})
	second, _ := l.call("c", request.Call{})
	l.c.Run(150 * ms)
	l.expect(second, context.DeadlineExceeded)
	l.c.Run(200 * ms)
	l.expect(first, context.DeadlineExceeded)
	l.n["A"].mute = false
	again, _ := l.call("c", request.Call{Data: []byte("x")})
	l.expect(again, nil, "A:did x")
	if k := len(l.n["A"].later); k != 1 || n.d.Stats().Pending != 0 {
		t.Errorf("%d have come, %+v", k, n.d.Stats())
	}
}

// TestTimeoutDo: a context is enough for Do, but a Timeout counts too.
func TestTimeoutDo(t *testing.T) {
	l := newLab(t, 1)
	l.later = true
	l.group("A", "c")
	l.n["A"].mute = true
	d := l.n["c"].d
	var short, long error
	done := 0
	l.c.Go("c", func() {
		_, short = d.Do(context.Background(), request.Call{Timeout: 50 * ms})
		ctx, cancel := context.WithCancel(context.Background())
		l.c.World.After(2*request.DefaultTimeout, cancel)
		_, long = d.Do(ctx, request.Call{})
		done++
	})
	l.c.Run(3 * request.DefaultTimeout)
	if done != 1 || !errors.Is(short, context.DeadlineExceeded) ||
		!errors.Is(long, context.Canceled) {
		t.Error(done, short, long)
	}
	for _, o := range []request.Options{{Timeout: -2}} {
		if _, err := request.New(o); !errors.Is(err, request.ErrOptions) {
			t.Error(err)
		}
	}
	if _, err := d.Start(request.Call{Timeout: -2}, nil); !errors.Is(err, request.ErrOptions) {
		t.Error(err)
	}
}

// TestClockOfOthers: what has no identity teaches no clock. It may be of another
// table.
func TestClockOfOthers(t *testing.T) {
	l := newLab(t, 1)
	l.group("A", "c", "m")
	l.n["m"].serve = func(r *request.Request) ([]byte, error) {
		r.Clock = 1 << 40
		return nil, nil
	}
	r, _ := l.call("c", request.Call{To: request.Members(l.n["m"].m.Endpoint())})
	l.expect(r, nil, "m:")
	r, _ = l.call("c", request.Call{Data: []byte("x")})
	l.expect(r, nil, "A:did x")
	if s := l.n["c"].d.Stats(); s.Sent != 2 {
		t.Errorf("%+v", s)
	}
}
