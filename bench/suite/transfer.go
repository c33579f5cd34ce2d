package suite

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"maestro/bench/floor"
	"maestro/bench/transfer"
)

// benchTransfer measures how fast a server's state moves to one that joins, and
// what that does to others' casts.
func benchTransfer(s *session) error {
	for _, size := range pick(s, s.o.Sizes, []int{1 << 20}, []int{64 << 20}) {
		for _, what := range []string{"random", "text"} {
			if err := s.transfers(size, what); err != nil {
				return err
			}
		}
		if err := s.meanwhile(size); err != nil {
			return err
		}
	}
	return nil
}

// floorPiece is the size of the floor's messages beside a transfer.
const floorPiece = 8000

// transferTime is what a transfer gets.
const transferTime = 3 * time.Minute

// transfers measures the rate between two members.
func (s *session) transfers(size int, what string) error {
	w, err := newNetwork(s.ctx, &s.o, 2, true)
	if err != nil {
		return err
	}
	defer w.close()
	r := newSeries("transfer", map[string]any{"members": 2, "size": size, "state": what})
	d, turn := s.duration(time.Second), 0
	text := fmt.Sprintf("transfer: %d bytes of %s", size, what)
	if err := s.repeat(s.reps(), streams(0, d)+moves(size), text, func() error {
		f, err := w.rawStream(floorPiece, d)
		if err != nil {
			return err
		}
		turn++
		c := &movers{network: w, turn: turn}
		return c.one(r, size, what == "text", &f)
	}); err != nil {
		return err
	}
	s.finish(r)
	return nil
}

// moves is about what it takes to make and to move a state.
func moves(size int) time.Duration {
	return 300*time.Millisecond + time.Duration(size)*time.Second/(300<<20)
}

// movers is the members of one transfer.
type movers struct {
	*network
	turn  int
	procs [4]*proc
}

// start starts a member and has it join.
func (c *movers) start(i int, cfg transfer.Config) error {
	cfg.Name, cfg.Interface = fmt.Sprint("m", i), c.interfaceOf(i)
	cfg.Group = c.address(firstPort + uint16(c.turn%100))
	arg, err := json.Marshal(&cfg)
	if err != nil {
		return fmt.Errorf("suite: %w", err)
	}
	p, err := c.network.start(i, "transfer", string(arg))
	if err != nil {
		return err
	}
	c.procs[i] = p
	go c.guard(p)
	if _, err := p.wait(c.ctx, "READY", replyTime, nil); err != nil {
		return err
	}
	return p.say("join")
}

// joined waits until a member has a view of so many.
func (c *movers) joined(i, members int) error {
	_, err := c.procs[i].wait(c.ctx, "VIEW", formTime, func(f []string) bool {
		return len(f) == 5 && number(f[2]) == int64(members)
	})
	return err
}

// restored waits until a member has the state, and tells how long that took.
func (c *movers) restored(i, size int) (time.Duration, error) {
	f, err := c.procs[i].wait(c.ctx, "RESTORED", transferTime, anyFields)
	if err != nil {
		return 0, err
	}
	if len(f) != 4 || number(f[3]) != int64(size) {
		return 0, fmt.Errorf("suite: a state of %d bytes has become %v", size, f)
	}
	return time.Duration(number(f[1])), nil
}

// stats is what a member has counted, by name.
func (c *movers) stats(i int) (map[string]float64, error) {
	if err := c.procs[i].say("stats"); err != nil {
		return nil, err
	}
	f, err := c.procs[i].wait(c.ctx, "STATS", replyTime, anyFields)
	if err != nil {
		return nil, err
	}
	return pairs(f), nil
}

// pairs is names and numbers in turns.
func pairs(f []string) map[string]float64 {
	all := map[string]float64{}
	for k := 0; k+1 < len(f); k += 2 {
		all[f[k]] = float64(number(f[k+1]))
	}
	return all
}

func (c *movers) end() {
	for _, p := range c.procs {
		if p != nil {
			p.kill()
			c.forget(p)
		}
	}
	c.settle()
}

// one is one transfer.
func (c *movers) one(r *series, size int, text bool, f *floor.Result) error {
	if err := c.start(1, transfer.Config{Size: size, Text: text}); err != nil {
		return err
	}
	if err := c.joined(1, 1); err != nil {
		return err
	}
	// The memory for the state is ready, since the floor stores nothing.
	if err := c.start(2, transfer.Config{Room: size}); err != nil {
		return err
	}
	took, err := c.restored(2, size)
	if err != nil {
		return err
	}
	from, err := c.stats(1)
	if err != nil {
		return err
	}
	to, err := c.stats(2)
	if err != nil {
		return err
	}
	r.more("rate", "MB/s", float64(size)/took.Seconds()/1e6).
		against("floor", f.MsgsPerSec*floorPiece/1e6)
	r.less("took", "ms", took.Seconds()*1e3).minor()
	r.less("on the wire", "MB", to["wire"]/1e6).minor()
	r.less("peak beside the state, source", "MiB", (from["peak"]-float64(size))/(1<<20)).minor()
	r.less("peak beside the state, newcomer", "MiB", (to["peak"]-float64(size))/(1<<20)).minor()
	r.less("cpu source", "s", from["cpu"]/1e9).minor()
	r.less("cpu newcomer", "s", to["cpu"]/1e9).minor()
	r.less("chunks asked again", "", to["reasked"]).minor()
	c.end()
	return nil
}

// castRate is the Safe casts a second of a client beside a transfer, safeTime for
// how long at most.
const (
	castRate = 10000
	safeTime = time.Minute
)

// meanwhile measures how long a client's Safe casts take, before a transfer and
// while there is one.
func (s *session) meanwhile(size int) error {
	if s.o.Net == Machines { // it is from one machine's clock to another's
		return nil
	}
	w, err := newNetwork(s.ctx, &s.o, 3, true)
	if err != nil {
		return err
	}
	defer w.close()
	r := newSeries("transfer", map[string]any{"members": 3, "size": size, "state": "random",
		"rate": castRate})
	d, turn := s.duration(time.Second), 0
	text := fmt.Sprintf("transfer: %d Safe casts a second meanwhile", castRate)
	if err := s.repeat(s.reps(), d+moves(size), text, func() error {
		turn++
		c := &movers{network: w, turn: turn}
		return c.casts(r, size, d)
	}); err != nil {
		return err
	}
	s.finish(r)
	return nil
}

func (c *movers) casts(r *series, size int, d time.Duration) error {
	if err := c.start(1, transfer.Config{Size: size}); err != nil {
		return err
	}
	if err := c.joined(1, 1); err != nil {
		return err
	}
	if err := c.start(3, transfer.Config{Client: true}); err != nil {
		return err
	}
	if err := c.joined(3, 2); err != nil {
		return err
	}
	if err := c.procs[3].say("cast %d %d", castRate, d.Milliseconds()); err != nil {
		return err
	}
	if _, err := c.procs[3].wait(c.ctx, "CAST", d+drainTime, nil); err != nil {
		return err
	}
	idle, err := c.latency()
	if err != nil {
		return err
	}
	if err := c.procs[3].say("cast %d %d", castRate, safeTime.Milliseconds()); err != nil {
		return err
	}
	if err := c.start(2, transfer.Config{Room: size}); err != nil {
		return err
	}
	took, err := c.restored(2, size)
	if err != nil {
		return err
	}
	busy, err := c.latency()
	if err != nil {
		return err
	}
	for _, q := range []string{"p50", "p99"} {
		r.less("one way idle "+q, "us", idle[q]/1e3)
		r.less("one way during a transfer "+q, "us", busy[q]/1e3).against("idle", idle[q]/1e3)
	}
	r.more("rate", "MB/s", float64(size)/took.Seconds()/1e6).minor()
	c.end()
	return nil
}

// latency is what the casts have taken since the last call, in ns, at member 1.
func (c *movers) latency() (map[string]float64, error) {
	if err := c.procs[1].say("latency"); err != nil {
		return nil, err
	}
	f, err := c.procs[1].wait(c.ctx, "LATENCY", replyTime, anyFields)
	if err != nil {
		return nil, err
	}
	all := pairs(f)
	if all["count"] == 0 {
		return nil, fmt.Errorf("suite: no casts: %s", strings.Join(f, " "))
	}
	return all, nil
}
