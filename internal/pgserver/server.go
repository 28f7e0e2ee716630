// Package pgserver gives tests and examples a real Postgres on any machine, and removes all of it
// afterwards.
//
// Two environment variables name one server each. If one of them is set, no other server is tried:
//
//   - REVOKE_DATABASE_URL is the URL of a server, not of a pooler. Open creates and drops databases
//     with names that begin with "revoke_test_", so the role needs CREATEDB. Open drops what
//     ended processes have left there.
//   - REVOKE_POSTGRES_BIN is the absolute path of a directory with initdb and postgres.
//
// Otherwise two sources are tried in this order. If the first fails, its reason is kept for the
// error:
//
//  1. A Docker engine that answers within two seconds, with the image of REVOKE_POSTGRES_IMAGE.
//  2. The installed server: initdb and postgres in the PATH or where packages put them.
//
// REVOKE_POSTGRES_SOURCE=docker and REVOKE_POSTGRES_SOURCE=binaries allow only that source.
//
// Root starts the programs of a server as the user "postgres" or, if there is none, "nobody".
// That user must be able to read them.
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// The environment that decides where the server comes from.
const (
	urlVariable    = "REVOKE_DATABASE_URL"
	imageVariable  = "REVOKE_POSTGRES_IMAGE"
	sourceVariable = "REVOKE_POSTGRES_SOURCE"
	binVariable    = "REVOKE_POSTGRES_BIN"
)

// Server is a running Postgres. Its methods may be called from several goroutines.
type Server struct {
	// Source says where the server comes from, for people to read.
	Source string

	url     string // of the database postgres, or of the one that the environment names
	owner   string // in the names of databases, on a server that others use too
	close   func() error
	standby func(ctx context.Context) (*Server, error)

	idle struct { // connections that admin has kept
		sync.Mutex
		conns []*pgx.Conn
	}
	migrated struct { // the template of CreateDatabase
		sync.Mutex
		template Template
	}
	templates struct { // to be dropped by Close
		sync.Mutex
		all []Template
	}
}

// source is a way to get a server.
type source struct {
	name string
	open func(context.Context) (*Server, error)
}

// Open finds or starts a server. The error lists each source with the reason why it failed, and the
// remedies.
func Open(ctx context.Context) (*Server, error) {
	docker, binaries := source{"docker", openDocker}, source{"binaries", openBinaries}
	address, bin, only := os.Getenv(urlVariable), os.Getenv(binVariable), os.Getenv(sourceVariable)
	switch {
	case address != "" && bin != "":
		return nil, fmt.Errorf("pgserver: %s and %s are both set: unset one", urlVariable, binVariable)
	case address != "":
		return openURL(ctx, address)
	case bin != "" && only == docker.name:
		return nil, fmt.Errorf("pgserver: %s is set, and %s=%s excludes it: unset one", binVariable, sourceVariable, only)
	case bin != "":
		server, err := openDirectory(ctx, bin)
		if err != nil {
			return nil, fmt.Errorf("pgserver: %s=%s: %w", binVariable, bin, err)
		}
		return server, nil
	}
	var sources []source
	switch only {
	case "":
		sources = []source{docker, binaries}
	case docker.name:
		sources = []source{docker}
	case binaries.name:
		sources = []source{binaries}
	default:
		return nil, fmt.Errorf("pgserver: %s=%q is neither %q nor %q", sourceVariable, only, docker.name, binaries.name)
	}
	var tried error
	for _, s := range sources {
		server, err := s.open(ctx)
		if err == nil {
			return server, nil
		}
		err = fmt.Errorf("%s: %w", s.name, err)
		if tried != nil {
			err = fmt.Errorf("%w; %w", tried, err)
		}
		tried = err
	}
	return nil, fmt.Errorf("pgserver: no Postgres: set %s to a server with a role that may create databases, or start Docker, "+
		"or install the Postgres server (Debian: apt-get install postgresql); tried %w", urlVariable, tried)
}

// URL returns the address of the server's own database, not one of a test's.
func (s *Server) URL() string { return s.url }

// Outlives reports whether the server goes on when this process has ended: it is the one that
// the environment names.
func (s *Server) Outlives() bool { return s.owner != "" }

// ErrNoStandby is returned for a server that Open did not start.
var ErrNoStandby = errors.New("pgserver: the server was not started here, so it cannot be given a standby")

// Standby starts a streaming standby of the server. The standby has a Close of its own.
func (s *Server) Standby(ctx context.Context) (*Server, error) {
	if s.standby == nil {
		return nil, ErrNoStandby
	}
	return s.standby(ctx)
}

// Close drops the templates, and stops the server if Open started it. When it returns, all
// files and processes of the server are gone.
func (s *Server) Close() error {
	err := s.dropTemplates()
	s.closeKept()
	return errors.Join(err, s.close())
}

// withDatabase replaces the database in a URL.
func withDatabase(address, name string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		// The text of the error would repeat the password.
		return "", fmt.Errorf("pgserver: %s is not a URL of the form postgres://user@host/database", urlVariable)
	}
	u.Path = "/" + name
	// The query may name a database too, and would win.
	u.RawQuery = strings.Join(slices.DeleteFunc(strings.Split(u.RawQuery, "&"), func(parameter string) bool {
		key, _, _ := strings.Cut(parameter, "=")
		key, err := url.QueryUnescape(key)
		return err == nil && (key == "dbname" || key == "database")
	}), "&")
	return u.String(), nil
}
