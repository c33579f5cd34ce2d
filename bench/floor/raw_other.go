//go:build !linux

package floor

func newPort(cfg *Config) (port, error) { return newConn(cfg) }

func pin(int) error { return nil }

func cpuSeconds() float64 { return 0 }
