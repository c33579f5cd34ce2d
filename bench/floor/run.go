package floor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Run measures. With a Role it does this process's part; with Role All it starts
// a process for each member with Config.Start, waits for all, and puts their
// results together. It ends within Config.Duration plus some seconds.
func Run(ctx context.Context, cfg Config) (Result, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Duration+90*time.Second)
	defer cancel()
	if cfg.Role == All {
		return runAll(ctx, cfg)
	}
	if cfg.Pin {
		if err := pin(cfg.Member); err != nil {
			return Result{}, fmt.Errorf("floor: pin: %w", err)
		}
	}
	open := newPort
	if cfg.Mode == PingPong && cfg.Wait == NetPoll {
		open = newNet
	}
	p, err := open(&cfg)
	if err != nil {
		return Result{}, err
	}
	f := runSender
	if cfg.Role == Receiver {
		f = runReceiver
	}
	res, err := f(ctx, cfg, p)
	return res, errors.Join(err, p.close())
}

// RunChild is the process of one member, as started by Run: arg is what Start was
// given, out gets the result.
func RunChild(ctx context.Context, arg string, out io.Writer) error {
	var cfg Config
	if err := json.Unmarshal([]byte(arg), &cfg); err != nil {
		return fmt.Errorf("floor: argument: %w", err)
	}
	if cfg.Role == All {
		return errors.New("floor: a member's process needs a role")
	}
	res, err := Run(ctx, cfg)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(res)
}

func runAll(ctx context.Context, cfg Config) (Result, error) {
	if cfg.Start == nil && cfg.Launch == nil {
		return Result{}, errors.New("floor: Config.Start is required to start processes")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make([]Result, cfg.Receivers+1)
	errs := make([]error, cfg.Receivers+1)
	var wg sync.WaitGroup
	for m := range results {
		wg.Go(func() {
			if results[m], errs[m] = startMember(ctx, cfg, m); errs[m] != nil {
				cancel() // one is missing: the others would wait for nothing
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return Result{}, err
	}
	return summary(results), nil
}

func startMember(ctx context.Context, cfg Config, m int) (Result, error) {
	cfg.Member, cfg.Role = m, Receiver
	if m == 0 {
		cfg.Role = Sender
	}
	arg, err := json.Marshal(cfg)
	if err != nil {
		return Result{}, fmt.Errorf("floor: %w", err)
	}
	launch := cfg.Launch
	if launch == nil {
		launch = cfg.launch
	}
	out, err := launch(ctx, m, string(arg))
	if err != nil {
		return Result{}, fmt.Errorf("floor: member %d: %w", m, err)
	}
	var res Result
	if err := json.Unmarshal(out, &res); err != nil {
		return Result{}, fmt.Errorf("floor: member %d: %w", m, err)
	}
	return res, nil
}

// launch runs the command that Start makes.
func (c *Config) launch(ctx context.Context, m int, arg string) ([]byte, error) {
	cmd := c.Start(ctx, m, arg)
	var out, msgs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msgs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(msgs.Bytes()))
	}
	return out.Bytes(), nil
}

// summary is the sender's view with the slowest receiver's count.
func summary(results []Result) Result {
	sum := results[0]
	sum.Role, sum.Members = All, results
	if sum.RoundTrips > 0 {
		return sum
	}
	for _, r := range results[1:] {
		sum.LostBytes += r.LostBytes
		sum.Messages = min(sum.Messages, r.Messages)
		sum.Bytes = min(sum.Bytes, r.Bytes)
	}
	sum.MsgsPerSec = float64(sum.Messages) / sum.Seconds
	sum.MBPerSec = float64(sum.Bytes) / sum.Seconds / 1e6
	return sum
}
