package services

import (
	"context"
	"errors"
	"fmt"
)

// ErrMissing means that a service's programs are not installed.
var ErrMissing = errors.New("not installed")

func (k kind) startLocal(ctx context.Context, settings []string) (*Server, error) {
	sweepFolders()
	binary := k.find(thisMachine())
	if binary == "" {
		return nil, fmt.Errorf("%s is %w; install %s", k.name, ErrMissing, k.install)
	}
	return k.start(ctx, binary, settings...)
}
