// Package cli is the command line of maestro.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK       = 0
	exitFailure  = 1
	exitUsage    = 2
	exitDegraded = 3 // doctor: it works, but not as well as it could
)

// usageError is a mistake in the command line.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// codeError ends the program with a code; what there is to say has been said.
type codeError int

func (c codeError) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// Streams are the program's input and outputs.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main runs the program and returns its exit code. The first SIGINT or SIGTERM
// ends a command in good order, the second at once.
func Main(args []string, s Streams) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitFailure)
	}()
	root := newRoot(s)
	root.SetArgs(args)
	return exitCode(root.ExecuteContext(ctx), s.Err)
}

// exitCode says what has gone wrong, if it has not been said.
func exitCode(err error, w io.Writer) int {
	var code codeError
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		fmt.Fprintf(w, "maestro: %v\nTry 'maestro --help'.\n", err)
		return exitUsage
	}
	fmt.Fprintf(w, "maestro: %v\n", err)
	return exitFailure
}

func newRoot(s Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "maestro",
		Short: "Virtually synchronous groups over IP multicast",
		Long: `maestro shows, runs and checks virtually synchronous groups: members that agree
on who is in the group and on which messages each of them has received, when
some of them crash, stand still or are cut off.

Exit codes: 0 success, 1 failure, 2 mistake in the command line.`,
		Example:       "  maestro demo\n  maestro sim --seeds 1000",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			err := fmt.Errorf("unknown command %q", args[0])
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				err = fmt.Errorf("%w; did you mean %q?", err, near[0])
			}
			return usageError{err}
		},
		SuggestionsMinimumDistance: 2,
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newDemo(s), newNode(s), newSim(s), newTrace(s), newDoctor(s), newBench(s),
		newVersion(s))
	return root
}

// group makes a command whose only use is its subcommands.
func group(use, short, example string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: example, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
		},
	}
}

// exactly wraps the checks of arguments, so that their errors are about usage.
func exactly(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}
