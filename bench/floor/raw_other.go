//go:build !linux

package floor

import "time"

func newPort(cfg *Config) (port, error) { return newConn(cfg) }

func nap(d time.Duration) { time.Sleep(d) }

func pin(int) error { return nil }

func cpuSeconds() float64 { return 0 }
