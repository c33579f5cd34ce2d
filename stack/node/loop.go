package node

import (
	"net/netip"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// maxReceives bounds how many batches one turn takes before it answers.
const maxReceives = 4

// maxRounds bounds how often handlers may answer their own messages before the
// sockets are looked at again.
const maxRounds = 3

// loop is the member's event loop.
func (n *Node) loop() {
	defer close(n.ended)
	n.mu.Lock()
	defer n.mu.Unlock()
	for !n.closing {
		n.turn(true)
		n.sleep()
	}
}

// turn takes what has come, runs callbacks if it may, and sends what follows.
func (n *Node) turn(callbacks bool) {
	callbacks = callbacks && n.used
	began := n.Now()
	defer n.guard()
	n.fed = false
	if n.failed {
		n.discard()
		n.expire(began) // what is due would end every wait
		n.more = n.callbacks(callbacks)
		return
	}
	n.group.Advance(began)
	n.expire(began)
	n.receive()
	ran := n.callbacks(callbacks)
	if callbacks && n.feed != nil {
		n.serve()
	}
	n.endTurn()
	// Sending delivers to ourselves, and handlers may send again.
	for range maxRounds {
		if n.more = n.callbacks(callbacks); !n.more {
			break
		}
		ran = true
		n.endTurn()
	}
	n.stats.Turns++
	if d := n.Now().Sub(began); !ran && d > n.stats.MaxTurn {
		n.stats.MaxTurn = d
	}
}

// serve lets the application cast what it has. As long as it goes on only whole bursts leave.
func (n *Node) serve() {
	before := n.group.Counters().MessagesOut
	if !n.feed(n.group) {
		n.feed = nil
		return
	}
	n.fed = n.group.Counters().MessagesOut > before && !n.group.Waiting()
}

// expire serves the application's deadlines.
func (n *Node) expire(now stack.Time) {
	if n.timed != nil && n.used && n.timed.Next() <= now {
		n.timed.Expire(now)
	}
}

// discard empties the sockets of a member that has failed: it would be woken for
// ever by what nobody reads.
func (n *Node) discard() {
	k, _ := n.conn.Receive(n.pkts)
	for i := range n.pkts[:k] {
		n.pkts[i].Buf.Drop()
		n.pkts[i].Buf = nil
	}
}

func (n *Node) receive() {
	for range maxReceives {
		k, err := n.conn.Receive(n.pkts)
		if err != nil {
			n.log.Warn("receive", "err", err)
		}
		for i := range n.pkts[:k] {
			n.note(n.pkts[i].Data)
			n.group.Receive(&n.pkts[i])
			n.pkts[i].Buf.Drop()
			n.pkts[i].Buf = nil
		}
		if k < len(n.pkts) {
			break
		}
	}
	n.lifelines()
}

// note keeps in mind whether the last of what has come is of a stream of bulk.
func (n *Node) note(b []byte) {
	if more, stream := wire.MoreOf(b); stream {
		n.bulk = more
	}
}

// lifelines hears of processes that have ended.
func (n *Node) lifelines() {
	if addr, held, news := n.conn.Lifeline(); news {
		n.group.Lifeline(addr, held)
	}
	for {
		addr, ok := n.conn.Unreachable()
		if !ok {
			return
		}
		n.group.Unreachable(addr)
	}
}

// endTurn sends what the turn has gathered.
func (n *Node) endTurn() {
	n.group.Counters().SocketDrops = n.conn.Stats().SocketDrops
	if n.fed {
		n.group.More()
	}
	waiting := n.group.Waiting()
	n.group.EndTurn()
	n.fed = n.fed || n.feed != nil && waiting && !n.group.Waiting()
	if e := n.group.Epoch(); e != n.epoch {
		n.epoch = e
		n.members()
	}
	if err := n.conn.Flush(); err != nil {
		n.log.Debug("send", "err", err)
	}
}

// members tells the sockets who is in the view, for fan-out without multicast,
// and whether this member is in its core.
func (n *Node) members() {
	v := n.group.View()
	addrs := make([]netip.AddrPort, len(v.Members))
	for i := range addrs {
		addrs[i] = v.Members[i].Addr
	}
	n.conn.SetMembers(addrs)
	if err := n.conn.SetCore(v.Core != nil && v.Core[v.Rank]); err != nil {
		n.log.Warn("core", "err", err)
	}
}

// callbacks runs what waits for the application, without the lock. It reports
// whether anything ran.
func (n *Node) callbacks(allowed bool) (ran bool) {
	for allowed && n.app.Take() {
		ran = true
		n.watch()
		n.run()
		if !n.failed {
			n.group.Advance(n.Now())
		}
		n.app.Done()
	}
	return ran
}

// run runs what the application took. It has the lock again also when that panics.
func (n *Node) run() {
	n.mu.Unlock()
	defer n.resume()
	n.app.Run()
}

// resume takes the lock again, and the member from the stand-in if there is one.
func (n *Node) resume() {
	n.mu.Lock()
	n.running = false
	for n.standing {
		n.conn.Wake()
		n.relieved.Wait()
	}
}

// watch notes that callbacks begin. The timer goes on from one run to the next: to
// set it for each would cost more than most of them, and wake a thread of the runtime.
func (n *Node) watch() {
	n.running, n.ranAt = true, n.Now()
	if !n.watched {
		n.watched = true
		n.patience.Reset(n.cfg.Patience)
	}
}

// standIn serves the protocol while callbacks take their time.
func (n *Node) standIn() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.watched = false
	if !n.running || n.standing || n.closing {
		return
	}
	if left := n.ranAt.Add(n.cfg.Patience).Sub(n.Now()); left > 0 { // a later run
		n.watched = true
		n.patience.Reset(left)
		return
	}
	n.standing = true
	n.stats.StandIns++
	for n.running && !n.closing {
		n.turn(false)
		if n.running {
			n.sleep()
		}
	}
	n.standing = false
	n.relieved.Broadcast()
}

// sleep waits for a datagram, a deadline or a downcall.
func (n *Node) sleep() {
	if n.closing {
		return
	}
	d := n.wait()
	n.asleep = true
	bulk := n.bulk
	n.bulk = false
	n.mu.Unlock()
	if bulk {
		d = n.nap(d)
	}
	err := n.idle(d)
	n.mu.Lock()
	n.asleep = false
	if n.stream {
		n.stream = false
		n.mu.Unlock()
		_ = n.conn.Wait(gather)
		n.mu.Lock()
	}
	if err != nil && !n.closing {
		n.log.Warn("wait", "err", err)
	}
}

// wait is how long there is nothing to do.
func (n *Node) wait() time.Duration {
	if n.more || n.fed {
		return 0
	}
	next := stack.Never
	if !n.failed {
		next = n.group.Next()
	}
	if n.timed != nil && n.used {
		next = min(next, n.timed.Next())
	}
	if next == stack.Never {
		return -1
	}
	return max(next.Sub(n.Now()), 0)
}

// nap is how long a receiver sleeps that has taken all that there was of a stream of bulk,
// whatever comes. So it takes several bursts at a time, and its senders, who would
// wake it for each, have nobody to wake: on a virtual machine that takes as long as to send
// one. It is what a quarter of the window that such senders have lasts at 10 GB/s.
const nap = 100 * time.Microsecond

// nap sleeps for a part of d, unless there is something already or soon, and returns what is
// left of it.
func (n *Node) nap(d time.Duration) (left time.Duration) {
	c, ok := n.conn.(interface{ Nap(d time.Duration) bool })
	switch {
	case !ok || n.cfg.Spin != 0 || d >= 0 && d <= nap:
		return d
	case c.Nap(nap):
		return 0
	case d < 0:
		return d
	}
	return d - nap
}

// idle waits for at most d, polling for Spin before it sleeps.
func (n *Node) idle(d time.Duration) error {
	if n.cfg.Spin == 0 || d == 0 {
		return n.conn.Wait(d)
	}
	poll, ok := n.conn.(interface{ Poll(d time.Duration) bool })
	if !ok {
		return n.conn.Wait(d)
	}
	spin := n.cfg.Spin
	if spin < 0 || d >= 0 && d < spin {
		spin = d
	}
	if poll.Poll(spin) || spin == d {
		return nil
	}
	if d >= 0 {
		d -= spin
	}
	return n.conn.Wait(d)
}
