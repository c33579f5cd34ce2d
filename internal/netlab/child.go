package netlab

import (
	"fmt"
	"os"
)

// Main is the TestMain of a package whose test binary is also what runs in the
// members' processes: where one of the environment variables is set, its function
// gets the value, in place of the tests. Main does not return.
func Main(m interface{ Run() int }, programs map[string]func(arg string) error) {
	for env, run := range programs {
		arg := os.Getenv(env)
		if arg == "" {
			continue
		}
		if err := run(arg); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
