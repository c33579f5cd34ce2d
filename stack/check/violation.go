package check

import (
	"fmt"
	"strings"

	"maestro/stack/trace"
	"maestro/wire"
)

// Violation is one property that the trace does not have.
type Violation struct {
	Prop    string // as in the specification: M1, D5, CS8 ...
	Text    string // what is wrong, without the members
	Members []wire.Endpoint
	Msg     trace.MsgID // zero if it is not about a message
	View    wire.ViewID
	Time    int64 // of the event that showed it; 0 if it took several

	places []place
	around int
}

// place is a point in what a member did in a view. Text holds it when the view
// has been forgotten.
type place struct {
	v    *view
	rank int
	at   int // index in the member's history
	text string
}

// String is the violation on one line.
func (x *Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: ", x.Prop, title(x.Prop))
	b.WriteString(x.Text)
	if len(x.Members) > 0 {
		fmt.Fprintf(&b, "; member %s", x.Members[0])
		for _, m := range x.Members[1:] {
			fmt.Fprintf(&b, ", %s", m)
		}
	}
	if x.Msg != (trace.MsgID{}) {
		fmt.Fprintf(&b, "; message %s", x.Msg)
	}
	if !x.View.IsZero() {
		fmt.Fprintf(&b, "; view %s", x.View)
	}
	if x.Time != 0 {
		fmt.Fprintf(&b, "; at %.6f s", float64(x.Time)/1e9)
	}
	return b.String()
}

// Detail is the violation with what each of its members did around it.
func (x *Violation) Detail() string {
	var b strings.Builder
	b.WriteString(x.String())
	b.WriteByte('\n')
	for _, p := range x.places {
		if p.text == "" {
			p.text = p.v.around(p.rank, p.at, x.around)
		}
		b.WriteString(p.text)
	}
	return b.String()
}

// settle turns the places in v into text, before v is forgotten.
func (x *Violation) settle(v *view) {
	for i := range x.places {
		if p := &x.places[i]; p.v == v {
			p.text = v.around(p.rank, p.at, x.around)
			p.v = nil
		}
	}
}

// title is the name of a property.
func title(prop string) string {
	for _, p := range Properties() {
		if p.ID == prop {
			return p.Name
		}
	}
	return "unknown property"
}

// Property is one property that the checker implements.
type Property struct{ ID, Name string }

// Properties lists what the checker implements, in the order of the
// specification.
func Properties() []Property {
	return []Property{
		{"M0", "silence after crash and exit"},
		{"M1", "self inclusion"},
		{"M2", "view ids grow"},
		{"M3", "view agreement"},
		{"M4", "initial view"},
		{"M5", "chain of primary views"},
		{"M6", "fresh incarnations"},
		{"D0", "a message is sent once"},
		{"D1", "integrity"},
		{"D2", "no duplicates"},
		{"D3", "delivery in the sending view"},
		{"D4", "delivery in one view"},
		{"D5", "virtual synchrony"},
		{"D6", "transitional set"},
		{"D7", "self delivery"},
		{"D8", "sender in the view"},
		{"D10", "delivery to destinations"},
		{"B1", "silence between block and view"},
		{"B2", "one block for each view"},
		{"O1", "FIFO without gaps"},
		{"O1p", "FIFO of point-to-point messages"},
		{"O2", "causal order without holes"},
		{"O3", "total order"},
		{"O4", "uniform total order"},
		{"O5", "prefixes of one order"},
		{"O6", "total order respects causality"},
		{"S1", "safe delivery"},
		{"L1", "one view after healing"},
		{"L3", "delivery terminates"},
		{"L5", "blocks end"},
		{"L7", "transfers end"},
		{"CS1", "roles partition the members"},
		{"CS2", "agreement on roles"},
		{"CS3", "differences to the own previous view"},
		{"CS4", "server coordinator"},
		{"CS5", "view type"},
		{"CS6", "state machine"},
		{"CS7", "start of transfers"},
		{"CS8", "safety gate"},
		{"CS9", "delayed, not lost"},
		{"CS10", "order of delayed messages"},
		{"CS11", "destinations by role"},
		{"CS12", "who may ask whom"},
		{"CS13", "state messages"},
		{"CS14", "clients do not transfer"},
		{"CS15", "no unearned promotion"},
		{"CS16", "one lineage of state"},
		{"CS17", "equal states"},
		{"CS18", "state at rest during atomic transfers"},
		{"CS19", "view message"},
		{"CS20", "order of callbacks"},
	}
}
