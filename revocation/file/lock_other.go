//go:build !unix || solaris || aix

package mcpauthrevocationfile

import "os"

func lock(*os.File) error { return nil }

func syncDirectory(string) error { return nil }
