//go:build !unix || solaris || aix

package mcpauthrevocationfile

import (
	"context"
	"os"
)

func lock(context.Context, *os.File) error { return nil }

func syncDirectory(string) error { return nil }
