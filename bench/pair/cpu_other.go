//go:build !linux

package pair

import "time"

// threadTime cannot be told here.
func threadTime() (time.Duration, bool) { return 0, false }
