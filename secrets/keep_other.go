//go:build !unix

package secrets

import (
	"io/fs"
	"os"
)

// keepOwner has nothing to do: elsewhere a file inherits from its folder who may
// read it.
func keepOwner(*os.File, fs.FileInfo) error { return nil }
