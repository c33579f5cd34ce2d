package clsv

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"maestro/stack"
	"maestro/wire"
)

// A proposal in short. Parties are separated by bars, members by spaces; each is
//
//	name role state options
//
// with the role C (client), N (server, NoXfer), F, P, A (server with free,
// protected, atomic transfer), the state - (joins), c, t, s (its list) and
// options d (done), e (expired), i (idle), +n (progress), *n (version), ^n (agreed),
// k (has kept its state), @n (transfer began at time n).
func proposal(s string) *stack.Proposal {
	p := &stack.Proposal{Next: &wire.View{ID: wire.ViewID{Ltime: 50, Coord: end("z")}}}
	for i, ps := range strings.Split(s, "|") {
		q := stack.ProposalParty{View: wire.ViewID{Ltime: uint64(10 + i), Coord: end("z")}}
		r := roles{lineage: uint64(100 + i)}
		for _, m := range strings.Fields(ps) {
			var a attr
			gone := m[0] == '!'
			m = strings.TrimPrefix(m, "!")
			if m[1] != 'C' {
				a.role = Server
			}
			a.place.xfer = Xfer(max(strings.IndexByte("NFPA", m[1]), 0))
			a.place.list = list(strings.IndexByte("cts-", m[2]))
			q.Private = a.place.list == inNone
			setAll(m[3:], &a)
			r.places = append(r.places, a.place)
			if gone {
				continue
			}
			w := wire.Member{ID: end(m[:1]), Attr: a.append(nil)}
			q.Members = append(q.Members, w)
			p.Next.Members = append(p.Next.Members, w)
		}
		if !q.Private {
			q.Extra = r.append(nil)
		}
		p.Parties = append(p.Parties, q)
	}
	return p
}

func end(name string) wire.Endpoint { return wire.Endpoint{Name: name, Incarnation: 1} }

func set(s string, a *attr) {
	n := uint64(0)
	fmt.Sscan(s[1:], &n)
	switch s[0] {
	case 'd':
		a.done = true
	case 'e':
		a.expired = true
	case 'i':
		a.idle = true
	case 'k':
		a.kept = 77
	case '+':
		a.progress = n
	case '*':
		a.version = n
	case '^':
		a.agreed = n
	case '@':
		a.place.since = n
	}
}

func setAll(s string, a *attr) {
	for len(s) > 0 {
		k := 1
		for k < len(s) && s[k] >= '0' && s[k] <= '9' {
			k++
		}
		set(s[:k], a)
		s = s[k:]
	}
}

// render prints what was composed: names by list, with the time at which
// transfers began, and what is special.
func render(p *stack.Proposal) string {
	var r roles
	if !r.parse(p.Next.Extra, len(p.Next.Members)) {
		return "malformed"
	}
	var l [3][]string
	for i, q := range r.places {
		s := p.Next.Members[i].ID.Name
		if q.list == inXfer {
			s += fmt.Sprint("@", q.since)
		}
		l[q.list] = append(l[q.list], s)
	}
	s := fmt.Sprintf("S%v T%v C%v %v", l[inServers], l[inXfer], l[inClients], r.viewType())
	if r.lost {
		s += " lost"
	}
	if r.tainted {
		s += " tainted"
	}
	switch {
	case r.lineage >= 100 && r.lineage < 110:
		s += fmt.Sprint(" of ", r.lineage-100)
	case r.lineage == 77:
		s += " kept"
	case r.lineage != 0:
		s += " new"
	}
	if r.agreed > 0 {
		s += fmt.Sprint(" agreed ", r.agreed)
	}
	if r.version > 0 {
		s += fmt.Sprint(" v", r.version)
	}
	return s
}

func TestCompose(t *testing.T) {
	for _, x := range []struct {
		name, in, want string
		lost           SourcesLost
	}{
		{name: "first client", in: "aC-", want: "S[] T[] C[a] none"},
		{name: "first server", in: "aA-", want: "S[a] T[] C[] none new"},
		{name: "server into clients", in: "aCc bCc|xA-", want: "S[x] T[] C[a b] none new"},
		{name: "two first servers", in: "aCc|xA-|yF-", want: "S[x] T[y@50] C[a] free new"},
		{name: "first NoXfer beside another", in: "xA-|yN-", want: "S[y] T[x@50] C[] atomic new"},
		{name: "client joins", in: "aFs|xC-", want: "S[a] T[] C[x] none of 0"},
		{name: "NoXfer joins", in: "aFs|xN-", want: "S[a x] T[] C[] none of 0"},
		{name: "server joins", in: "aFs*9|xP-", want: "S[a] T[x@50] C[] protected of 0 v9"},
		{name: "transfer goes on", in: "aFs xAt@7|yF-", want: "S[a] T[x@7 y@50] C[] atomic of 0"},
		{name: "transfer done", in: "aFs xAt@7d", want: "S[a x] T[] C[] none of 0"},
		{name: "transfer expired", in: "aFs xAt@7e", want: "S[a] T[] C[x] none of 0"},
		{name: "stays idle", in: "aFs xAci", want: "S[a] T[] C[x] none of 0"},
		{name: "tries again", in: "aFs xAc", want: "S[a] T[x@50] C[] atomic of 0"},
		{name: "a server leaves", in: "!aFs bFs", want: "S[b] T[] C[] none of 0"},
		{name: "last server leaves", in: "!aFs bCc", want: "S[] T[] C[b] none"},
		{name: "source dies", in: "!aFs bFs xAt@7", want: "S[b] T[x@7] C[] atomic of 0"},
		{name: "sources lost", in: "!aFs xAt@7+5 yFt@8+6 zCc",
			want: "S[y] T[x@50] C[z] atomic lost tainted new"},
		{name: "sources lost, tie", in: "!aFs xAt@7 yFt@8",
			want: "S[x] T[y@50] C[] free lost tainted new"},
		{name: "sources lost, one is done", in: "!aFs xAt@7+5 yFt@8d",
			want: "S[y] T[x@7] C[] atomic of 0"},
		{name: "sources lost, wait", lost: Wait, in: "!aFs xAt@7 yFt@8",
			want: "S[] T[x@7 y@8] C[] atomic lost"},
		{name: "waiting goes on", lost: Wait, in: "xAt@7|yF-",
			want: "S[] T[x@7 y@50] C[] atomic lost"},
		{name: "waiting ends by a merge", lost: Wait, in: "xAt@7|bFs",
			want: "S[b] T[x@50] C[] atomic of 1"},
		{name: "sources lost, fail", lost: Fail, in: "!aFs xAt@7",
			want: "S[] T[x@7] C[] atomic lost"},
		{name: "server dies, another joins", in: "!aFs bCc|xF-",
			want: "S[x] T[] C[b] none lost tainted new"},
		{name: "alone, not aware of a merge lost", in: "!aFs bAt@7k*9",
			want: "S[b] T[] C[] none kept v9"},
		{name: "NoXfer, not aware of a merge lost", in: "!aFs bNcik*9|xF-",
			want: "S[b] T[x@50] C[] free kept v9"},
		{name: "merge, version", in: "aFs*1 bFs*1 cCc|dFs*2 eAt@9 fCc",
			want: "S[d] T[a@50 b@50 e@9] C[c f] atomic of 1 v2"},
		{name: "merge, agreed", in: "aFs^3*99|dFs^7*2 eFs^6*50",
			want: "S[d e] T[a@50] C[] free of 1 agreed 7 v2"},
		{name: "merge, servers", in: "aFs|dFs eFs", want: "S[d e] T[a@50] C[] free of 1"},
		{name: "merge, members", in: "aFs|dFs eCc", want: "S[d] T[a@50] C[e] free of 1"},
		{name: "merge, clients are no servers", in: "aCc bCc cCc|dFs",
			want: "S[d] T[] C[a b c] none of 1"},
		{name: "merge, loser's done does not count", in: "aFs*2|dFs eAt@9d",
			want: "S[a] T[d@50 e@50] C[] atomic of 0 v2"},
		{name: "merge, NoXfer loser", in: "aFs*2|dNs", want: "S[a] T[] C[d] none of 0 v2"},
		{name: "NoXfer loser, after", in: "aFs*2 dNc", want: "S[a d] T[] C[] none of 0 v2"},
		{name: "merge, version of a transfer does not count", in: "aFs*2|dFs*1 eFt*9",
			want: "S[a] T[d@50 e@50] C[] free of 0 v2"},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := composer{policy: PreferOlder, lost: x.lost}
			p := proposal(x.in)
			c.compose(p)
			if got := render(p); got != x.want {
				t.Errorf("%s\n got %s\nwant %s", x.in, got, x.want)
			}
			if !p.Next.Primary {
				t.Error("not primary")
			}
		})
	}
}

func TestComposeQuorum(t *testing.T) {
	c := composer{policy: PreferOlder, quorum: 3}
	for in, want := range map[string]bool{"aCc bCc cCc": true, "aCc bCc": false,
		"aCc|bC-|cC-": true} {
		p := proposal(in)
		c.compose(p)
		if p.Next.Primary != want {
			t.Errorf("%s: primary %v", in, p.Next.Primary)
		}
	}
}

func TestPreferOlder(t *testing.T) {
	order := []Side{
		{},
		{Members: 9},
		{Servers: 1},
		{Servers: 1, Whole: true},
		{Servers: 1, Whole: true, View: ViewID{Ltime: 1}},
		{Servers: 1, Whole: true, Members: 2},
		{Servers: 2, Whole: true},
		{Servers: 1, Whole: true, Version: 1},
		{Servers: 1, Whole: true, Primary: true},
		{Servers: 1, Whole: true, Agreed: 1},
		{Servers: 1, Whole: true, Agreed: 2},
	}
	if !slices.IsSortedFunc(order, PreferOlder) {
		t.Error("not in order")
	}
	for i := range order[1:] {
		if PreferOlder(order[i], order[i+1]) >= 0 || PreferOlder(order[i+1], order[i]) <= 0 {
			t.Errorf("%v and %v", order[i], order[i+1])
		}
	}
}

func TestCodecs(t *testing.T) {
	for i := range 1 << 10 {
		a := attr{role: Role(i & 1),
			place: place{list(i >> 1 & 3), Xfer(i >> 3 & 3), uint64(i * i)},
			done:  i>>5&1 != 0, expired: i>>6&1 != 0, idle: i>>7&1 != 0, progress: uint64(i) << 40,
			agreed: uint64(i) << 3, version: uint64(i), kept: uint64(i >> 8 & 1)}
		var b attr
		if e := a.append(nil); !b.parse(e) || a != b {
			t.Fatalf("%+v, %+v", a, b)
		}
	}
	r := roles{lost: true, lineage: 1 << 60, agreed: 300, version: 5, places: make([]place, 3)}
	r.places[1] = place{inXfer, AtomicXfer, 99}
	var s roles
	e := r.append(nil)
	if !s.parse(e, 3) || fmt.Sprint(r) != fmt.Sprint(s) || s.parse(e, 2) || len(s.places) != 2 {
		t.Fatalf("%+v, %+v", r, s)
	}
	for n := range e {
		if s.parse(e[:n], 3) || len(s.places) != 3 || s.count(inClients) != 3 {
			t.Fatalf("%d bytes: %+v", n, s)
		}
	}
	if len((&roles{places: make([]place, wire.MaxMembers)}).append(nil)) > wire.MaxExtra {
		t.Error("does not fit")
	}
}

func TestUserHead(t *testing.T) {
	data := []byte("data")
	for _, ranks := range [][]int{nil, {0}, {1, 2, 900}} {
		b := appendRanks(appendNumber(nil, 1<<40), ranks)
		b = append(b, data...)
		for me := range 4 {
			var h userHead
			body, ok := h.parse(userKind(Lsend, Safe, true, true), b, me)
			if !ok || !bytes.Equal(body, data) || h.mine != slices.Contains(ranks, me) ||
				h.number != 1<<40 || h.kind != Lsend || h.safety != Safe {
				t.Errorf("%v at %d: %+v %q", ranks, me, h, body)
			}
		}
	}
}

// FuzzClSv gives arbitrary bytes to all that comes from the network.
func FuzzClSv(f *testing.F) {
	a := attr{role: Server, place: place{inXfer, AtomicXfer, 7}, kept: 3}
	r := roles{places: []place{{}, {inXfer, FreeXfer, 9}, {inServers, 0, 0}}}
	f.Add(byte(0), a.append(nil))
	f.Add(byte(1), r.append(nil))
	f.Add(byte(kindNumbered|kindListed), appendRanks(appendNumber(nil, 5), []int{1, 2}))
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		var a attr
		if a.parse(b) {
			var c attr
			if !c.parse(a.append(nil)) || a != c {
				t.Errorf("%+v, %+v", a, c)
			}
		}
		var r roles
		if r.parse(b, -1) && len(r.places) > wire.MaxMembers {
			t.Error("too many members")
		}
		if r.parse(b, 3); len(r.places) != 3 {
			t.Errorf("%+v", r)
		}
		var h userHead
		if body, ok := h.parse(kind, b, 1); ok && (len(body) > len(b) || h.safety > XferSafe) {
			t.Errorf("%+v", h)
		}
		p := proposal("aFs bCc|xF-|dFs eAt")
		for i := range p.Parties {
			p.Parties[i].Extra = b
			for j := range p.Parties[i].Members {
				p.Parties[i].Members[j].Attr = b
			}
		}
		c := composer{policy: PreferOlder}
		if c.compose(p); render(p) == "malformed" {
			t.Error("malformed")
		}
	})
}
