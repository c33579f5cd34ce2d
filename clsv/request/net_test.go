package request_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/request"
)

// real is a member over real sockets that counts requests.
type real struct {
	m  *clsv.Member
	d  *request.Dispatcher
	mu sync.Mutex
	n  map[string]int
}

func (x *real) serve(r *request.Request) ([]byte, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.n[string(r.Data)]++
	return append([]byte("did "), r.Data...), nil
}

func open(ctx context.Context, t *testing.T, group, name string, role clsv.Role) *real {
	t.Helper()
	x := &real{n: map[string]int{}}
	var err error
	if x.d, err = request.New(request.Options{Serve: x.serve}); err != nil {
		t.Fatal(err)
	}
	o := clsv.Options{Role: role, Handler: x.d.Wrap(nil)}
	o.Group, o.Name, o.Transport.Interface = group, name, "lo"
	if x.m, err = clsv.New(o); err != nil {
		t.Fatal(err)
	}
	x.d.Bind(x.m)
	if err := x.m.Join(ctx); err != nil {
		if strings.Contains(err.Error(), "udp") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	return x
}

// TestNet makes calls over real sockets on the loopback interface, while a
// server leaves.
func TestNet(t *testing.T) {
	before := runtime.NumGoroutine()
	group := fmt.Sprint("request-test-", time.Now().UnixNano())
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	a := open(ctx, t, group, "a", clsv.Server)
	b := open(ctx, t, group, "b", clsv.Server)
	c := open(ctx, t, group, "c", clsv.Client)
	const each, callers = 200, 8
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for k := range each {
				x := fmt.Sprintf("%d-%d", i, k)
				got, err := c.d.Server(ctx, []byte(x))
				if err != nil || string(got) != "did "+x {
					t.Errorf("%s: %q %v", x, got, err)
					return
				}
				if i == 0 && k == each/2 {
					wg.Go(func() {
						if err := a.m.Leave(ctx); err != nil {
							t.Error(err)
						}
					})
				}
			}
		})
	}
	wg.Wait()
	replies, err := c.d.Do(ctx, request.Call{To: request.AllMembers(), Collect: request.All,
		Data: []byte("all")})
	if err != nil || len(replies) != 2 {
		t.Errorf("%v %v", replies, err)
	}
	short, stop := context.WithTimeout(ctx, 20*time.Millisecond)
	defer stop()
	b.mu.Lock() // the service hangs
	_, err = c.d.Server(short, nil)
	b.mu.Unlock()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	for _, x := range []*real{a, b, c} {
		if err := x.m.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.d.Server(ctx, nil); !errors.Is(err, clsv.ErrNotJoined) &&
		!errors.Is(err, clsv.ErrClosed) {
		t.Error(err)
	}
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(time.Millisecond)
	}
	t.Logf("%+v", c.d.Stats())
}

func BenchmarkNet(b *testing.B) {
	t := &testing.T{}
	group := fmt.Sprint("request-bench-", time.Now().UnixNano())
	ctx := context.Background()
	s := open(ctx, t, group, "a", clsv.Server)
	c := open(ctx, t, group, "c", clsv.Client)
	defer c.m.Close() //nolint:errcheck // a benchmark
	defer s.m.Close() //nolint:errcheck // a benchmark
	b.ReportAllocs()
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetParallelism(max(n/runtime.GOMAXPROCS(0), 1))
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := c.d.Server(ctx, []byte("x")); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
