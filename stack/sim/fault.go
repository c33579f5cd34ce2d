package sim

import "maestro/stack"

// Crash ends the member's process at once, as SIGKILL does: what it has not
// transmitted is lost. The host stays up and answers for it.
func (m *Member) Crash() {
	if m.inTurn {
		m.dying = true
		return
	}
	m.end("crash")
}

// CrashHost ends the member's process and its machine, which answers nothing
// until the name is started again.
func (m *Member) CrashHost() {
	m.host.down = true
	m.Crash()
}

// CrashAt has the member crash at its k-th transmission from now, counted from
// one: before it, or with after as soon as the datagrams are on the wire.
// Zero takes it back.
func (m *Member) CrashAt(k int, after bool) { m.doom, m.after = k, after }

// Pause stops the member's process, as SIGSTOP does: datagrams fill its receive
// queue, and its timers come late.
func (m *Member) Pause() {
	if m.ended || m.paused {
		return
	}
	m.world.stats.Pauses++
	m.world.trace(m, "pause")
	m.paused = true
}

// Resume lets a paused process go on.
func (m *Member) Resume() {
	if m.ended || !m.paused {
		return
	}
	m.world.trace(m, "resume")
	m.paused = false
	m.due = stack.Never
	m.ready()
}

// end closes the member and looks for buffers that it has lost track of.
func (m *Member) end(why string) {
	if m.ended {
		return
	}
	w := m.world
	w.trace(m, "%s", why)
	if why == "crash" {
		w.stats.Crashes++
	}
	m.ended, m.dying, m.inputs = true, true, nil
	if m.host.member == m {
		m.host.member = nil
		m.host.queues = [2]int{}
	}
	w.letGo(m)
	for i := range m.inbox {
		if f := m.inbox[i].flight; f != nil {
			w.land(f)
		}
	}
	m.inbox = nil
	m.dropArena()
	if w.opts.Ended != nil {
		w.opts.Ended(m, why)
	}
	m.Group.Close()
	c, ok := m.App.(Closer)
	if ok {
		c.Close()
		w.leak(m, why)
	}
}

// Close ends the member's process in an orderly way.
func (m *Member) Close() { m.end("closed") }
