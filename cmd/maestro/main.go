// Command maestro shows, runs and checks virtually synchronous groups; see
// maestro --help.
package main

import (
	"os"

	"maestro/cmd/maestro/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
