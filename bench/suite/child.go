package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"maestro/bench/floor"
	"maestro/bench/group"
	"maestro/bench/transfer"
)

// Child is a process that the suite has started: the kind and the argument are
// those that Options.Command was given. A member ends when its input does, once it
// has done what it was told before.
func Child(ctx context.Context, kind, arg string, in io.Reader, out io.Writer) error {
	switch kind {
	case "floor":
		return floor.RunChild(ctx, arg, out)
	case "host":
		return hostChild(arg, in, out)
	case "transfer":
		var cfg transfer.Config
		if err := json.Unmarshal([]byte(arg), &cfg); err != nil {
			return fmt.Errorf("suite: argument: %w", err)
		}
		return transfer.Run(ctx, cfg, mortal(in), out)
	case "member":
		var cfg group.Config
		if err := json.Unmarshal([]byte(arg), &cfg); err != nil {
			return fmt.Errorf("suite: argument: %w", err)
		}
		return group.Run(ctx, cfg, mortal(in), out)
	}
	return fmt.Errorf("suite: there is no child %q", kind)
}
