package floor

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestMain makes the test binary the members' program too.
func TestMain(m *testing.M) {
	if arg := os.Getenv("FLOOR_CHILD"); arg != "" {
		if err := RunChild(context.Background(), arg, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func startSelf(ctx context.Context, _ int, arg string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "FLOOR_CHILD="+arg)
	return cmd
}

// own is a group that no other test uses at the same time.
func own() netip.AddrPort {
	a := netip.AddrFrom4([4]byte{239, 255, byte(os.Getpid() >> 8), byte(os.Getpid())})
	return netip.AddrPortFrom(a, 17071)
}

func TestStreamOnLoopback(t *testing.T) {
	for _, cfg := range []Config{{}, {Message: 1000}, {Message: 20000}, {ViaUDP: true}} {
		cfg.Duration, cfg.Interface, cfg.Group = 50*time.Millisecond, "lo", own()
		cfg.Start = startSelf
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if r.Messages == 0 || len(r.Members) != 3 {
			t.Fatalf("%+v", r)
		}
		t.Logf("%d B, via udp %v: %.0f messages/s, lost %d B", cfg.Message, cfg.ViaUDP,
			r.MsgsPerSec, r.LostBytes)
		if r.LostBytes == 0 && r.Messages+1 < r.Members[0].Messages {
			t.Errorf("nothing was lost, but %d of %d messages were counted",
				r.Messages, r.Members[0].Messages)
		}
	}
}

func TestPingPongOnLoopback(t *testing.T) {
	for _, cfg := range []Config{{}, {Spin: true}, {ViaUDP: true}, {Wait: Hybrid},
		{Wait: NetPoll, Message: 1000}} {
		cfg.Mode, cfg.Count, cfg.Interface, cfg.Group = PingPong, 200, "lo", own()
		cfg.Start = startSelf
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if r.RoundTrips != 200 || r.P50us <= 0 || r.P99us < r.P50us {
			t.Errorf("%+v", r)
		}
	}
}

func TestPackedMessagesAreParsed(t *testing.T) {
	for _, size := range []int{1, 2, 3, 64, 700, 1444, 1445, 1446, 1447, 1448, 1449, 5000, 60000} {
		msg := make([]byte, size)
		msg[0] = 3
		pk := &packer{msg: msg, datagram: 1472}
		run := make([]byte, 20*1472)
		var ps, lossy parser
		for range 10 {
			pk.fill(run)
			for i := 0; i < len(run); i += 1472 {
				ps.datagram(run[i : i+1472])
				ps.datagram(run[i : i+1472]) // a copy counts for nothing
				if i/1472%7 != 3 {
					lossy.datagram(run[i : i+1472])
				}
			}
		}
		if ps.messages != pk.messages || ps.bytes != pk.offset || ps.lost != 0 {
			t.Errorf("%d B: %d of %d messages, %d of %d bytes", size, ps.messages, pk.messages,
				ps.bytes, pk.offset)
		}
		if miss := ps.messages*3 - ps.sum; miss > 3 {
			t.Errorf("%d B: first bytes not read: %d, want %d", size, ps.sum, ps.messages*3)
		}
		if lossy.lost != 30*1472 || lossy.messages >= ps.messages && size < 1000 {
			t.Errorf("%d B: with a loss: %+v", size, lossy)
		}
		if lossy.sum > lossy.messages*3 {
			t.Errorf("%d B: after a loss the stream was read at a wrong place", size)
		}
	}
}

func TestBadConfig(t *testing.T) {
	for _, cfg := range []Config{{Mode: "x"}, {Receivers: 65}, {Message: 70000}, {Run: 65},
		{Datagram: 9000}, {Wait: "x"}, {Duration: time.Hour}, {Count: -1}, {}} {
		if _, err := Run(t.Context(), cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// What a message costs in memory grows with the message, and with datagrams of one.
func TestMemory(t *testing.T) {
	small, large, alone := Memory(64, 1000, 1e5), Memory(8000, 1000, 1e4), Memory(64, 1, 1e5)
	if small <= 0 || large <= small || alone <= small || alone > 1e4 {
		t.Errorf("%v ns of 64 bytes, %v of 8000, %v one at a time", small, large, alone)
	}
}
