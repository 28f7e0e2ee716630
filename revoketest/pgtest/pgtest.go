// Package pgtest gives the tests of an app a real Postgres: each test a database of its own,
// with the schema of revoke and the app's own tables.
//
//	// database is migrated once by each test binary, and copied for each test.
//	var database = pgtest.NewTemplate(func(ctx context.Context, pool *pgxpool.Pool) error {
//		_, err := pool.Exec(ctx, "CREATE TABLE accounts (name text PRIMARY KEY)")
//		return err
//	})
//
//	func TestSignIn(t *testing.T) {
//		pool := database.Pool(t)
//		…
//	}
//
// A test of an app without tables calls [Pool]. A copy takes some 20 ms. Tests may run in
// parallel, and so may test binaries.
//
// # The server
//
// If REVOKE_DATABASE_URL is set, the server is the one of that URL, which must not lead to a
// pooler. Its role needs CREATEDB. Databases with names that begin with "revoke_test_" are made
// and dropped there. REVOKE_POSTGRES_BIN may name the directory of initdb and postgres instead.
//
// Otherwise each test binary starts a server of its own, from the first of these that works:
//
//  1. Docker, if an engine answers within two seconds, with the image of REVOKE_POSTGRES_IMAGE
//     (default: postgres:18-alpine).
//  2. The installed server, in the PATH or where packages put it. Root starts it as the user
//     "postgres" or "nobody".
//
// REVOKE_POSTGRES_SOURCE=docker and REVOKE_POSTGRES_SOURCE=binaries allow one of the two. If
// there is no server, the test fails with the reasons, and with what to install. It is never
// skipped.
//
// # What is left behind
//
// Databases are dropped at the end of their test, and a server that was started ends with the
// process, also if the process is killed. On the server of REVOKE_DATABASE_URL a process leaves
// its templates, until the next process begins, unless the package's TestMain calls [Run].
package pgtest

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/migrations"
)

// MaxConns is 4: the size of each pool, unless REVOKE_DATABASE_URL has pool_max_conns. It is what
// pgx chooses on a small machine. On a large one many tests run at once, and pgx's choice for
// each would exceed what the server allows.
const MaxConns = 4

// closeTimeout is how long a pool may wait for connections that a test has not released.
const closeTimeout = 10 * time.Second

// Template is a database that is migrated once, at first use, and copied for each test. Its zero
// value has the schema of revoke alone. It may be used by several tests at once. Make it a
// variable of the package: each Template is migrated for itself.
type Template struct {
	migrate func(ctx context.Context, pool *pgxpool.Pool) error

	mu   sync.Mutex
	made bool
	name pgserver.Template
	err  error // why it could not be made
}

// NewTemplate returns a template with the schema of revoke, as migrations.Up makes it, and with
// what migrate then adds: the app's own tables, and rows that every test needs. Nil adds nothing.
// NewTemplate starts nothing. migrate is called once, by the first test that asks; if it fails,
// every test of this template fails with its error. ctx ends when that test has ended. The pool
// is closed when migrate returns, and so is every other connection to the template.
func NewTemplate(migrate func(ctx context.Context, pool *pgxpool.Pool) error) *Template {
	return &Template{migrate: migrate}
}

// plain has the schema of revoke alone.
var plain Template

// Pool returns a pool of at most [MaxConns] connections to a new database that has the schema of
// revoke. See [Template.Pool].
func Pool(tb testing.TB, opts ...Option) *pgxpool.Pool {
	tb.Helper()
	return plain.Pool(tb, opts...)
}

// URL returns the address of a new database that has the schema of revoke. See
// [Template.URL].
func URL(tb testing.TB, opts ...Option) string {
	tb.Helper()
	return plain.URL(tb, opts...)
}

// Pool returns a pool of at most [MaxConns] connections to a new copy of the template, which
// only this test uses. At the end of the test the pool is closed and the database dropped; the
// test fails if it has not released a connection then. pool.Config().ConnString() is the
// database's address. If there is no server, the test fails: see the package documentation.
// Pool must be called in the goroutine of the test, as testing.TB.FailNow must.
func (t *Template) Pool(tb testing.TB, opts ...Option) *pgxpool.Pool {
	tb.Helper()
	address := t.URL(tb, opts...)
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		tb.Fatal(err)
	}
	if u, err := url.Parse(address); err != nil || !u.Query().Has("pool_max_conns") {
		config.MaxConns = MaxConns
	}
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(tb.Context()), config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			pool.Close() // waits for every connection
		}()
		late := time.NewTimer(closeTimeout)
		defer late.Stop()
		select {
		case <-closed:
		case <-late.C:
			tb.Error("pgtest: the test has not released a connection of its pool: are rows, a transaction or a connection left open?")
		}
	})
	return pool
}

// URL returns the address of a new copy of the template, for another driver than pgxpool, or for
// a program that the test starts. At the end of the test connections to the database are ended,
// and it is dropped. Everything else is as in Pool.
func (t *Template) URL(tb testing.TB, opts ...Option) string {
	tb.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	server := pgserver.Shared(tb)
	ctx := context.WithoutCancel(tb.Context())
	template, err := t.make(tb.Context(), server)
	if err != nil {
		tb.Fatal(err)
	}
	address, err := server.Clone(ctx, template)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() && o.keep {
			keep(ctx, tb, server, address)
			return
		}
		if err := server.DropDatabase(ctx, address); err != nil {
			tb.Error(err)
		}
	})
	return address
}

// errUnfinished is the error of a template after a test ended in its migration, by
// testing.TB.FailNow or a panic.
var errUnfinished = errors.New("pgtest: the migration of the template did not return")

// make returns the name of the template, and makes it once.
func (t *Template) make(ctx context.Context, server *pgserver.Server) (pgserver.Template, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.made {
		return t.name, t.err
	}
	t.made, t.err = true, errUnfinished
	t.name, t.err = server.CreateTemplate(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		if err := migrations.Up(ctx, pool); err != nil || t.migrate == nil {
			return err
		}
		return t.migrate(ctx, pool)
	})
	return t.name, t.err
}

// keep says where the database of a failed test is to be found.
func keep(ctx context.Context, tb testing.TB, server *pgserver.Server, address string) {
	tb.Helper()
	if !server.Outlives() {
		tb.Log("pgtest: the database is not kept, because its server ends with the tests: set REVOKE_DATABASE_URL to a server that goes on")
		return
	}
	if err := server.Keep(ctx, address); err != nil {
		tb.Error(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		tb.Error(err)
		return
	}
	tb.Logf("pgtest: the database is kept: %s", u.Redacted())
}

// Option configures the database of a test.
type Option func(*options)

type options struct{ keep bool }

// WithKeepOnFailure keeps the database if the test fails, and logs its address without the
// password. Nothing drops it later. It requires a server that goes on after the tests, and so
// REVOKE_DATABASE_URL; without it a test that fails says so. Default: the database is dropped.
func WithKeepOnFailure() Option { return func(o *options) { o.keep = true } }

// Run runs the tests of a package, usually a *testing.M, stops the server or drops the templates
// that they used, and returns the code for os.Exit. A package needs it in two cases: it looks
// for goroutines that are left, or nothing may be left on the server of REVOKE_DATABASE_URL, not
// even until the next test binary begins.
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }
func Run(tests interface{ Run() int }) int { return pgserver.Run(tests) }
