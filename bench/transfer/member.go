// Package transfer measures how fast a state moves from one server to another,
// beside the floor: members are processes, told what to do by lines on their
// standard input and telling what they see by lines on their standard output.
package transfer

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"maestro/clsv"
	"maestro/clsv/csx"
)

// Config is what a member is set up with.
type Config struct {
	Name      string
	Interface string
	Group     netip.AddrPort // multicast address
	Client    bool
	// Size is how large the state is that the first server makes, in bytes.
	Size int
	// Text makes it lines that compress, instead of random bytes.
	Text bool
	// Room is how much memory a newcomer has ready for the state, in bytes: what is
	// not there is got from the kernel on the way, which is slow and no part of the
	// transfer.
	Room int
	// NoCompress, Chunk and Window are csx's.
	NoCompress    bool
	Chunk, Window int
	Log           *slog.Logger
}

// Member is one member under measurement.
type Member struct {
	csx.NopHandler
	cfg Config
	m   *csx.Member

	mu    sync.Mutex
	to    io.Writer
	state [][]byte // in pieces, equal but for the last
	room  [][]byte // pieces for it
	took  []time.Duration
	began time.Duration // processor time before joining
}

// piece is the size of the state's pieces.
const piece = 4 << 20

// Run is one member: it obeys the lines of in, and returns after "quit" or when
// in ends.
//
//	join               join the group, and get the state
//	cast RATE MS       cast Safe messages with the time in them
//	latency            tell how long those took that came since the last call
//	stats              tell memory and counters
//	die                end at once
func Run(ctx context.Context, cfg Config, in io.Reader, to io.Writer) error {
	m := &Member{cfg: cfg, to: to}
	o := csx.Options{Handler: m, NoCompress: cfg.NoCompress, Chunk: cfg.Chunk, Window: cfg.Window}
	o.Group, o.Name, o.Transport.Interface = "transfer", cfg.Name, cmp.Or(cfg.Interface, "eth0")
	o.Transport.Group = cfg.Group
	o.Logger = cfg.Log
	if !cfg.Client {
		o.Role, o.Xfer = clsv.Server, clsv.ProtectedXfer
	}
	if cfg.Size > 0 {
		m.make()
	}
	var err error
	if m.m, err = csx.New(o); err != nil {
		return err
	}
	defer m.m.Close()
	m.say("READY")
	lines := bufio.NewScanner(in)
	for ctx.Err() == nil && lines.Scan() {
		if err := m.obey(ctx, strings.Fields(lines.Text())); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return lines.Err()
}

func (m *Member) obey(ctx context.Context, line []string) error {
	num := func(i int) int {
		if i >= len(line) {
			return 0
		}
		n, _ := strconv.Atoi(line[i])
		return n
	}
	switch {
	case len(line) == 0:
	case line[0] == "join":
		// What making the state has left is none of the transfer's: the peak begins
		// again.
		debug.FreeOSMemory()
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
		m.reserve()
		m.began = cpu()
		return m.m.Join(ctx)
	case line[0] == "cast":
		go m.cast(ctx, num(1), time.Duration(num(2))*time.Millisecond)
	case line[0] == "latency":
		m.latency()
	case line[0] == "stats":
		s := m.m.Stats()
		m.say("STATS peak %d cpu %d in %d wire %d out %d wireout %d skipped %d reasked %d "+
			"restarted %d", peak(), cpu()-m.began, s.BytesIn, s.WireIn, s.BytesOut, s.WireOut,
			s.Skipped, s.Reasked, s.Restarted)
	case line[0] == "die":
		os.Exit(3)
	case line[0] == "quit":
		return io.EOF
	default:
		return fmt.Errorf("transfer: what is %q", line[0])
	}
	return nil
}

func (m *Member) say(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintf(m.to, format+"\n", args...)
}

// make makes the state: the same at each call.
func (m *Member) make() {
	x := uint64(88172645463325252)
	for left := m.cfg.Size; left > 0; left -= piece {
		b := make([]byte, 0, piece+256)
		for len(b) < min(left, piece) {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			if m.cfg.Text {
				b = fmt.Appendf(b, "key-%08d: value number %d of the user %x\n", x%10_000_000,
					len(b)/7, x>>44)
			} else {
				b = binary.LittleEndian.AppendUint64(b, x)
			}
		}
		m.state = append(m.state, b[:min(left, piece):min(left, piece)])
	}
}

// reserve gets the memory for a state that is to come.
func (m *Member) reserve() {
	for range m.cfg.Room / piece {
		b := make([]byte, piece)
		for i := 0; i < len(b); i += os.Getpagesize() {
			b[i] = 1
		}
		m.room = append(m.room, b[:0])
	}
}

// next is where the next piece of the state goes.
func (m *Member) next() []byte {
	n := len(m.room)
	if n == 0 {
		return make([]byte, 0, piece)
	}
	b := m.room[n-1]
	m.room = m.room[:n-1]
	return b
}

// AcceptedView tells.
func (m *Member) AcceptedView(v *clsv.View, _ []byte) {
	m.say("VIEW %d members %d servers %d", time.Now().UnixNano(), len(v.Members), len(v.Servers))
}

// Snapshot is the state, which does not change.
func (m *Member) Snapshot(*clsv.View) io.WriterTo { return pieces(m.state) }

type pieces [][]byte

func (p pieces) WriteTo(w io.Writer) (n int64, err error) {
	for _, b := range p {
		k, err := w.Write(b)
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// StateTransfer gets the state.
func (m *Member) StateTransfer(ctx context.Context, x *csx.Transfer) {
	began := time.Now()
	err := x.Load(ctx, func(r io.Reader) error {
		m.room, m.state = append(m.room, m.state...), nil
		for i := range m.room {
			m.room[i] = m.room[i][:0]
		}
		_, err := io.Copy(m, r)
		return err
	})
	if err != nil {
		m.say("FAILED %v", err)
		return
	}
	took := time.Since(began)
	n := 0
	for _, b := range m.state {
		n += len(b)
	}
	m.say("RESTORED nanos %d bytes %d", took, n)
	_ = x.Done()
}

// Write adds to the state.
func (m *Member) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		last := len(m.state) - 1
		if last < 0 || len(m.state[last]) == piece {
			m.state = append(m.state, m.next())
			last++
		}
		k := min(piece-len(m.state[last]), len(p))
		m.state[last] = append(m.state[last], p[:k]...)
		p = p[k:]
		if len(m.state[last]) == piece {
			m.say("HAVE %d", len(m.state)*piece)
		}
	}
	return n, nil
}

// cast casts messages that carry the time at which they are due.
func (m *Member) cast(ctx context.Context, rate int, d time.Duration) {
	var b [64]byte
	began := time.Now()
	step := time.Second / time.Duration(max(rate, 1))
	for due := began; due.Sub(began) < d; due = due.Add(step) {
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		binary.LittleEndian.PutUint64(b[:], uint64(due.UnixNano()))
		if _, err := m.m.Cast(ctx, b[:], clsv.MsgOptions{Safety: clsv.Safe}); err != nil {
			m.say("FAILED %v", err)
			return
		}
	}
	m.say("CAST")
}

// ReceiveCast takes the time that a message took.
func (m *Member) ReceiveCast(_ clsv.Endpoint, msg []byte) {
	at := time.Unix(0, int64(binary.LittleEndian.Uint64(msg)))
	m.took = append(m.took, time.Since(at))
}

func (m *Member) latency() {
	_ = m.m.Post(func() {
		t := m.took
		m.took = nil
		slices.Sort(t)
		at := func(q float64) int64 {
			if len(t) == 0 {
				return 0
			}
			return int64(t[int(q*float64(len(t)-1))])
		}
		m.say("LATENCY count %d p50 %d p99 %d max %d", len(t), at(.5), at(.99), at(1))
	})
}

// peak is the largest memory that this process has had, in bytes.
func peak() int {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(b, []byte("VmHWM:"))
	n, _ := strconv.Atoi(string(bytes.Fields(append(after, '0'))[0]))
	return n << 10
}

// cpu is the processor time that this process has had, to 10 ms.
func cpu() time.Duration {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
