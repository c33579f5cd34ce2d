package member

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/cmd/maestro/internal/kv"
)

// output collects what a member prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) events() (list []Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range strings.Lines(o.b.String()) {
		var e Event
		if json.Unmarshal([]byte(line), &e) == nil {
			list = append(list, e)
		}
	}
	return list
}

// runner is a member that runs.
type runner struct {
	t       *testing.T
	out     output
	in      *io.PipeWriter
	cancel  context.CancelFunc
	end     chan error
	http    string
	metrics string
}

func start(t *testing.T, group, name string, role clsv.Role) *runner {
	ctx, cancel := context.WithCancel(context.Background())
	in, w := io.Pipe()
	r := &runner{t: t, in: w, cancel: cancel, end: make(chan error, 1)}
	c := Config{Group: group, Name: name, Role: role, Xfer: clsv.FreeXfer, JSON: true,
		HTTP: ":0", Metrics: ":0", Timeout: 3 * time.Second,
		Transport: clsv.Transport{Interface: "lo"}}
	go func() { r.end <- Run(ctx, c, in, &r.out) }()
	t.Cleanup(func() { cancel(); w.Close() })
	r.http = r.event("http").Value
	r.metrics = r.event("metrics").Value
	r.event(kv.ViewAccepted)
	return r
}

// event waits for an event.
func (r *runner) event(what string) Event {
	r.t.Helper()
	for range 1000 {
		for _, e := range r.out.events() {
			if e.Event == what {
				return e
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.t.Fatalf("no event %q in %+v", what, r.out.events())
	return Event{}
}

// do makes a request and returns the code and the body.
func (r *runner) do(method, url, body string) string {
	r.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(string(b)))
}

// expect makes a request until the answer is as wanted: reads at another member
// may be behind.
func (r *runner) expect(method, path, body, want string) {
	r.t.Helper()
	got := ""
	for range 200 {
		if got = r.do(method, "http://"+r.http+path, body); strings.HasPrefix(got, want) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.t.Errorf("%s %s: %s, want %s", method, path, got, want)
}

func TestHTTP(t *testing.T) {
	group := fmt.Sprintf("member-test-%d", os.Getpid())
	a := start(t, group, "a", clsv.Server)
	c := start(t, group, "c", clsv.Client)
	for _, r := range []*runner{a, c} {
		r.expect("GET", "/livez", "", "200 ok")
		r.expect("GET", "/readyz", "", "200 ok")
		r.expect("PUT", "/kv/some/key", "a value", "204")
		r.expect("GET", "/kv/some/key", "", "200 a value")
		r.expect("DELETE", "/kv/some/key", "", "204")
		r.expect("DELETE", "/kv/some/key", "", "404 no such key")
		r.expect("GET", "/kv/some/key", "", "404")
		r.expect("GET", "/kv/CH?sync", "", `200 {"name":"Switzerland"`)
		r.expect("GET", "/kv/CH", "", `200 {"name":"Switzerland"`)
		r.expect("GET", "/kv", "", `200 [{"key":"AD"`)
		r.expect("GET", "/digest", "", `200 {"sha256":"`)
		r.expect("GET", "/view", "", `200 {"time":`)
		r.expect("POST", "/kv/x", "", "405")
		r.expect("PUT", "/kv/"+strings.Repeat("k", kv.MaxKey+1), "", "413")
	}
	got := a.do("GET", "http://"+a.metrics+"/metrics", "")
	for _, want := range []string{
		`maestro_view_members{group="` + group + `",role="client"} 1`,
		`maestro_socket_drops_total{group="` + group + `"} 0`,
		"go_goroutines",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	c.cancel()
	if err := <-c.end; err != nil {
		t.Error(err)
	}
	fmt.Fprintln(a.in, "quit")
	if err := <-a.end; err != nil {
		t.Error(err)
	}
	a.event(kv.Ended)
}

// A member that is cut off comes back, and two members have one map.
func TestCut(t *testing.T) {
	group := fmt.Sprintf("member-cut-%d", os.Getpid())
	a := start(t, group, "a", clsv.Server)
	b := start(t, group, "b", clsv.Server)
	b.expect("GET", "/readyz", "", "200 ok")
	fmt.Fprintln(b.in, "cut 700ms")
	b.event("mended")
	a.expect("PUT", "/kv/x", "1", "204")
	for _, r := range []*runner{a, b} {
		r.expect("GET", "/readyz", "", "200 ok")
		r.expect("GET", "/kv/x", "", "200 1")
	}
	views := 0
	for _, e := range b.out.events() {
		if e.Event == kv.ViewAccepted {
			views++
		}
	}
	if views < 3 {
		t.Errorf("%d views", views)
	}
}
