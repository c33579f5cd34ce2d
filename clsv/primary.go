package clsv

import "maestro/stack"

// PrimaryObserver is a Handler that, with GroupOptions.Quorum or PrimaryOnly, is
// told of the primary views that a quorum has installed.
type PrimaryObserver interface {
	// PrimaryView comes at most once for a view, after its AcceptedView, when this
	// member knows that a quorum has installed the view. With
	// GroupOptions.PrimaryOnly it comes for the views that messages go out in,
	// before anything is received in them; what has waited for the view is sent
	// before. viewMsg is that of AcceptedView.
	PrimaryView(v *View, viewMsg []byte)
}

// GroupPrimaryObserver is a GroupHandler that is told of the primary views that a
// quorum has installed; see PrimaryObserver.
type GroupPrimaryObserver interface {
	PrimaryView(v *GroupView, viewMsg []byte)
}

// A view that has enough members on its list may have been installed by few of
// them: the others never heard of it, and went on to another view. So, with
// a quorum, each member that has installed a view multicasts that it has,
// and the view is agreed on for those who have heard so from a quorum. Two views
// with a quorum each have a member in common that has installed both, one after
// the other. And since the announcements are multicasts like others, members
// that leave the view together have heard the same ones: if the view was
// agreed on for one of them, it is for all. PrimaryOnly lets nothing flow before.
//
// Agreed views are in one order, that of their logical times, and so is how old a
// state is (Side): the last of them that it comes from, and how much of it was
// received there. Who knows that its view is agreed on, and answers for something
// that it has received there before Block, has a state that is preferred in merges
// over all that do not have it.

// candidate reports whether the view may become primary.
func (c *core) candidate(in *intake) bool {
	return c.opts.PrimaryOnly && in.view.Primary && in.typ == NoXfer
}

// flows reports whether messages of the view reach the application as they
// come. In views that cannot become primary there are none of users.
func (c *core) flows(in *intake) bool { return in.entered && (in.prime || !c.candidate(in)) }

// announce tells that this member has installed the view.
func (c *core) announce(in *intake) {
	if !in.view.Primary || c.opts.Quorum == 0 && !c.opts.PrimaryOnly {
		return
	}
	in.here = make([]bool, len(in.view.Members))
	if !c.leaving {
		c.tell(stack.All, kindInstalled, nil)
	}
}

// installed counts a member that has installed the view.
func (c *core) installed(from int) {
	in := c.cur
	if in.here == nil || in.here[from] {
		c.stats.Malformed++
		return
	}
	in.here[from] = true
	in.announced++
	if in.announced != max(c.opts.Quorum, 1) {
		return
	}
	in.agreed = !in.stopping
	in.prime = !c.opts.PrimaryOnly || c.candidate(in)
	if in.prime && in.entered {
		c.admit(in)
	}
}

// admit lets messages of a view flow, once it is primary and has been entered.
func (c *core) admit(in *intake) {
	c.push(item{op: opPrimary, ev: &event{in: in, data: in.viewMsg}})
	c.in = append(c.in, in.held...)
	in.held = nil
}

// begin has messages of this member go out in a view, those that have waited
// first, before its application knows that it is primary.
func (c *core) begin(in *intake) {
	in.begun = true
	c.release()
}

// callPrimary tells the handler of a primary view.
func (c *core) callPrimary(ev *event) {
	if p, ok := c.h.(PrimaryObserver); ok {
		p.PrimaryView(c.view, ev.data)
	}
}
