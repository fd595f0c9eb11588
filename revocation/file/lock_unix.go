//go:build unix && !solaris && !aix

package mcpauthrevocationfile

import (
	"errors"
	"os"
	"syscall"
)

// lock waits until no other process, and no other Append of this one, has the file. Closing unlocks it, and so does the end
// of the process.
func lock(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			return err
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
