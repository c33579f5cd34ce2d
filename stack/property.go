package stack

import (
	"errors"
	"fmt"
	"strings"
)

// Props is a set of properties that layers need and give.
type Props uint32

// The properties.
const (
	Datagrams    Props = 1 << iota // datagrams to and from the members of the view
	Reliable                       // multicast segments arrive once, in FIFO order, without gaps
	PointToPoint                   // segments to one member arrive once, in order
	Messages                       // messages of any size over segments, each stream in order
	Stable                         // buffers are freed, senders are throttled
	Fifo                           // messages of one sender arrive in the order sent
	Total                          // all members deliver in one order
	Local                          // own casts are delivered to oneself
	NoLocal                        // own casts are not delivered to oneself
	Detect                         // failures are suspected
	Elect                          // one member acts for the view
	Sync                           // survivors of a view deliver the same messages in it
	Views                          // members agree on the views that follow
	Merge                          // separate views of one group become one
)

var propNames = []string{"Datagrams", "Reliable", "PointToPoint", "Messages", "Stable", "Fifo",
	"Total", "Local", "NoLocal", "Detect", "Elect", "Sync", "Views", "Merge"}

// String lists the properties by name.
func (p Props) String() string {
	var s []string
	for i, n := range propNames {
		if p&(1<<i) != 0 {
			s = append(s, n)
		}
	}
	return strings.Join(s, "|")
}

// ErrComposition is what an impossible stack is refused with.
var ErrComposition = errors.New("stack: impossible composition")

// Check tells whether every layer's needs are given by the layers below it.
// Makers are listed from the bottom up.
func Check(makers []Maker) error {
	var given Props
	spoken := map[string]string{}
	for _, m := range makers {
		if missing := m.Needs &^ given; missing != 0 {
			return fmt.Errorf("%w: %s needs %v below it", ErrComposition, m.Name, missing)
		}
		given |= m.Gives
		for _, k := range m.Kinds {
			if by, twice := spoken[k.String()]; twice {
				return fmt.Errorf("%w: %s and %s both speak %v", ErrComposition, by, m.Name, k)
			}
			spoken[k.String()] = m.Name
		}
	}
	if want := Datagrams | Views; given&want != want {
		return fmt.Errorf("%w: nobody gives %v", ErrComposition, want&^given)
	}
	return nil
}
