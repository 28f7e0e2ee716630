//go:build !linux && !darwin

package pgserver

import (
	"context"
	"errors"
)

// openBinaries needs signals and credentials as Unix has them.
func openBinaries(context.Context) (*Server, error) {
	return nil, errors.New("starting the installed server is not supported on this system")
}

// openPooler needs them too.
func openPooler(context.Context, string, []string) (string, func() error, error) {
	return "", nil, errors.New("starting pgbouncer is not supported on this system")
}
