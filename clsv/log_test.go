package clsv_test

import (
	"fmt"
	"strings"
	"time"

	"maestro/clsv"
)

// recorder is a handler that writes one line per callback.
type recorder struct {
	clsv.NopHandler
	m     *clsv.Member
	lines []string

	views    []*clsv.View
	exit     error
	exited   bool
	degraded []clsv.Degraded
	dropped  []clsv.Dropped
	got      []string // "sender:message"
	hooks
}

// hooks are what callbacks do beside recording.
type hooks struct {
	onView  func(v *clsv.View)
	onBlock func()
	onAsk   func(origin clsv.Endpoint, req []byte)
	onState func(origin clsv.Endpoint, state []byte)
	onCast  func(origin clsv.Endpoint, msg []byte)
}

func (r *recorder) log(format string, a ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, a...))
}

func (r *recorder) receive(kind string, o clsv.Endpoint, msg []byte) {
	m := string(msg)
	if len(m) > 40 {
		m = fmt.Sprintf("%s...%d", m[:10], len(m))
	}
	r.log("%s %s %s", kind, o.Name, m)
	r.got = append(r.got, o.Name+":"+m)
}

func (r *recorder) ReceiveCast(o clsv.Endpoint, msg []byte) {
	r.receive("cast", o, msg)
	if r.onCast != nil {
		r.onCast(o, msg)
	}
}
func (r *recorder) ReceiveScast(o clsv.Endpoint, msg []byte) { r.receive("scast", o, msg) }
func (r *recorder) ReceiveLsend(o clsv.Endpoint, msg []byte) { r.receive("lsend", o, msg) }
func (r *recorder) ReceiveSend(o clsv.Endpoint, msg []byte)  { r.receive("send", o, msg) }

func (r *recorder) Dropped(d clsv.Dropped) {
	r.log("dropped %v %s: %v", d.Kind, d.Msg, d.Err)
	d.Msg = []byte(string(d.Msg))
	r.dropped = append(r.dropped, d)
}

func (r *recorder) Block() {
	r.log("block")
	if r.onBlock != nil {
		r.onBlock()
	}
}

func (r *recorder) AcceptedView(v *clsv.View, viewMsg []byte) {
	r.views = append(r.views, v)
	r.log("view %s%s", describe(v), suffix(viewMsg))
	if r.onView != nil {
		r.onView(v)
	}
}

func suffix(viewMsg []byte) string {
	if len(viewMsg) == 0 {
		return ""
	}
	return " msg=" + string(viewMsg)
}

func (r *recorder) Degraded(d clsv.Degraded) {
	r.log("degraded %v", d.Err)
	r.degraded = append(r.degraded, d)
}

func (r *recorder) Exit(err error) {
	r.log("exit %v", err)
	r.exit, r.exited = err, true
}

func (r *recorder) Heartbeat(since time.Duration) { r.log("heartbeat %v", since) }

func (r *recorder) AskState(o clsv.Endpoint, req []byte) {
	r.log("ask %s %s", o.Name, req)
	if r.onAsk != nil {
		r.onAsk(o, req)
	}
}

func (r *recorder) RcvState(o clsv.Endpoint, state []byte) {
	r.log("state %s %s", o.Name, state)
	if r.onState != nil {
		r.onState(o, state)
	}
}

// last is the view accepted last.
func (r *recorder) last() *clsv.View {
	if len(r.views) == 0 {
		return nil
	}
	return r.views[len(r.views)-1]
}

func names(l []clsv.Endpoint) string {
	s := make([]string, len(l))
	for i := range l {
		s[i] = l[i].Name
	}
	return "[" + strings.Join(s, " ") + "]"
}

// describe prints what is in a view, in the notation of the scenarios: lists
// that are empty are left out.
func describe(v *clsv.View) string {
	var b strings.Builder
	put := func(what string, l []clsv.Endpoint) {
		if len(l) > 0 {
			fmt.Fprintf(&b, " %s=%s", what, names(l))
		}
	}
	b.WriteString("M=" + names(v.Members))
	put("+M", v.NewMembers)
	put("-M", v.DepartedMembers)
	put("S", v.Servers)
	put("+S", v.NewServers)
	put("-S", v.DepartedServers)
	put("T", v.XferServers)
	put("+T", v.NewXferServers)
	put("-T", v.DepartedXferServers)
	put("C", v.Clients)
	put("+C", v.NewClients)
	put("-C", v.DepartedClients)
	fmt.Fprintf(&b, " type=%v co=%s oco=%s sc=%s osc=%s r=%d/%d sr=%d/%d %v<-%v", v.ViewType,
		v.Coordinator.Name, v.OldCoordinator.Name, v.ServerCoordinator.Name,
		v.OldServerCoordinator.Name, v.MyRank, v.MyOldRank, v.MyServerRank, v.MyOldServerRank,
		v.State, v.OldState)
	if v.StartXfer {
		b.WriteString(" startXfer")
	}
	if v.SourcesLost {
		b.WriteString(" sourcesLost")
	}
	return b.String()
}
