//go:build linux

package group

import (
	"testing"
	"time"

	"maestro/internal/netlab"
)

// TestLargest casts messages of the largest size that the defaults allow.
func TestLargest(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 64 MiB messages")
	}
	c := newCluster(t, 3, netlab.Options{GSO: true})
	c.together(3)
	all := c.stream([]int{1}, 64<<20, time.Millisecond)
	if all[2].count == 0 || all[2].bytes != all[2].count*(64<<20) {
		t.Errorf("delivered %d messages, %d bytes", all[2].count, all[2].bytes)
	}
}
