// Package testkit holds what the tests of several packages share: stores on a database of their
// own, tokens, signed texts, and waiting for a condition.
package testkit

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
)

// Issuer is the issuer of the tokens of this package.
const Issuer = "https://issuer.example"

// Must fails the test unless err is nil.
func Must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// Value returns value, and fails the test unless err is nil: testkit.Value(call())(t).
func Value[T any](value T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		Must(tb, err)
		return value
	}
}

// WantError fails the test unless err matches target, and of the three sentinels of revoke none
// but target's.
func WantError(tb testing.TB, err, target error) {
	tb.Helper()
	if !errors.Is(err, target) {
		tb.Fatalf("error %v, want one that matches %v", err, target)
	}
	for _, sentinel := range []error{revoke.ErrRevoked, revoke.ErrInvalidToken, revoke.ErrUnavailable} {
		if errors.Is(err, sentinel) != errors.Is(target, sentinel) {
			tb.Fatalf("error %v, want one that matches %v and no other sentinel", err, target)
		}
	}
}

// patience is how long Eventually waits: longer than any loaded machine takes, because a test
// that passes does not wait.
const patience = time.Minute

// Eventually waits for a condition, and fails the test if it does not come true. what says what
// is waited for.
func Eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			tb.Fatalf("not within %v: %s", patience, what)
		case <-tick.C:
		}
	}
}

// Token returns a token of Issuer with random names, issued ten seconds ago and valid for an hour.
func Token() revoke.Token {
	now := time.Now().UTC().Truncate(time.Second)
	return revoke.Token{
		Issuer: Issuer, ID: rand.Text(), Subject: "user-" + rand.Text(), SessionID: "session-" + rand.Text(),
		IssuedAt: now.Add(-10 * time.Second), ExpiresAt: now.Add(time.Hour),
	}
}

// Store returns a store on a migrated database of the test's own, and its pool.
func Store(tb testing.TB, opts ...revoke.PostgresOption) (*revoke.Postgres, *pgxpool.Pool) {
	tb.Helper()
	pool := pgserver.Pool(tb, pgserver.Database(tb))
	return OpenStore(tb, pool, opts...), pool
}

// OpenStore returns a store on the pool.
func OpenStore(tb testing.TB, pool *pgxpool.Pool, opts ...revoke.PostgresOption) *revoke.Postgres {
	tb.Helper()
	return Value(revoke.NewPostgres(pool, opts...))(tb)
}

// WithUser returns an address by which a role connects.
func WithUser(tb testing.TB, address, role string) string {
	tb.Helper()
	u := Value(url.Parse(address))(tb)
	if query := u.Query(); query.Has("user") {
		query.Set("user", role)
		u.RawQuery = query.Encode()
	} else {
		u.User = url.User(role)
	}
	return u.String()
}

// NewRole makes a role of the test's own that may use the tables, and returns its name. Settings
// follow ALTER ROLE name.
func NewRole(tb testing.TB, admin *pgxpool.Pool, settings ...string) string {
	tb.Helper()
	name := "revoke_test_" + strings.ToLower(rand.Text())
	Exec(tb, admin, "CREATE ROLE "+name+" LOGIN")
	tb.Cleanup(func() {
		_, err := admin.Exec(context.Background(), "DROP OWNED BY "+name+"; DROP ROLE "+name)
		Must(tb, err)
	})
	Exec(tb, admin, "GRANT USAGE ON SCHEMA revoke TO "+name)
	Exec(tb, admin, "GRANT EXECUTE ON FUNCTION revoke.epochs TO "+name)
	Exec(tb, admin, "GRANT SELECT, INSERT, UPDATE, DELETE ON revoke.revocations, revoke.sessions TO "+name)
	for _, setting := range settings {
		Exec(tb, admin, "ALTER ROLE "+name+" "+setting)
	}
	return name
}

// As configures the pool of pgserver.Pool to connect as a role.
func As(role string) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) { c.ConnConfig.User = role }
}

// WithMode configures the pool of pgserver.Pool to send queries in this mode.
func WithMode(mode pgx.QueryExecMode) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode }
}

// Exec runs SQL that the test needs.
func Exec(tb testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	tb.Helper()
	_, err := pool.Exec(tb.Context(), sql, args...)
	Must(tb, err)
}

// QueryOne returns the one value that a query has.
func QueryOne[T any](tb testing.TB, pool *pgxpool.Pool, sql string, args ...any) (value T) {
	tb.Helper()
	Must(tb, pool.QueryRow(tb.Context(), sql, args...).Scan(&value))
	return value
}

// Long returns short, or long where REVOKE_TEST_LONG is set: how much a test does that would find
// more in a longer run.
func Long[T any](short, long T) T {
	if os.Getenv("REVOKE_TEST_LONG") != "" {
		return long
	}
	return short
}
