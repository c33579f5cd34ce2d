package stack

import (
	"fmt"
	"net/netip"
	"strings"

	"maestro/wire"
)

// View is the membership that a stack is made for. It is never changed.
type View struct {
	wire.View
	Group string
	Rank  int         // this member's rank
	Prev  wire.ViewID // the view that this member comes from
	// Together tells, by rank, who comes from the same view as this member:
	// the transitional set.
	Together []bool
	// Core is, by rank, who gets what is cast to the view's core. Nil means that
	// the view has none: what is cast to the core is cast to all.
	Core Set
	// Private is the view of a member that is still looking for its group. The
	// application does not see it.
	Private bool
}

// RankOf returns the rank of an endpoint, or -1.
func (v *View) RankOf(e wire.Endpoint) int {
	for i := range v.Members {
		if v.Members[i].ID == e {
			return i
		}
	}
	return -1
}

// RankAt returns the rank of the member with a unicast address, or -1.
func (v *View) RankAt(a netip.AddrPort) int {
	for i := range v.Members {
		if v.Members[i].Addr == a {
			return i
		}
	}
	return -1
}

// InCore reports whether a member gets what is cast to the core.
func (v *View) InCore(rank int) bool { return v.Core == nil || v.Core[rank] }

// Streams is the number of multicast streams, a number s of which is member
// s%n's: its stream to all, and from n on, in a view with a core, its stream to
// the core.
func (v *View) Streams() int {
	if v.Core == nil {
		return len(v.Members)
	}
	return 2 * len(v.Members)
}

// StreamOf numbers the streams that come from the members of a view of n: those
// of casts, of core casts, and of sends, by rank.
func StreamOf(n, from, to int) int {
	switch to {
	case All:
		return from
	case Core:
		return n + from
	}
	return 2*n + from
}

// Endpoints returns the members in rank order.
func (v *View) Endpoints() []wire.Endpoint {
	e := make([]wire.Endpoint, len(v.Members))
	for i := range e {
		e[i] = v.Members[i].ID
	}
	return e
}

// String prints the id and the members' names.
func (v *View) String() string {
	names := make([]string, len(v.Members))
	for i := range names {
		names[i] = v.Members[i].ID.Name
	}
	return fmt.Sprintf("%v[%s]", v.ID, strings.Join(names, " "))
}

// Set is a set of ranks of one view.
type Set []bool

// Ranks lists the members of the set in increasing order.
func (s Set) Ranks() []int {
	var r []int
	for i, in := range s {
		if in {
			r = append(r, i)
		}
	}
	return r
}

// Add adds ranks, ignores those out of range, and reports whether any was new.
func (s Set) Add(ranks []int) bool {
	news := false
	for _, r := range ranks {
		if r >= 0 && r < len(s) && !s[r] {
			s[r] = true
			news = true
		}
	}
	return news
}

// Clone returns a copy.
func (s Set) Clone() Set { return append(Set(nil), s...) }

// First returns the lowest rank that is not in the set, or -1.
func (s Set) First() int {
	for i, in := range s {
		if !in {
			return i
		}
	}
	return -1
}

// SetOf makes a set of n ranks.
func SetOf(n int, ranks []int) Set {
	s := make(Set, n)
	s.Add(ranks)
	return s
}
