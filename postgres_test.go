package revoke_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/migrations"
)

const testIssuer = "https://issuer.example"

// newToken returns a token issued ten seconds ago and valid for an hour.
func newToken() revoke.Token {
	now := time.Now().UTC().Truncate(time.Second)
	return revoke.Token{
		Issuer: testIssuer, ID: rand.Text(), Subject: "user-" + rand.Text(), SessionID: "session-" + rand.Text(),
		IssuedAt: now.Add(-10 * time.Second), ExpiresAt: now.Add(time.Hour),
	}
}

func userOf(token revoke.Token) revoke.User {
	return revoke.User{Issuer: token.Issuer, Subject: token.Subject}
}

// must fails the test unless err is nil.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// mustExec runs SQL that the test needs.
func mustExec(tb testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	tb.Helper()
	_, err := pool.Exec(tb.Context(), sql, args...)
	must(tb, err)
}

// queryOne returns the one value that a query has.
func queryOne[T any](tb testing.TB, pool *pgxpool.Pool, sql string, args ...any) (value T) {
	tb.Helper()
	must(tb, pool.QueryRow(tb.Context(), sql, args...).Scan(&value))
	return value
}

// eventually waits for a condition.
func eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			tb.Fatalf("not within 30 s: %s", what)
		case <-tick.C:
		}
	}
}

// awaitLockWait waits until some session of the database waits for a lock.
func awaitLockWait(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	eventually(tb, "a session waits for a lock", func() bool {
		return queryOne[int](tb, pool, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
	})
}

// needSuperuser ends a test that makes roles or plays replication, where REVOKE_DATABASE_URL names a role that may not.
// Servers that are started for the tests always allow it.
func needSuperuser(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	if !queryOne[bool](tb, pool, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") {
		tb.Skip("the role of REVOKE_DATABASE_URL is no superuser")
	}
}

// wantError fails unless err matches target, and no other of the three sentinels.
func wantError(tb testing.TB, err, target error) {
	tb.Helper()
	for _, sentinel := range []error{revoke.ErrRevoked, revoke.ErrInvalidToken, revoke.ErrUnavailable} {
		if errors.Is(err, sentinel) != errors.Is(target, sentinel) {
			tb.Fatalf("error %v, want one that matches %v and no other", err, target)
		}
	}
}

// TestCheckPlan fills empty tables under a connection that has planned its check already, and looks at the plan that it
// goes on using. A sequential scan, cached while a table was empty, would stay until the next ANALYZE.
func TestCheckPlan(t *testing.T) {
	t.Parallel()
	for _, vacuumed := range []bool{false, true} {
		t.Run(fmt.Sprintf("vacuumed=%v", vacuumed), func(t *testing.T) {
			t.Parallel()
			address := pgserver.Database(t)
			admin := pgserver.Pool(t, address)
			for _, table := range []string{"revoked_tokens", "sessions", "user_epochs"} {
				mustExec(t, admin, "ALTER TABLE revoke."+table+" SET (autovacuum_enabled = off)")
				if vacuumed {
					mustExec(t, admin, "VACUUM (FREEZE, ANALYZE) revoke."+table)
				}
			}
			pool := pgserver.Pool(t, address, func(c *pgxpool.Config) { c.MaxConns = 1 })
			store := openStore(t, pool, revoke.WithCheckQueries(1))
			token := newToken()
			crowd := func() { // with one query at a time most of these share one
				results := make([]<-chan error, 20)
				for i := range results {
					results[i] = checkLater(t.Context(), store, token)
				}
				for _, result := range results {
					must(t, <-result)
				}
			}
			for range 20 { // from the sixth execution on a generic plan may be used
				must(t, store.Check(t.Context(), token))
				crowd()
			}
			mustExec(t, admin, `INSERT INTO revoke.revoked_tokens (key, expires_at, revoked_at, issuer, jti)
				SELECT gen_random_uuid(), now() + interval '1 hour', now(), 'i', i::text FROM generate_series(1, 1000000) AS i`)
			mustExec(t, admin, `INSERT INTO revoke.sessions (key, expires_at, revoked_at, issuer, sid)
				SELECT gen_random_uuid(), now() + interval '1 hour', now(), 'i', i::text FROM generate_series(1, 100000) AS i`)
			mustExec(t, admin, `INSERT INTO revoke.user_epochs (key, not_before, expires_at, revoked_at, issuer)
				SELECT gen_random_uuid(), now(), now() + interval '1 hour', now(), i::text FROM generate_series(1, 100000) AS i`)
			must(t, store.Check(t.Context(), token))
			crowd()
			key := "'00000000-0000-0000-0000-000000000000'"
			for begins, argument := range map[string]string{"SELECT pg_is_in_recovery()": key, "SELECT 0, pg_is_in_recovery()": "array[" + key + "]::uuid[]"} {
				var name string
				var generic int
				must(t, pool.QueryRow(t.Context(), `SELECT name, generic_plans FROM pg_prepared_statements
					WHERE statement LIKE $1 || '%revoked_tokens%'`, begins).Scan(&name, &generic))
				if generic == 0 {
					t.Errorf("%s: no generic plan was used", begins)
				}
				rows, err := pool.Query(t.Context(), fmt.Sprintf("EXPLAIN EXECUTE %[1]q (%[2]s, %[2]s, %[2]s, %[2]s)", name, argument),
					pgx.QueryExecModeSimpleProtocol)
				must(t, err)
				lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
				must(t, err)
				plan := strings.Join(lines, "\n")
				if n := strings.Count(plan, "Index Cond: (key = "); n != 4 || strings.Contains(plan, "Seq Scan") {
					t.Errorf("%d index scans by key, want 4:\n%s", n, plan)
				}
				if n := strings.Count(plan, "Index Only Scan using user_epochs_pkey"); n != 2 {
					t.Errorf("%d scans of an index alone, want 2:\n%s", n, plan)
				}
				if argument == key && !strings.Contains(plan, "$1") {
					t.Errorf("this is no generic plan:\n%s", plan)
				}
			}
		})
	}
}

// TestSessionThatGoesOn has a row for a session that nobody has revoked, and checks alone and in company.
func TestSessionThatGoesOn(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := newStore(t, revoke.WithCheckQueries(1))
	token := newToken()
	mustExec(t, pool, `INSERT INTO revoke.sessions (key, expires_at, issuer, sid)
		VALUES (revoke.row_key('session', $1, $2), now() + interval '1 hour', $1, $2)`, token.Issuer, token.SessionID)
	crowd := func() (errs []error) {
		results := make([]<-chan error, 20)
		for i := range results {
			results[i] = checkLater(ctx, store, token)
		}
		for _, result := range results {
			errs = append(errs, <-result)
		}
		return errs
	}
	must(t, errors.Join(crowd()...))
	found, err := store.Lookup(ctx, token)
	must(t, err)
	if len(found) != 0 {
		t.Errorf("Lookup = %+v", found)
	}
	must(t, store.RevokeSession(ctx, revoke.Session{Issuer: token.Issuer, ID: token.SessionID}))
	for _, err := range crowd() {
		wantError(t, err, revoke.ErrRevoked)
	}
}

// TestCheckOnStandby asks a streaming standby, which may be behind.
func TestCheckOnStandby(t *testing.T) {
	t.Parallel()
	server, err := pgserver.Open(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	address, err := server.CreateDatabase(t.Context())
	must(t, err)
	standby, err := server.Standby(t.Context())
	if errors.Is(err, pgserver.ErrNoStandby) {
		t.Skip(err) // only where REVOKE_DATABASE_URL names a server, whose standbys are not ours to start
	}
	must(t, err)
	t.Cleanup(func() { must(t, standby.Close()) })

	primary := openStore(t, pgserver.Pool(t, address))
	config, err := pgx.ParseConfig(address)
	must(t, err)
	replica := pgserver.Pool(t, standby.URL(), func(c *pgxpool.Config) { c.ConnConfig.Database = config.Database })
	behind := openStore(t, replica)

	token := newToken()
	must(t, primary.RevokeToken(t.Context(), token))
	eventually(t, "the standby has the row", func() bool {
		return queryOne[int](t, replica, "SELECT count(*) FROM revoke.revoked_tokens") == 1
	})
	for what, err := range map[string]error{
		"Check":        behind.Check(t.Context(), newToken()),
		"Check, known": behind.Check(t.Context(), token), // the row is there, but another might not be
		"Lookup":       func() error { _, err := behind.Lookup(t.Context(), token); return err }(),
		"Epochs":       func() error { _, err := behind.Epochs(t.Context(), userOf(token)); return err }(),
		"IssueTime":    func() error { _, err := behind.IssueTime(t.Context(), userOf(token)); return err }(),
		"RevokeToken":  behind.RevokeToken(t.Context(), newToken()),
	} {
		if wantError(t, err, revoke.ErrUnavailable); what != "RevokeToken" && !strings.Contains(err.Error(), "standby") {
			t.Errorf("%s = %v, want it to say that a standby answered", what, err)
		}
	}
	must(t, primary.Check(t.Context(), newToken()))

	g := newGate()
	gated := pgserver.Pool(t, standby.URL(), func(c *pgxpool.Config) { c.ConnConfig.Database, c.ConnConfig.Tracer = config.Database, g })
	t.Cleanup(g.release)
	behind = openStore(t, gated, revoke.WithCheckQueries(1))
	results := []<-chan error{checkLater(t.Context(), behind, newToken())}
	<-g.held
	for range 10 { // in one query
		results = append(results, checkLater(t.Context(), behind, newToken()))
	}
	awaitQueue(t, behind, 10)
	g.release()
	for _, result := range results {
		if err := <-result; !errors.Is(err, revoke.ErrUnavailable) || !strings.Contains(err.Error(), "standby") {
			t.Errorf("shared Check = %v, want it to say that a standby answered", err)
		}
	}
}

// TestSchemaProblems reads what a developer sees who forgot to migrate.
func TestSchemaProblems(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	store := openStore(t, pool, revoke.WithSchema("auth"))
	sweeper, err := revoke.NewSweeper(store)
	must(t, err)
	want := `schema "auth" has version 0 (none), version 1 is needed: run migrations.Up of github.com/pgrevoke/revoke/migrations`
	calls := map[string]func() error{
		"Check":       func() error { return store.Check(ctx, newToken()) },
		"Lookup":      func() error { _, err := store.Lookup(ctx, newToken()); return err },
		"RevokeToken": func() error { return store.RevokeToken(ctx, newToken()) },
		"RevokeUser":  func() error { _, err := store.RevokeUser(ctx, userOf(newToken())); return err },
		"Redeem":      func() error { return store.Redeem(ctx, newToken()) },
		"IssueTime":   func() error { _, err := store.IssueTime(ctx, userOf(newToken())); return err },
		"InTx": func() error {
			return store.InTx(ctx, func(r revoke.Revoker) error { return r.RevokeToken(ctx, newToken()) })
		},
		"Sweep": func() error { _, err := sweeper.Sweep(ctx); return err },
	}
	expect := func(want string) {
		t.Helper()
		for what, call := range calls {
			err := call()
			wantError(t, err, revoke.ErrUnavailable)
			var pgErr *pgconn.PgError
			if !strings.Contains(err.Error(), want) || !errors.As(err, &pgErr) {
				t.Errorf("%s = %v, want it to contain %s", what, err, want)
			}
		}
	}
	expect(want)

	must(t, migrations.Up(ctx, pool, migrations.WithSchema("auth")))
	for what, call := range calls {
		if err := call(); err != nil {
			t.Errorf("after the migration %s = %v", what, err)
		}
	}

	mustExec(t, pool, `DROP TABLE auth.revoked_tokens`)
	mustExec(t, pool, `CREATE OR REPLACE FUNCTION auth.schema_version() RETURNS integer LANGUAGE sql AS 'SELECT 0'`)
	delete(calls, "RevokeUser")
	delete(calls, "IssueTime") // these need nothing of what is missing
	expect(`schema "auth" has version 0, version 1 is needed: run migrations.Up`)
	mustExec(t, pool, `CREATE OR REPLACE FUNCTION auth.schema_version() RETURNS integer LANGUAGE sql AS 'SELECT 1'`)
	expect(`schema "auth" says version 1, but has been changed by hand`)
}

// TestKeysMatchSQL compares the keys that Go computes with those of the function for people with psql.
func TestKeysMatchSQL(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	for _, token := range []revoke.Token{
		{Issuer: "i", ID: "j", Subject: "s", SessionID: "d"},
		{Issuer: "https://ümlaut.example", ID: "日本語", Subject: "🙂", SessionID: "e\u0301"},
		{Issuer: strings.Repeat("i", 1024), ID: strings.Repeat("ß", 512), Subject: `\'"`, SessionID: "\n\t"},
	} {
		must(t, store.RevokeToken(t.Context(), token))
		must(t, store.RevokeSession(t.Context(), revoke.Session{Issuer: token.Issuer, ID: token.SessionID}))
		_, err := store.RevokeUser(t.Context(), userOf(token))
		must(t, err)
		_, err = store.RevokeIssuer(t.Context(), token.Issuer)
		must(t, err)
	}
	const different = `SELECT count(*) FILTER (WHERE key <> wanted), count(*) FROM (
		SELECT key, revoke.row_key('token', issuer, jti) AS wanted FROM revoke.revoked_tokens
		UNION ALL SELECT key, revoke.row_key('session', issuer, sid) FROM revoke.sessions
		UNION ALL SELECT key, revoke.row_key('user', issuer, subject) FROM revoke.user_epochs WHERE subject IS NOT NULL
		UNION ALL SELECT key, revoke.row_key('issuer', issuer, '') FROM revoke.user_epochs WHERE subject IS NULL) AS k`
	var wrong, all int
	must(t, pool.QueryRow(t.Context(), different).Scan(&wrong, &all))
	if wrong != 0 || all != 12 {
		t.Errorf("%d of %d keys differ, want 0 of 12", wrong, all)
	}
}

// TestRowsStandAlone looks for what could take rows away with something else, or write a xid that is not the writer's.
func TestRowsStandAlone(t *testing.T) {
	t.Parallel()
	_, pool := newStore(t)
	if n := queryOne[int](t, pool, `SELECT count(*) FROM pg_constraint WHERE contype = 'f'
		AND connamespace = 'revoke'::regnamespace`); n != 0 {
		t.Errorf("%d foreign keys: deleting a user would revive their tokens", n)
	}
	needSuperuser(t, pool)
	tx, err := pool.Begin(t.Context())
	must(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	// As a replication worker or a restore would write it.
	_, err = tx.Exec(t.Context(), "SET LOCAL session_replication_role = replica")
	must(t, err)
	var same bool
	must(t, tx.QueryRow(t.Context(), `INSERT INTO revoke.revoked_tokens (key, expires_at, revoked_at, xid, issuer, jti)
		VALUES (gen_random_uuid(), now(), now(), '7', 'i', 'j') RETURNING xid = pg_current_xact_id()`).Scan(&same))
	if !same {
		t.Error("a row arrived with the xid of another server")
	}
}

// TestNoInfiniteTimes keeps out what has no number of microseconds, such as an account that somebody closes for ever by hand.
func TestNoInfiniteTimes(t *testing.T) {
	t.Parallel()
	_, pool := newStore(t)
	for _, insert := range []string{
		"revoked_tokens (key, revoked_at, expires_at, issuer, jti) VALUES (gen_random_uuid(), now(), $1, 'i', 'j')",
		"revoked_tokens (key, revoked_at, expires_at, issuer, jti) VALUES (gen_random_uuid(), $1, now(), 'i', 'j')",
		"sessions (key, revoked_at, expires_at, issuer, sid) VALUES (gen_random_uuid(), now(), $1, 'i', 's')",
		"sessions (key, revoked_at, expires_at, issuer, sid) VALUES (gen_random_uuid(), $1, now(), 'i', 's')",
		"user_epochs (key, revoked_at, not_before, expires_at, issuer) VALUES (gen_random_uuid(), now(), now(), $1, 'i')",
		"user_epochs (key, revoked_at, not_before, expires_at, issuer) VALUES (gen_random_uuid(), now(), $1, now(), 'i')",
		"user_epochs (key, revoked_at, not_before, expires_at, issuer) VALUES (gen_random_uuid(), $1, now(), now(), 'i')",
	} {
		for _, modifier := range []pgtype.InfinityModifier{pgtype.Infinity, pgtype.NegativeInfinity} {
			_, err := pool.Exec(t.Context(), "INSERT INTO revoke."+insert, pgtype.Timestamptz{InfinityModifier: modifier, Valid: true})
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) || pgErr.Code != "23514" { // check_violation
				t.Errorf("%s with %v: %v", insert, modifier, err)
			}
		}
	}
}

// TestSessionSettings runs every operation under settings that change how values are written as text, in the modes in which
// they are.
func TestSessionSettings(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		for _, setting := range [][2]string{
			{"DateStyle", "German"}, {"DateStyle", "SQL, DMY"}, {"IntervalStyle", "sql_standard"}, {"TimeZone", "Africa/Monrovia"},
			{"extra_float_digits", "0"}, {"bytea_output", "escape"}, {"array_nulls", "off"}, {"transform_null_equals", "on"},
			{"default_transaction_isolation", "serializable"}, {"default_transaction_read_only", "on"}, {"search_path", ""},
		} {
			t.Run(fmt.Sprintf("%v/%s=%s", mode, setting[0], setting[1]), func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				store := openStore(t, pgserver.Pool(t, pgserver.Database(t), withMode(mode), func(c *pgxpool.Config) {
					c.ConnConfig.RuntimeParams[setting[0]] = setting[1]
				}))
				before := time.Now().Add(-time.Minute)
				token, byUser, spent := newToken(), newToken(), newToken()
				token.ID = "jti-ü-日本"
				must(t, store.Check(ctx, token))
				must(t, store.RevokeTokens(ctx, []revoke.Token{token, token}))
				must(t, store.Redeem(ctx, spent))
				wantError(t, store.Redeem(ctx, spent), revoke.ErrRevoked)
				epochs, err := store.RevokeUser(ctx, userOf(byUser))
				must(t, err)
				must(t, store.RevokeUserBefore(ctx, userOf(byUser), before))
				if read, err := store.Epochs(ctx, userOf(byUser)); err != nil || read != epochs {
					t.Errorf("Epochs = %v, %v, want %v", read, err, epochs)
				}
				for _, dead := range []revoke.Token{token, byUser, spent} {
					wantError(t, store.Check(ctx, dead), revoke.ErrRevoked)
					found, err := store.Lookup(ctx, dead)
					must(t, err)
					if len(found) != 1 || found[0].Since.Before(before) || found[0].ExpiresAt.Before(before) {
						t.Errorf("Lookup = %+v", found)
					}
				}
				byUser.Epochs = &epochs
				must(t, store.Check(ctx, byUser))
				sweeper, err := revoke.NewSweeper(store)
				must(t, err)
				_, err = sweeper.Sweep(ctx)
				must(t, err)
			})
		}
	}
}

// TestUnavailable makes the database fail in ways that a real one can.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	t.Run("a table is locked for longer than the timeout", func(t *testing.T) {
		t.Parallel()
		store, pool := newStore(t, revoke.WithCheckTimeout(50*time.Millisecond))
		tx, err := pool.Begin(t.Context())
		must(t, err)
		defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
		_, err = tx.Exec(t.Context(), "LOCK TABLE revoke.sessions")
		must(t, err)
		err = store.Check(t.Context(), newToken())
		wantError(t, err, revoke.ErrUnavailable)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Check = %v, want the cause in it", err)
		}
	})
	t.Run("no connection is free", func(t *testing.T) {
		t.Parallel()
		pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
		store := openStore(t, pool, revoke.WithCheckTimeout(50*time.Millisecond))
		held, err := pool.Acquire(t.Context())
		must(t, err)
		wantError(t, store.Check(t.Context(), newToken()), revoke.ErrUnavailable)
		held.Release()
		must(t, store.Check(t.Context(), newToken()))
	})
	t.Run("the connection is cut", func(t *testing.T) {
		t.Parallel()
		address := pgserver.Database(t)
		pool := pgserver.Pool(t, address, func(c *pgxpool.Config) { c.MaxConns = 1 })
		store := openStore(t, pool)
		token := newToken()
		must(t, store.RevokeToken(t.Context(), token))
		backend := queryOne[int](t, pool, "SELECT pg_backend_pid()")
		mustExec(t, pgserver.Pool(t, address), "SELECT pg_terminate_backend($1, 5000)", backend)
		// The first call finds the connection dead, or the pool has noticed already.
		if err := store.Check(t.Context(), token); !errors.Is(err, revoke.ErrRevoked) {
			wantError(t, err, revoke.ErrUnavailable)
		}
		eventually(t, "a new connection answers", func() bool {
			return errors.Is(store.Check(t.Context(), token), revoke.ErrRevoked)
		})
	})
	t.Run("the pool is closed", func(t *testing.T) {
		t.Parallel()
		store, pool := newStore(t)
		pool.Close()
		wantError(t, store.Check(t.Context(), newToken()), revoke.ErrUnavailable)
		wantError(t, store.RevokeToken(t.Context(), newToken()), revoke.ErrUnavailable)
	})
	t.Run("the right to read is missing", func(t *testing.T) {
		t.Parallel()
		store, pool := newStore(t)
		needSuperuser(t, pool)
		token := newToken()
		must(t, store.RevokeToken(t.Context(), token))
		role := "reader_" + strings.ToLower(rand.Text())
		mustExec(t, pool, "CREATE ROLE "+role)
		defer func() {
			_, err := pool.Exec(context.WithoutCancel(t.Context()), "DROP ROLE "+role)
			must(t, err)
		}()
		limited := openStore(t, pgserver.Pool(t, pool.Config().ConnString(), func(c *pgxpool.Config) {
			c.ConnConfig.RuntimeParams["role"] = role
		}))
		err := limited.Check(t.Context(), token)
		wantError(t, err, revoke.ErrUnavailable)
		if !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("Check = %v, want the cause in it", err)
		}
	})
}

// TestRowPolicyHidesNothingUnnoticed looks at row-level security, which makes rows vanish instead of failing: a write that
// had no effect is an error, and never a success.
func TestRowPolicyHidesNothingUnnoticed(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	mustExec(t, pool, `CREATE FUNCTION ignore() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
	mustExec(t, pool, `CREATE TRIGGER ignore BEFORE INSERT ON revoke.user_epochs FOR EACH ROW EXECUTE FUNCTION ignore()`)
	_, err := store.RevokeUser(t.Context(), userOf(newToken()))
	wantError(t, err, revoke.ErrUnavailable)
}

// TestConstructors reads the errors of wrong options.
func TestConstructors(t *testing.T) {
	t.Parallel()
	_, pool := newStore(t)
	if _, err := revoke.NewPostgres(nil); err == nil {
		t.Error("a nil pool is accepted")
	}
	for want, opt := range map[string]revoke.PostgresOption{
		"schema":        revoke.WithSchema(`a"b`),
		"schema \"\"":   revoke.WithSchema(""),
		"schema \"A\"":  revoke.WithSchema("A"),
		"check timeout": revoke.WithCheckTimeout(0),
		"issuer skew":   revoke.WithIssuerSkew(-time.Second),
		"check queries": revoke.WithCheckQueries(-1),
		"30s":           revoke.WithIssuerSkew(time.Minute),
		"nil":           nil,
	} {
		_, err := revoke.NewPostgres(pool, opt)
		if err == nil || !strings.HasPrefix(err.Error(), "revoke: NewPostgres: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("NewPostgres = %v, want an error about %s", err, want)
		}
	}
}

// sqlDB returns a database/sql handle over the pool.
func sqlDB(tb testing.TB, pool *pgxpool.Pool) *sql.DB {
	tb.Helper()
	db := stdlib.OpenDBFromPool(pool)
	tb.Cleanup(func() { must(tb, db.Close()) })
	return db
}
