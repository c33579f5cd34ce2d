package group

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"maestro/bench/result"
	"maestro/stack"
)

// More kinds of messages that members send.
const (
	kindPaced  = 4 + iota // intended and actual time of sending
	kindQuery             // number, intended and actual time of asking
	kindAnswer            // the same, to the one who asked
	kindCall              // a cast that everybody answers by a cast
	kindCalled            // which is this one
	kindTurn              // of the ring
)

// The least lengths of messages that carry times.
const (
	pacedLen = 16
	queryLen = 24
)

// limit is how long a command may take beyond the time that it is given.
const limit = 20 * time.Second

// work is what a member does for the suite, beyond streams: it answers, times
// and paces.
type work struct {
	m     *Member
	clock clock

	mu     sync.Mutex // what follows: commands and callbacks
	casts  Times      // of others' casts
	trips  Times      // of this member's questions
	asked  asked
	calls  calls
	ring   ring
	sent   int
	base   Usage // at the last reset
	before Traffic
}

// Times are latencies from two beginnings.
type Times struct {
	Late *result.Latency // from when it was due
	Sent *result.Latency // from when it was sent
}

func newTimes() Times { return Times{result.NewLatency(), result.NewLatency()} }

// record takes the two times at the beginning of b.
func (t *Times) record(now int64, b []byte) {
	if len(b) >= pacedLen {
		t.Late.Record(time.Duration(now - int64(binary.LittleEndian.Uint64(b))))
		t.Sent.Record(time.Duration(now - int64(binary.LittleEndian.Uint64(b[8:]))))
	}
}

func (t *Times) reset() {
	t.Late.Reset()
	t.Sent.Reset()
}

func newWork(m *Member) *work {
	return &work{m: m, clock: newClock(), casts: newTimes(), trips: newTimes()}
}

func (w *work) reset() {
	t := w.m.traffic()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.casts.reset()
	w.trips.reset()
	w.asked, w.calls, w.ring, w.sent = asked{}, calls{}, ring{}, 0
	w.base, w.before = usage(), t
}

// message is the handler of the kinds above.
func (w *work) message(u *upcall) {
	own := int(u.from) == w.m.rank()
	switch u.kind {
	case kindPaced:
		w.paced(u.data)
	case kindQuery:
		if !own {
			w.m.node.Do(func(g *stack.Group) {
				_ = g.Send(int(u.from), kindAnswer, nil, u.data)
			})
		}
	case kindAnswer:
		w.answer(u.data)
	case kindCall:
		if !own {
			w.m.node.Do(func(g *stack.Group) { _ = g.Cast(kindCalled, nil, u.data) })
		}
	case kindCalled:
		if !own {
			w.called()
		}
	case kindTurn:
		if !own {
			w.turned(int(u.from))
		}
	}
}

func (w *work) paced(data []byte) {
	now := w.clock.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.casts.record(now, data)
}

// pacer counts what is due at a fixed rate, from a beginning on.
type pacer struct {
	clock *clock
	start int64
	every float64 // nanoseconds
	total int
	sent  int
	spin  bool
}

func (w *work) pacer(d time.Duration, rate int, spin bool) *pacer {
	rate = max(rate, 1)
	return &pacer{clock: &w.clock, start: w.clock.now(), every: 1e9 / float64(rate), spin: spin,
		total: max(int(d.Seconds()*float64(rate)), 1)}
}

// intended is when the i-th message is due.
func (p *pacer) intended(i int) int64 { return p.start + int64(float64(i)*p.every) }

// due waits until something is, and tells how much; 0 when all has been sent, or
// when it took too long.
func (p *pacer) due() int {
	for p.sent < p.total {
		now := p.clock.now()
		if now > p.intended(p.total)+int64(limit) {
			return 0
		}
		if n := min(int(float64(now-p.start)/p.every)+1, p.total) - p.sent; n > 0 {
			return min(n, batch)
		}
		p.rest(now)
	}
	return 0
}

// Where there is time between messages, the last of it is polled for: being woken
// takes as long as what is to be measured. Where there is next to none, several are
// cast at a time, late by a tick at most: a pacer that is woken for each has a
// processor for itself, which the members wait for.
const (
	leisure = 500 * time.Microsecond
	polled  = 60 * time.Microsecond
	tick    = 30 * time.Microsecond
)

// rest sleeps until the next message is due, or nearly so.
func (p *pacer) rest(now int64) {
	if p.spin {
		return
	}
	t := p.intended(p.sent)
	if p.every >= float64(leisure) {
		t -= int64(polled)
	}
	if t > now {
		sleepUntil(now, max(t, now+int64(tick)))
	}
}

// pace casts RATE messages a second of SIZE bytes for MS milliseconds: an open
// loop. Each message has the time at which it was due, so that what waits for
// the sender itself counts as well. Of every SAMPLE messages one is timed.
func (w *work) pace(size int, d time.Duration, rate, sample int, spin bool) error {
	data := make([]byte, max(size, pacedLen))
	plain := make([]byte, max(size, 1))
	defer sleeper()()
	p := w.pacer(d, rate, spin)
	sample = max(sample, 1)
	for due := p.due(); due > 0; due = p.due() {
		full := false
		w.m.node.Do(func(g *stack.Group) {
			for range due {
				kind, b := uint8(kindData), plain
				if p.sent%sample == 0 {
					kind, b = kindPaced, data
					binary.LittleEndian.PutUint64(b, uint64(p.intended(p.sent)))
					binary.LittleEndian.PutUint64(b[8:], uint64(w.clock.now()))
				}
				if full = g.Cast(kind, nil, b) != nil; full {
					return
				}
				p.sent++
			}
		})
		if full {
			w.m.waitRoom()
		}
	}
	w.note(p.sent)
	w.m.say("SENT %d", p.sent)
	return nil
}

func (w *work) note(sent int) {
	w.mu.Lock()
	w.sent = sent
	w.mu.Unlock()
}

// waitRoom waits until a send that would have blocked may be tried again.
func (m *Member) waitRoom() {
	select {
	case <-m.room:
	case <-time.After(5 * time.Millisecond):
	}
}

// asked is the questions of this member that have not been answered by all.
type asked struct {
	number  uint64 // of the last question
	answers [1 << 12]uint16
	body    []byte
	whole   int // questions answered by all
	left    int // rounds of a closed loop
	done    chan struct{}
}

// ask casts COUNT questions of SIZE bytes, each as soon as the last has been
// answered by all others. All of it happens in handlers.
func (w *work) ask(size, count int) error {
	done := make(chan struct{})
	w.mu.Lock()
	w.asked = asked{body: make([]byte, max(size, queryLen)), left: max(count, 1), done: done}
	w.mu.Unlock()
	w.m.node.Do(func(g *stack.Group) { w.question(g, w.clock.now()) })
	return w.wait(done, "ASKED")
}

// question casts the next question.
func (w *work) question(g *stack.Group, due int64) bool {
	a := &w.asked
	w.mu.Lock()
	a.number++
	a.answers[a.number%uint64(len(a.answers))] = 0
	binary.LittleEndian.PutUint64(a.body, uint64(due))
	binary.LittleEndian.PutUint64(a.body[8:], uint64(w.clock.now()))
	binary.LittleEndian.PutUint64(a.body[16:], a.number)
	w.mu.Unlock()
	if g.Cast(kindQuery, nil, a.body) != nil {
		w.mu.Lock()
		a.number--
		w.mu.Unlock()
		return false
	}
	return true
}

// answer counts an answer, and goes on when it was the last.
func (w *work) answer(data []byte) {
	if len(data) < queryLen {
		return
	}
	now := w.clock.now()
	w.mu.Lock()
	a := &w.asked
	number := binary.LittleEndian.Uint64(data[16:])
	if number > a.number || a.number-number >= uint64(len(a.answers)) {
		w.mu.Unlock()
		return
	}
	n := &a.answers[number%uint64(len(a.answers))]
	*n++
	whole := int(*n) == w.m.size()-1
	if whole {
		w.trips.record(now, data)
		a.whole++
	}
	next := false
	if whole && a.left > 0 {
		a.left--
		if next = a.left > 0; !next {
			close(a.done)
		}
	}
	w.mu.Unlock()
	if next {
		w.m.node.Do(func(g *stack.Group) { w.question(g, now) })
	}
}

// unanswered is how many of so many questions have not been answered by all.
func (w *work) unanswered(asked int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return asked - w.asked.whole
}

// query asks RATE questions a second for MS milliseconds, whether or not earlier
// ones have been answered.
func (w *work) query(size int, d time.Duration, rate int, spin bool) error {
	w.mu.Lock()
	w.asked = asked{body: make([]byte, max(size, queryLen))}
	w.mu.Unlock()
	defer sleeper()()
	p := w.pacer(d, rate, spin)
	for due := p.due(); due > 0; due = p.due() {
		full := false
		w.m.node.Do(func(g *stack.Group) {
			for range due {
				if full = !w.question(g, p.intended(p.sent)); full {
					return
				}
				p.sent++
			}
		})
		if full {
			w.m.waitRoom()
		}
	}
	for end := time.Now().Add(limit); w.unanswered(p.sent) > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	w.note(p.sent)
	w.m.say("SENT %d", p.sent)
	return nil
}

func (w *work) wait(done chan struct{}, say string) error {
	select {
	case <-done:
	case <-time.After(3 * limit):
		return fmt.Errorf("group: no end after %v\n%s", 3*limit, w.m.dump())
	}
	if say != "" {
		w.m.say("%s", say)
	}
	return nil
}
