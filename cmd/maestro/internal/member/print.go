package member

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"maestro/clsv"
	"maestro/cmd/maestro/internal/kv"
)

// Event is a line of output: what has happened, or the reply to a command.
type Event struct {
	Time  int64  `json:"time"` // nanoseconds since 1970
	Event string `json:"event"`
	Text  string `json:"text"`
	Err   string `json:"error,omitempty"`

	View     string   `json:"view,omitempty"`
	Members  []string `json:"members,omitempty"`
	Servers  []string `json:"servers,omitempty"`
	Transfer []string `json:"transferring,omitempty"`
	Clients  []string `json:"clients,omitempty"`
	State    string   `json:"state,omitempty"`
	Primary  bool     `json:"primary,omitempty"`

	Source  string     `json:"source,omitempty"`
	Entries int        `json:"entries,omitempty"`
	Bytes   int        `json:"bytes,omitempty"`
	Backlog int        `json:"backlog,omitempty"`
	Digest  *kv.Digest `json:"digest,omitempty"`
	Dump    []kv.Entry `json:"dump,omitempty"`
	Found   bool       `json:"found,omitempty"`
	Value   string     `json:"value,omitempty"`
}

// printer prints lines, from any goroutine.
type printer struct {
	json bool
	mu   sync.Mutex
	w    io.Writer
}

// line prints an event with the time.
func (p *printer) line(e Event) {
	now := time.Now()
	e.Time = now.UnixNano()
	if e.Err != "" {
		e.Text = strings.TrimPrefix(e.Text+": "+e.Err, ": ")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.json {
		b, _ := json.Marshal(e) // has nothing that can fail
		_, _ = p.w.Write(append(b, '\n'))
		return
	}
	if strings.HasPrefix(e.Event, Reply) {
		fmt.Fprintln(p.w, e.Text)
		return
	}
	fmt.Fprintf(p.w, "%s  %s\n", now.Format("15:04:05.000"), e.Text)
}

func names(list []clsv.Endpoint) []string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = e.Name
	}
	return out
}

// describe puts an event in words.
func describe(e *kv.Event) Event {
	d := Event{Event: e.What, Entries: e.Entries, Bytes: e.Bytes, Backlog: e.Backlog}
	if !e.Source.IsZero() {
		d.Source = e.Source.Name
	}
	if e.Err != nil {
		d.Err = e.Err.Error()
	}
	switch e.What {
	case kv.ViewAccepted:
		d.view(e.View)
	case kv.Founded:
		d.Text = fmt.Sprintf("no group yet: founded it with %d entries", e.Entries)
	case kv.Transferring:
		d.Text = "asking " + d.Source + " for the map"
	case kv.Restored:
		d.Text = fmt.Sprintf("got the map from %s: %d entries in %d bytes, %d updates meanwhile",
			d.Source, e.Entries, e.Bytes, e.Backlog)
	case kv.Promoted:
		d.Text = fmt.Sprintf("all who had the map are gone: going on with the %d entries that came",
			e.Entries)
	case kv.Failed:
		d.Text = "all who had the map are gone, and nothing of it came"
	case kv.Degraded:
		d.Text = "not a server any more, the map has to be fetched again"
	case kv.Ended:
		d.Text = "left the group"
	}
	return d
}

// view adds a view.
func (d *Event) view(v *clsv.View) {
	d.View, d.State, d.Primary = v.ID.String(), v.State.String(), v.Primary
	d.Members, d.Servers = names(v.Members), names(v.Servers)
	d.Transfer, d.Clients = names(v.XferServers), names(v.Clients)
	var b strings.Builder
	fmt.Fprintf(&b, "view %v:", v.ID)
	for _, l := range []struct {
		what  string
		names []string
	}{{"servers", d.Servers}, {"getting the map", d.Transfer}, {"clients", d.Clients}} {
		if len(l.names) > 0 {
			fmt.Fprintf(&b, " %s %s;", l.what, strings.Join(l.names, " "))
		}
	}
	d.Text = strings.TrimSuffix(b.String(), ";")
	if !v.Primary {
		d.Text += "; no quorum"
	}
}
