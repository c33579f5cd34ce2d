//go:build unix

package cli

import (
	"io"
	"io/fs"
	"os"
	"syscall"
)

// pollable is a pipe or socket as the runtime's poller reads it. A blocking read
// keeps one of the runtime's processors for up to 10 ms, with a pacer that sleeps in
// the kernel both of two: the member's loop would have none in the meantime.
func pollable(in io.Reader) io.Reader {
	f, ok := in.(*os.File)
	if !ok {
		return in
	}
	st, err := f.Stat()
	if err != nil || st.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) == 0 {
		return in // a terminal is shared with who has started us
	}
	fd := int(f.Fd())
	if syscall.SetNonblock(fd, true) != nil {
		return in
	}
	return os.NewFile(uintptr(fd), f.Name())
}
