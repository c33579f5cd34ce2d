package once

import "maestro/wire"

// Client numbers the requests of one client. It is not safe for concurrent use.
type Client struct {
	self   wire.Endpoint
	window uint64
	number uint64 // of the last request
	acked  uint64 // all up to this one are done
	clock  uint64
	done   map[uint64]struct{} // those done above acked; less than window
}

// NewClient makes a client that has asked nothing yet. Window is how far the
// numbers of outstanding requests may lie apart: at most the tables'
// Limits.Window; 0 is the default of that.
//
// The endpoint must not have been a Client's before.
func NewClient(self wire.Endpoint, window int) *Client {
	if window <= 0 {
		window = DefaultWindow
	}
	return &Client{self: self, window: uint64(window), done: map[uint64]struct{}{}}
}

// Next names the next request. It returns ErrBusy while the oldest request that
// is not done is a window back.
func (c *Client) Next() (ID, error) {
	if c.number-c.acked >= c.window {
		return ID{}, ErrBusy
	}
	c.number++
	return ID{Client: c.self, Number: c.number, Acked: c.acked, Base: c.clock}, nil
}

// Done says that a request will not be repeated: it has been answered, or given
// up.
func (c *Client) Done(number uint64) {
	if number <= c.acked || number > c.number {
		return
	}
	c.done[number] = struct{}{}
	for {
		if _, ok := c.done[c.acked+1]; !ok {
			return
		}
		c.acked++
		delete(c.done, c.acked)
	}
}

// Learn takes in the clock of a table, from a reply; 0 is none. The last one
// counts, not the largest: it may be smaller than one before if the service has
// lost the state which that was of. A wrong clock is harmless in the end. Too small
// or too large, it has the next request refused, never executed twice; the clock
// that comes with the refusal puts it right.
func (c *Client) Learn(clock uint64) {
	if clock > 0 {
		c.clock = clock
	}
}
