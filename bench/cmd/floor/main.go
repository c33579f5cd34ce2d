// Command floor measures the yardstick of package floor, on the loopback interface
// or, as root with -ns, in throw-away network namespaces joined by a bridge.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"

	"maestro/bench/floor"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var cfg floor.Config
	child := flag.String("child", "", "run one member's process (internal)")
	ns := flag.Bool("ns", false, "run in network namespaces of our own (root)")
	repeat := flag.Int("repeat", 3, "how often; the median counts")
	full := flag.Bool("json", false, "print all results as JSON")
	flag.StringVar((*string)(&cfg.Mode), "mode", "stream", "stream or pingpong")
	flag.StringVar(&cfg.Interface, "interface", "lo", "interface, without -ns")
	flag.IntVar(&cfg.Receivers, "receivers", 2, "number of receivers")
	flag.IntVar(&cfg.Message, "message", 64, "message size in bytes")
	flag.IntVar(&cfg.Datagram, "datagram", 1472, "datagram size in bytes")
	flag.IntVar(&cfg.Run, "run", 44, "datagrams in one GSO send")
	flag.IntVar(&cfg.Window, "window", 0, "credit window in bytes (0: from the receive buffer)")
	flag.DurationVar(&cfg.Nap, "nap", 0, "how long a receiver that has read everything naps")
	flag.DurationVar(&cfg.Duration, "duration", 0, "how long to send (0: 2s)")
	flag.IntVar(&cfg.Count, "count", 0, "round trips (0: 20000)")
	flag.BoolVar(&cfg.Spin, "spin", false, "round trips: poll instead of sleeping")
	flag.BoolVar(&cfg.Pin, "pin", false, "pin members to processors in turn")
	flag.BoolVar(&cfg.ViaUDP, "udp", false, "use package wire/udp")
	flag.Parse()
	if *child != "" {
		return floor.RunChild(ctx, *child, os.Stdout)
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	cfg.Start = func(ctx context.Context, _ int, arg string) *exec.Cmd {
		return exec.CommandContext(ctx, exe, "-child", arg)
	}
	if *ns {
		l, err := newLab(cfg.Receivers + 1)
		defer l.close()
		if err != nil {
			return err
		}
		cfg.Interface = "eth0"
		cfg.Start = func(ctx context.Context, m int, arg string) *exec.Cmd {
			return exec.CommandContext(ctx, "ip", "netns", "exec", l.name(m), exe, "-child", arg)
		}
	}
	return measure(ctx, cfg, *repeat, *full)
}

func measure(ctx context.Context, cfg floor.Config, repeat int, full bool) error {
	var all []floor.Result
	for range min(max(repeat, 1), 100) {
		r, err := floor.Run(ctx, cfg)
		if err != nil {
			return err
		}
		all = append(all, r)
		if r.RoundTrips > 0 {
			fmt.Printf("round trip p50 %.1f us, p99 %.1f, min %.1f (%d)\n",
				r.P50us, r.P99us, r.MinUs, r.RoundTrips)
			continue
		}
		cpu := ""
		for _, m := range r.Members {
			cpu += fmt.Sprintf(" %.2f", m.CPUSeconds/r.Seconds)
		}
		fmt.Printf("%10.0f msgs/s %8.1f MB/s, lost %d B, stalls %d, window %d KiB, cpu%s\n",
			r.MsgsPerSec, r.MBPerSec, r.LostBytes, r.Stalls, r.Window>>10, cpu)
	}
	slices.SortFunc(all, func(a, b floor.Result) int {
		if a.MsgsPerSec+b.P50us < b.MsgsPerSec+a.P50us {
			return -1
		}
		return 1
	})
	m := all[len(all)/2]
	if full {
		return json.NewEncoder(os.Stdout).Encode(all)
	}
	if m.RoundTrips > 0 {
		fmt.Printf("median: p50 %.1f us, p99 %.1f us\n", m.P50us, m.P99us)
		return nil
	}
	fmt.Printf("median: %.2f M msgs/s, %.0f MB/s\n",
		m.MsgsPerSec/1e6, m.MBPerSec)
	return nil
}
