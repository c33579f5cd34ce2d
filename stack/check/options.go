package check

import "time"

// Options says what the checked stack promises. The zero value checks what
// holds always.
type Options struct {
	Sync    bool // strong virtual synchrony: D3, D5, D6, B1, B2
	Local   bool // members deliver their own multicasts: D7
	Fifo    bool // O1, O1p
	Causal  bool // O2
	Total   bool // O3, O6 between members that move on together
	Uniform bool // with Total: the order binds crashed members too, O4, O5
	Safe    bool // every delivery is safe: S1 for deliveries, O4, O5
	Primary bool // M5
	ClSv    bool // CS1 to CS16, CS19, CS20

	// StateEqual says that the application is a deterministic state machine
	// that records AppState: CS17, CS18.
	StateEqual bool
	// StickyType accepts a view type stricter than the transfers in progress.
	StickyType bool

	// Online says that events come in causal order and that crashes are
	// recorded where they happen, so that a view can be judged and forgotten
	// once all its members have left it. Otherwise all is judged by Finish.
	Online bool

	// Bound is the time within which a healed group must be one, and blocks,
	// messages and transfers must have come to an end. Zero leaves L1, L3, L5
	// and L7 out.
	Bound time.Duration

	// Max bounds the violations that are kept; the others are counted. Zero
	// means 100.
	Max int
	// Around is the number of events shown on each side of a violation. Zero
	// means 20.
	Around int
}

// VSync are the options of a strongly virtually synchronous FIFO stack with
// self-delivery, as GroupMember runs by default.
func VSync() Options {
	return Options{Sync: true, Local: true, Fifo: true}
}

func (o Options) withDefaults() Options {
	if o.Max == 0 {
		o.Max = 100
	}
	if o.Around == 0 {
		o.Around = 20
	}
	return o
}
