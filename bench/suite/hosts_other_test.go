//go:build !linux

package suite

import "testing"

func hostsInNamespaces(t *testing.T) { t.Skip("needs Linux") }
