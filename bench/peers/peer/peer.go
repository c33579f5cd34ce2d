// Package peer is what the adapters in Go share: their side of the protocol that
// bench/peers describes.
package peer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The kinds of messages, in their first byte.
const (
	Probe = iota
	Data
	Ping
	Pong
)

// Args is what an adapter is told on its command line, as key=value.
type Args struct {
	Member, Members  int
	Mode, Variant    string // "stream" or "ping"
	Size, Ms, Count  int
	Port             int
	Hosts            []string // addresses, by member from 0
	Interface, Group string
}

// Member is one process of a system that is measured.
type Member struct {
	Args
	start chan struct{} // closed at "go"
	end   atomic.Int64  // how much has been sent, from "end"; -1 before

	mu          sync.Mutex
	ready       bool
	count       int64
	first, last time.Time
	pongs       chan struct{}
}

// New reads the command line, and from then on obeys standard input: the process
// ends when that does.
func New() *Member {
	m := &Member{start: make(chan struct{}), pongs: make(chan struct{}, 1)}
	m.end.Store(-1)
	for _, a := range os.Args[1:] {
		key, value, _ := strings.Cut(a, "=")
		n, _ := strconv.Atoi(value)
		switch key {
		case "member":
			m.Member = n
		case "members":
			m.Members = n
		case "mode":
			m.Mode = value
		case "variant":
			m.Variant = value
		case "size":
			m.Size = n
		case "ms":
			m.Ms = n
		case "count":
			m.Count = n
		case "port":
			m.Port = n
		case "hosts":
			m.Hosts = strings.Split(value, ",")
		case "iface":
			m.Interface = value
		case "group":
			m.Group = value
		}
	}
	go m.obey()
	return m
}

func (m *Member) obey() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) == 1 && f[0] == "go":
			close(m.start)
		case len(f) == 2 && f[0] == "end":
			n, _ := strconv.ParseInt(f[1], 10, 64)
			m.end.Store(n)
		}
	}
	os.Exit(0)
}

// Host is this member's address.
func (m *Member) Host() string { return m.Hosts[m.Member-1] }

// About tells what is measured.
func (m *Member) About(version, settings string) {
	b, _ := json.Marshal(map[string]string{"version": version, "settings": settings})
	fmt.Printf("ABOUT %s\n", b)
}

// Skip says that the system cannot do this, and ends the process.
func (m *Member) Skip(why string) {
	fmt.Println("SKIP", why)
	os.Exit(0)
}

// Check ends the process if there is an error.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Message makes a message of a kind.
func (m *Member) Message(kind byte) []byte {
	b := make([]byte, m.Size)
	b[0] = kind
	return b
}

// Heard takes a message that has been delivered. It returns the answer to give
// to its sender, or nil.
func (m *Member) Heard(b []byte) []byte {
	switch b[0] {
	case Probe:
		m.Ready()
		if m.Mode == "ping" && m.Member == 2 {
			return m.Message(Probe)
		}
	case Data:
		now := time.Now()
		m.mu.Lock()
		if m.count == 0 {
			m.first = now
		}
		m.count++
		m.last = now
		m.mu.Unlock()
	case Ping:
		return m.Message(Pong)
	case Pong:
		select {
		case m.pongs <- struct{}{}:
		default: // late
		}
	}
	return nil
}

// Ready says once that this member hears the other side.
func (m *Member) Ready() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ready {
		m.ready = true
		fmt.Println("READY")
	}
}

// Run does this member's part, and does not return. cast sends one message to all
// others, and returns when the next may be sent; flush returns when all have
// left this process.
func (m *Member) Run(cast func([]byte) error, flush func() error) {
	if m.Member > 1 {
		if m.Mode == "stream" {
			m.receive()
		}
		select {}
	}
	if m.Mode == "stream" {
		m.Ready()
	}
	for probing := true; probing; {
		Check(cast(m.Message(Probe)))
		Check(flush())
		select {
		case <-m.start:
			probing = false
		case <-time.After(50 * time.Millisecond):
		}
	}
	if m.Mode == "ping" {
		m.rounds(cast, flush)
	}
	b := m.Message(Data)
	n, end := 0, time.Now().Add(time.Duration(m.Ms)*time.Millisecond)
	for ; time.Now().Before(end); n++ {
		Check(cast(b))
	}
	Check(flush())
	fmt.Println("SENT", n)
	select {}
}

// receive waits until all that has been sent is there, or until nothing comes
// any more.
func (m *Member) receive() {
	for {
		time.Sleep(10 * time.Millisecond)
		end := m.end.Load()
		m.mu.Lock()
		over := end >= 0 && (m.count >= end || m.count == 0 || time.Since(m.last) > time.Second)
		n, took := m.count, m.last.Sub(m.first).Seconds()
		m.mu.Unlock()
		if over {
			fmt.Printf("RESULT {\"count\":%d,\"seconds\":%.9f}\n", n, took)
			return
		}
	}
}

// rounds is pings, each after the last one's pong.
func (m *Member) rounds(cast func([]byte) error, flush func() error) {
	b := m.Message(Ping)
	var took []float64
	lost := 0
	limit := time.Now().Add(time.Duration(m.Ms) * time.Millisecond)
	warm := time.Now().Add(time.Duration(m.Ms) * time.Millisecond / 4)
	for i := range m.Count + m.Count/10 {
		began := time.Now()
		if len(took) > 0 && began.After(limit) {
			break
		}
		Check(cast(b))
		Check(flush())
		select {
		case <-m.pongs:
		case <-time.After(5 * time.Second):
			if lost++; lost > 3 {
				Check(fmt.Errorf("%d pings without a pong", lost))
			}
			continue
		}
		if i >= m.Count/10 || began.After(warm) {
			took = append(took, float64(time.Since(began))/1e3)
		}
	}
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1))] }
	fmt.Printf("RESULT {\"count\":%d,\"p50_us\":%.3f,\"p99_us\":%.3f}\n", len(took), at(.5),
		at(.99))
	select {}
}
