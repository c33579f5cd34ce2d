package clsv

import "testing"

// TestLateViewMessage has a server that has lost its place, and does not know it
// yet, go on as the only one. If the view message of the view that told so is
// still to come, it will hear of it before the next view, and its state is void.
func TestLateViewMessage(t *testing.T) {
	for begun, want := range map[bool]string{
		false: "S[b] T[] C[] none kept v9",
		true:  "S[b] T[] C[] none lost tainted new",
	} {
		c := composer{policy: PreferOlder}
		p := proposal("!aFs bAt@7k*9")
		p.Parties[0].Begun = begun
		c.compose(p)
		if got := render(p); got != want {
			t.Errorf("begun %v: %s, want %s", begun, got, want)
		}
	}
}

// TestUntold has a view that lost its sources end before it is accepted: the next
// one tells, unless the view message is still to come.
func TestUntold(t *testing.T) {
	for begun, want := range map[bool]string{
		false: "S[b] T[x@7] C[] atomic lost of 0",
		true:  "S[b] T[x@7] C[] atomic of 0",
	} {
		c := composer{policy: PreferOlder}
		p := proposal("bFs xAt@7")
		var a attr
		if m := &p.Parties[0].Members[0]; a.parse(m.Attr) {
			a.untold = true
			m.Attr = a.append(nil)
		}
		p.Parties[0].Begun = begun
		c.compose(p)
		if got := render(p); got != want {
			t.Errorf("begun %v: %s, want %s", begun, got, want)
		}
	}
}
