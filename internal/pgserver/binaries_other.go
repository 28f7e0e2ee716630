//go:build !linux && !darwin

package pgserver

import (
	"context"
	"errors"
)

// errUnix is returned here because binaries.sh needs signals and credentials as Unix has them.
var errUnix = errors.New("starting a program of the server is not supported on this system")

func openBinaries(context.Context) (*Server, error) { return nil, errUnix }

func openDirectory(context.Context, string) (*Server, error) { return nil, errUnix }

func openPooler(context.Context, string, []string) (string, func() error, error) {
	return "", nil, errUnix
}
