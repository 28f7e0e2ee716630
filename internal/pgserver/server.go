// Package pgserver gives tests and examples a real Postgres on any machine, and leaves nothing of it behind.
//
// Three sources are tried in this order; a step that fails falls through to the next, and its reason is kept:
//
//  1. REVOKE_DATABASE_URL, where it is set, and then nothing else. Only databases whose names begin with "revoke_test_"
//     are created there and dropped, so its role needs CREATEDB.
//  2. A Docker engine, where one answers within two seconds, with the image of REVOKE_POSTGRES_IMAGE.
//  3. The server binaries of this machine (initdb, postgres), also as root.
//
// REVOKE_POSTGRES_SOURCE=docker and REVOKE_POSTGRES_SOURCE=binaries allow only that one.
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
)

// The environment that decides where the server comes from.
const (
	urlVariable    = "REVOKE_DATABASE_URL"
	imageVariable  = "REVOKE_POSTGRES_IMAGE"
	sourceVariable = "REVOKE_POSTGRES_SOURCE"
)

// Server is a running Postgres. Its methods may be called from several goroutines.
type Server struct {
	// Source says where the server comes from, for people.
	Source string

	url     string // of the database postgres, or of the one that the environment names
	close   func() error
	standby func(ctx context.Context) (*Server, error)

	template struct {
		sync.Mutex
		name string
	}
}

// source is a way to get a server.
type source struct {
	name string
	open func(context.Context) (*Server, error)
}

// Open finds or starts a server. The error lists what was tried, why it failed, and what to install.
func Open(ctx context.Context) (*Server, error) {
	if given := os.Getenv(urlVariable); given != "" {
		return openURL(ctx, given)
	}
	docker, binaries := source{"docker", openDocker}, source{"binaries", openBinaries}
	var sources []source
	switch only := os.Getenv(sourceVariable); only {
	case "":
		sources = []source{docker, binaries}
	case docker.name:
		sources = []source{docker}
	case binaries.name:
		sources = []source{binaries}
	default:
		return nil, fmt.Errorf("pgserver: %s=%q is neither %q nor %q", sourceVariable, only, docker.name, binaries.name)
	}
	failures := []error{fmt.Errorf("pgserver: no Postgres: set %s to a server whose role may create databases, "+
		"or start Docker, or install the Postgres server (Debian: apt-get install postgresql). Tried", urlVariable)}
	for _, s := range sources {
		server, err := s.open(ctx)
		if err == nil {
			return server, nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", s.name, err))
	}
	return nil, errors.Join(failures...)
}

// URL returns the address of the server's own database, not one of a test's.
func (s *Server) URL() string { return s.url }

// ErrNoStandby says that the server is not ours to give a standby.
var ErrNoStandby = errors.New("pgserver: the server was not started here, so it cannot be given a standby")

// Standby starts a streaming standby of the server. It ends with its own Close.
func (s *Server) Standby(ctx context.Context) (*Server, error) {
	if s.standby == nil {
		return nil, ErrNoStandby
	}
	return s.standby(ctx)
}

// Close drops what was made, and stops the server where it was started here. When it returns, nothing is left.
func (s *Server) Close() error {
	return errors.Join(s.dropTemplate(), s.close())
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
