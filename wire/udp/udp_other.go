//go:build !linux

package udp

func openBackend(c *core) (backend, error) { return openPortable(c) }
