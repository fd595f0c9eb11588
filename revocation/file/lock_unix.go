//go:build unix && !solaris && !aix

package mcpauthrevocationfile

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// lock waits until no other process, and no other Append of this one, has the file, or until ctx ends. Closing unlocks it, and so
// does the end of the process. It asks again and again, because a thread that waits in the kernel can't be called back.
func lock(ctx context.Context, file *os.File) error {
	const first, longest = 100 * time.Microsecond, 10 * time.Millisecond
	for wait := first; ; wait = min(2*wait, longest) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) && !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		case <-pause.C:
		}
	}
}

// syncDirectory makes the names of new files in a directory durable.
func syncDirectory(path string) error {
	directory, err := os.Open(path) //nolint:gosec // the user says which
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
