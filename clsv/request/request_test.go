package request_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"maestro/clsv"
	"maestro/clsv/request"
)

func TestTargets(t *testing.T) {
	l := newLab(t, 1)
	l.group("A", "B", "c", "d")
	l.echo()
	data := []byte("x")
	r, _ := l.call("c", request.Call{To: request.AllServers(), Collect: request.All, Data: data})
	l.expect(r, nil, "A:A got x", "B:B got x")
	r, _ = l.call("A", request.Call{To: request.AllMembers(), Collect: request.All, Data: data})
	l.expect(r, nil, "A:A got x", "B:B got x", "c:c got x", "d:d got x")
	d := l.n["d"].m.Endpoint()
	r, _ = l.call("c", request.Call{To: request.Members(d), Data: data})
	l.expect(r, nil, "d:d got x")
	r, _ = l.call("c", request.Call{To: request.Members(d, l.n["A"].m.Endpoint()),
		Collect: 2, Data: data})
	l.expect(r, nil, "A:A got x", "d:d got x")
	r, _ = l.call("c", request.Call{Data: data})
	l.expect(r, nil, "A:A got x")
	r, _ = l.call("d", request.Call{Data: data})
	l.expect(r, nil, "B:B got x")
	r, _ = l.call("B", request.Call{Data: data}) // itself
	l.expect(r, nil, "B:B got x")
	r, _ = l.call("c", request.Call{To: request.AllServers(), Collect: request.First, Data: data})
	l.until("first", func() bool { return r.ended == 1 })
	if len(r.replies) != 1 {
		t.Errorf("first: %d replies", len(r.replies))
	}
	r, _ = l.call("c", request.Call{To: request.AllMembers(), Collect: request.Majority})
	l.until("majority", func() bool { return r.ended == 1 })
	if len(r.replies) != 3 || r.err != nil {
		t.Errorf("majority: %d replies, %v", len(r.replies), r.err)
	}
	l.c.Run(100 * ms)
	if s := l.n["c"].d.Stats(); s.Late != 2 || s.Malformed != 0 {
		t.Errorf("%+v", s)
	}
}

func TestErrors(t *testing.T) {
	l := newLab(t, 1)
	l.group("c", "d")
	c := l.n["c"]
	for _, x := range []struct {
		to   request.To
		want error
	}{
		{request.AnyServer(), request.ErrNoServers},
		{request.AllServers(), request.ErrNoServers},
		{request.Members(clsv.Endpoint{Name: "x"}), request.ErrMemberLeft},
	} {
		r, _ := l.call("c", request.Call{To: x.to})
		l.until("error", func() bool { return r.ended > 0 })
		if !errors.Is(r.err, x.want) {
			t.Errorf("%v, want %v", r.err, x.want)
		}
	}
	r, _ := l.call("c", request.Call{To: request.AllMembers(), Collect: 3})
	l.expect(r, request.ErrTooFew)
	for _, bad := range []request.Call{{To: request.Members()}, {Collect: -3}, {Safety: 7}} {
		if _, err := c.d.Start(bad, nil); !errors.Is(err, request.ErrOptions) &&
			!errors.Is(err, request.ErrTooFew) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	l.n["d"].serve = func(r *request.Request) ([]byte, error) {
		if string(r.Data) == "typed" {
			return nil, fmt.Errorf("today: %w", errRefused)
		}
		return []byte("ignored"), errors.New("plain")
	}
	to := request.Members(l.n["d"].m.Endpoint())
	r, _ = l.call("c", request.Call{To: to, Data: []byte("typed")})
	l.expect(r, nil, "d:!today: refused")
	if !errors.Is(r.replies[0].Err, errRefused) {
		t.Error("type lost")
	}
	r, _ = l.call("c", request.Call{To: to})
	l.expect(r, nil, "d:!plain")
	if errors.Is(r.replies[0].Err, errRefused) {
		t.Error("type invented")
	}
	l.n["d"].serve = func(*request.Request) ([]byte, error) { return make([]byte, 100<<20), nil }
	r, _ = l.call("c", request.Call{To: to})
	l.until("too large", func() bool { return r.ended > 0 })
	if !errors.Is(r.replies[0].Err, request.ErrReplyTooLarge) {
		t.Error(r.replies[0].Err)
	}
	r, _ = l.call("c", request.Call{To: to, Data: make([]byte, 100<<20)})
	l.expect(r, clsv.ErrTooLarge)
}

// TestBorrowed has caller and service change their bytes afterwards.
func TestBorrowed(t *testing.T) {
	l := newLab(t, 1)
	l.group("A", "c")
	mine := []byte("answer")
	l.n["A"].serve = func(r *request.Request) ([]byte, error) {
		if string(r.Data) != "question" {
			t.Errorf("%q", r.Data)
		}
		copy(mine, "answer")
		return mine, nil
	}
	q := []byte("question")
	r, _ := l.call("c", request.Call{Data: q})
	copy(q, "********")
	l.until("call", func() bool { return r.ended > 0 })
	copy(mine, "******")
	l.expect(r, nil, "A:answer")
}

// TestOwnHandler sends messages of the application's own beside requests.
func TestOwnHandler(t *testing.T) {
	l := newLab(t, 1)
	l.group("A", "c")
	if _, err := l.n["c"].m.TryCast([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.n["c"].m.TryCast([]byte(request.DefaultPrefix)); err != nil { // malformed
		t.Fatal(err)
	}
	r, _ := l.call("c", request.Call{Data: []byte("x")})
	l.expect(r, nil, "A:did x")
	if got := strings.Join(l.n["A"].got, " "); got != "c:hello" {
		t.Errorf("got %s", got)
	}
	if s := l.n["A"].d.Stats(); s.Malformed != 1 || s.Requests != 1 || s.Answers != 1 {
		t.Errorf("%+v", s)
	}
}

func TestMemberLeft(t *testing.T) {
	for _, how := range []string{"crash", "leave", "partition"} {
		l := newLab(t, 1)
		l.later = true
		l.group("A", "B", "C", "d")
		l.echo()
		l.n["B"].mute = true
		r, _ := l.call("d", request.Call{To: request.AllServers(), Collect: request.All})
		one, _ := l.call("d", request.Call{To: request.Members(l.n["B"].m.Endpoint())})
		two, _ := l.call("d", request.Call{To: request.AllServers(), Collect: 3})
		l.c.Run(20 * ms)
		if r.ended+one.ended+two.ended > 0 {
			t.Fatal("ended too early")
		}
		switch how {
		case "crash":
			l.c.Crash("B")
		case "leave":
			_ = l.n["B"].m.StartLeave()
		case "partition":
			l.c.Partition([]string{"B"}, []string{"A", "C", "d"})
		}
		left := "B:!" + request.ErrMemberLeft.Error()
		l.until("call", func() bool { return r.ended == 1 })
		if r.replies[2].From.Name != "B" {
			t.Errorf("%+v", r.replies) // those who have left come last
		}
		l.expect(r, request.ErrMemberLeft, "A:A got ", left, "C:C got ")
		l.expect(one, request.ErrMemberLeft, left)
		l.expect(two, request.ErrMemberLeft, "A:A got ", left, "C:C got ")
		if s := l.n["d"].d.Stats(); s.Lost != 3 {
			t.Errorf("%s: %+v", how, s)
		}
		l.c.Heal()
		l.c.Run(time.Second)
	}
}

// TestFailover has servers die before and after they have served a request of
// a client that does not care who answers.
func TestFailover(t *testing.T) {
	for _, served := range []bool{false, true} {
		l := newLab(t, 1)
		l.later = true
		l.group("A", "B", "C", "d")
		var ids []string
		for _, n := range l.n {
			n.serve = func(r *request.Request) ([]byte, error) {
				ids = append(ids, fmt.Sprintf("%s %+v", n.name, r.ID))
				if n.name != "C" {
					l.c.World.CutOneWay(n.name, "d", true) // the reply is lost
				}
				return echo(n)(r)
			}
		}
		l.n["A"].mute, l.n["B"].mute = !served, !served
		r, _ := l.call("d", request.Call{Data: []byte("x")})
		for _, n := range []string{"A", "B"} {
			l.c.Run(5 * ms)
			l.c.Crash(n)
			l.c.Run(time.Second)
		}
		l.expect(r, nil, "C:C got x")
		if served != (len(ids) == 3) || !served && len(ids) != 1 {
			t.Errorf("served by %v", ids)
		}
		for _, id := range ids {
			if id[2:] != ids[0][2:] {
				t.Errorf("other identities: %v", ids)
			}
		}
		if s := l.n["d"].d.Stats(); s.Retries != 2 || s.Sent != 3 || s.Late != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// TestPartitionedClient loses all replies to a request that has been executed,
// and asks again when it is back.
func TestPartitionedClient(t *testing.T) {
	l := newLab(t, 1)
	l.group("A", "B", "d")
	for _, n := range []string{"A", "B"} {
		l.c.World.CutOneWay(n, "d", true)
	}
	all := request.Call{To: request.AllServers(), Collect: request.All, Data: []byte("x")}
	plain, _ := l.call("d", all)
	all.Retry = true
	r, _ := l.call("d", all)
	l.c.Run(10 * ms)
	if n := l.n["A"].times["x"]; n != 1 {
		t.Errorf("executed %d times", n) // the other has no identity
	}
	l.c.Partition([]string{"d"}, []string{"A", "B"})
	l.c.Run(2 * time.Second)
	l.expect(plain, request.ErrMemberLeft, "A:!"+request.ErrMemberLeft.Error(),
		"B:!"+request.ErrMemberLeft.Error())
	if r.ended > 0 {
		t.Fatal("ended without an answer")
	}
	l.c.Heal()
	l.expect(r, nil, "A:did x", "B:did x")
	for _, n := range []string{"A", "B"} {
		if k := l.n[n].times["x"]; k != 1 {
			t.Errorf("executed %d times", k)
		}
	}
}

// TestViewChange makes calls while a view change is under way: they go out in
// the next view, to all who are servers there.
func TestViewChange(t *testing.T) {
	l := newLab(t, 1)
	l.group("A", "d")
	var rs []*result
	l.echo()
	l.n["d"].block = func() {
		r, _ := l.call("d", request.Call{To: request.AllMembers(), Collect: request.All,
			Data: []byte("x")})
		rs = append(rs, r)
	}
	l.client("e")
	l.echo()
	l.settle()
	l.until("calls", func() bool { return len(rs) == 1 && rs[0].ended == 1 })
	l.expect(rs[0], nil, "A:A got x", "d:d got x", "e:e got x")
}

// TestDemoted has a server lose its place by a merge: its callers ask another.
func TestDemoted(t *testing.T) {
	l := newLab(t, 1)
	l.later = true
	l.group("A", "B", "C", "d")
	l.echo()
	l.c.Partition([]string{"A", "B"}, []string{"C", "d"})
	l.c.Run(2 * time.Second)
	l.n["C"].mute, l.n["C"].hoard = true, true
	for range 10 { // their state has seen more, and will win
		_, _ = l.n["A"].m.TryCast([]byte("more"))
	}
	r, _ := l.call("d", request.Call{Data: []byte("x")})
	all, _ := l.call("d", request.Call{To: request.AllServers(), Data: []byte("x")})
	l.c.Run(20 * ms)
	if n := len(l.n["C"].later); n != 2 {
		t.Fatalf("%d requests", n)
	}
	l.c.Heal()
	l.until("call", func() bool { return r.ended > 0 })
	if got := string(r.replies[0].Data); got != "A got x" && got != "B got x" {
		t.Error(got)
	}
	l.expect(all, request.ErrMemberLeft, "C:!"+request.ErrMemberLeft.Error())
	_ = l.n["C"].later[0].Reply(nil, nil)
	l.c.Run(20 * ms)
	if s := l.n["d"].d.Stats(); s.Late != 1 || s.Retries != 1 {
		t.Errorf("%+v", s)
	}
}

// TestForgottenRepeat repeats a request that has been executed and forgotten
// since: nobody executes it again, and the caller is told.
func TestForgottenRepeat(t *testing.T) {
	l := newLab(t, 1)
	l.group("A", "B", "d", "e", "f", "g")
	l.c.World.CutOneWay("A", "d", true)
	l.c.World.CutOneWay("B", "d", true)
	all := request.Call{To: request.AllServers(), Retry: true, Data: []byte("x")}
	r, _ := l.call("d", all)
	l.c.Run(10 * ms)
	if n := l.n["A"].times["x"]; n != 1 {
		t.Fatalf("executed %d times", n)
	}
	l.c.Partition([]string{"d"}, []string{"A", "B", "e", "f", "g"})
	l.c.Run(2 * time.Second)
	for _, n := range []string{"e", "f", "g"} {
		all.Data = []byte(n)
		other, _ := l.call(n, all)
		l.until("other", func() bool { return other.ended > 0 })
	}
	l.c.Heal()
	l.until("call", func() bool { return r.ended > 0 })
	if !errors.Is(r.replies[0].Err, request.ErrForgotten) || r.err != nil {
		t.Errorf("%+v %v", r.replies, r.err)
	}
	if n := l.n["A"].times["x"]; n != 1 {
		t.Errorf("executed %d times", n)
	}
}
