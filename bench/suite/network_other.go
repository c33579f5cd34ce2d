//go:build !linux

package suite

import "errors"

var errNoSpaces = errors.New("suite: network namespaces need Linux: use --net lo")

func newLab(int, int, bool) (lab, error) { return nil, errNoSpaces }

// Able says whether there can be namespaces here.
func Able() error { return errNoSpaces }
