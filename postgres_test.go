package revoke_test

import (
	"context"
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
	"github.com/pgrevoke/revoke/internal/schema"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

// sqlDB returns a database/sql handle over the pool.
func sqlDB(tb testing.TB, pool *pgxpool.Pool) *sql.DB {
	tb.Helper()
	db := stdlib.OpenDBFromPool(pool)
	tb.Cleanup(func() { testkit.Must(tb, db.Close()) })
	return db
}

// awaitLockWait waits until some session of the database waits for a lock.
func awaitLockWait(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	testkit.Eventually(tb, "a session waits for a lock", func() bool {
		return testkit.QueryOne[int](tb, pool, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
	})
}

// TestCheckOnStandby asks a streaming standby, which may be behind.
func TestCheckOnStandby(t *testing.T) {
	t.Parallel()
	server := testkit.Value(pgserver.Open(t.Context()))(t)
	t.Cleanup(func() { testkit.Must(t, server.Close()) })
	address := testkit.Value(server.CreateDatabase(t.Context()))(t)
	standby, err := server.Standby(t.Context())
	if err != nil {
		t.Fatalf("%v: unset REVOKE_DATABASE_URL, so that the test starts a server of its own", err)
	}
	t.Cleanup(func() { testkit.Must(t, standby.Close()) })

	primary := testkit.OpenStore(t, pgserver.Pool(t, address))
	config := testkit.Value(pgx.ParseConfig(address))(t)
	sameDatabase := func(c *pgxpool.Config) { c.ConnConfig.Database = config.Database }
	replica := pgserver.Pool(t, standby.URL(), sameDatabase)
	behind := testkit.OpenStore(t, replica, revoke.WithCheckTimeout(time.Minute))

	token := testkit.Token()
	testkit.Must(t, primary.RevokeToken(t.Context(), token))
	testkit.Eventually(t, "the standby has the row", func() bool { return rowCount(t, replica) == 1 })
	for _, row := range []struct {
		name string
		call func(ctx context.Context) error
		want string
	}{
		{"Check", func(ctx context.Context) error { return behind.Check(ctx, testkit.Token()) }, "standby"},
		// The row is there, but another might not be.
		{"Check of a revoked token", func(ctx context.Context) error { return behind.Check(ctx, token) }, "standby"},
		{"Lookup", func(ctx context.Context) error { _, err := behind.Lookup(ctx, token); return err }, "standby"},
		{"Lookup without a row", func(ctx context.Context) error { _, err := behind.Lookup(ctx, testkit.Token()); return err }, "standby"},
		{"Epochs", func(ctx context.Context) error { _, err := behind.Epochs(ctx, token.User()); return err }, "standby"},
		{"IssueTime", func(ctx context.Context) error { _, err := behind.IssueTime(ctx, token.User()); return err }, "standby"},
		{"RevokeToken", func(ctx context.Context) error { return behind.RevokeToken(ctx, testkit.Token()) }, ""},
		{"Redeem", func(ctx context.Context) error { return behind.Redeem(ctx, testkit.Token()) }, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.call(t.Context())
			testkit.WantError(t, err, revoke.ErrUnavailable)
			if !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, want it to say that a standby answered", err)
			}
		})
	}
	testkit.Must(t, primary.Check(t.Context(), testkit.Token()))

	t.Run("Check in company", func(t *testing.T) {
		g := newGate()
		gated := pgserver.Pool(t, standby.URL(), sameDatabase, func(c *pgxpool.Config) { c.ConnConfig.Tracer = g })
		t.Cleanup(g.release)
		behind := testkit.OpenStore(t, gated, revoke.WithCheckQueries(1), revoke.WithCheckTimeout(time.Minute))
		results := []<-chan error{checkLater(t.Context(), behind, testkit.Token())}
		<-g.held
		for range 10 { // in one query
			results = append(results, checkLater(t.Context(), behind, testkit.Token()))
		}
		awaitQueue(t, behind, 10)
		g.release()
		for _, result := range results {
			err := <-result
			testkit.WantError(t, err, revoke.ErrUnavailable)
			if !strings.Contains(err.Error(), "standby") {
				t.Errorf("%v, want it to say that a standby answered", err)
			}
		}
	})
}

// TestSchemaProblems reads what a developer sees who forgot to migrate.
func TestSchemaProblems(t *testing.T) {
	t.Parallel()
	type call struct {
		name string
		call func(ctx context.Context, store *revoke.Postgres) error
	}
	calls := []call{
		{"Check", func(ctx context.Context, store *revoke.Postgres) error { return store.Check(ctx, testkit.Token()) }},
		{"Lookup", func(ctx context.Context, store *revoke.Postgres) error {
			_, err := store.Lookup(ctx, testkit.Token())
			return err
		}},
		{"RevokeToken", func(ctx context.Context, store *revoke.Postgres) error {
			return store.RevokeToken(ctx, testkit.Token())
		}},
		{"RevokeUser", func(ctx context.Context, store *revoke.Postgres) error {
			_, err := store.RevokeUser(ctx, ada)
			return err
		}},
		{"Redeem", func(ctx context.Context, store *revoke.Postgres) error { return store.Redeem(ctx, testkit.Token()) }},
		{"Epochs", func(ctx context.Context, store *revoke.Postgres) error { _, err := store.Epochs(ctx, ada); return err }},
		{"IssueTime", func(ctx context.Context, store *revoke.Postgres) error {
			_, err := store.IssueTime(ctx, testkit.Token().User())
			return err
		}},
		{"InTx", func(ctx context.Context, store *revoke.Postgres) error {
			return store.InTx(ctx, func(r revoke.Revoker) error { return r.RevokeToken(ctx, testkit.Token()) })
		}},
		{"Sweep", func(ctx context.Context, store *revoke.Postgres) error {
			sweeper, err := revoke.NewSweeper(store)
			if err != nil {
				return err
			}
			_, err = sweeper.Sweep(ctx)
			return err
		}},
	}
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	store := testkit.OpenStore(t, pool, revoke.WithSchema("auth"), revoke.WithCheckTimeout(time.Minute))
	const version = "CREATE OR REPLACE FUNCTION auth.schema_version() RETURNS bigint LANGUAGE sql AS "
	for _, row := range []struct {
		name    string
		prepare func()
		want    string // no call fails where it is empty
	}{
		{
			"there is no schema", func() {},
			fmt.Sprintf(`schema "auth" has version 0 (none), version %d is needed: run migrations.Up of github.com/pgrevoke/revoke/migrations`, schema.Version),
		},
		{"the schema is migrated", func() { testkit.Must(t, migrations.Up(t.Context(), pool, migrations.WithSchema("auth"))) }, ""},
		{
			"the version is older", func() {
				testkit.Exec(t, pool, "DROP TABLE auth.revocations")
				testkit.Exec(t, pool, version+"'SELECT 0'")
			},
			fmt.Sprintf(`schema "auth" has version 0, version %d is needed: run migrations.Up`, schema.Version),
		},
		{
			"a table was dropped by hand", func() { testkit.Exec(t, pool, fmt.Sprintf("%s'SELECT %d'", version, schema.Version)) },
			fmt.Sprintf(`schema "auth" says version %d, but has been changed by hand`, schema.Version),
		},
	} {
		row.prepare()
		for _, c := range calls {
			t.Run(row.name+"/"+c.name, func(t *testing.T) {
				err := c.call(t.Context(), store)
				if row.want == "" {
					testkit.Must(t, err)
					return
				}
				testkit.WantError(t, err, revoke.ErrUnavailable)
				var pgErr *pgconn.PgError
				if !strings.Contains(err.Error(), row.want) || !errors.As(err, &pgErr) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%v, want one line that contains %s", err, row.want)
				}
			})
		}
	}
}

// TestRowsStandAlone looks for what could take rows away together with another row.
func TestRowsStandAlone(t *testing.T) {
	t.Parallel()
	_, pool := testkit.Store(t)
	if n := testkit.QueryOne[int](t, pool, `SELECT count(*) FROM pg_constraint WHERE contype = 'f'
		AND connamespace = 'revoke'::regnamespace`); n != 0 {
		t.Errorf("%d foreign keys: deleting a user would revive their tokens", n)
	}
}

// TestXIDIsTheWritersOwn inserts a row as a replication worker or a restore would write it.
func TestXIDIsTheWritersOwn(t *testing.T) {
	t.Parallel()
	_, pool := testkit.Store(t)
	tx := testkit.Value(pool.Begin(t.Context()))(t)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), "SET LOCAL session_replication_role = replica"); err != nil {
		t.Fatalf("%v: give the role of REVOKE_DATABASE_URL the right to set session_replication_role, or unset the variable", err)
	}
	var same bool
	testkit.Must(t, tx.QueryRow(t.Context(), `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, xid, scope, issuer, id)
		VALUES (gen_random_uuid(), now(), now(), now(), '7', 'token', 'i', 'j') RETURNING xid = pg_current_xact_id()`).Scan(&same))
	if !same {
		t.Error("a row arrived with the xid of another server")
	}
}

// TestNoInfiniteTimes keeps out times that have no number of microseconds, such as that of an
// account that is closed for ever by hand.
func TestNoInfiniteTimes(t *testing.T) {
	t.Parallel()
	_, pool := testkit.Store(t)
	for _, column := range []string{"since", "expires_at", "revoked_at"} {
		for _, scope := range revoke.KnownScopes() {
			for _, modifier := range []pgtype.InfinityModifier{pgtype.Infinity, pgtype.NegativeInfinity} {
				t.Run(fmt.Sprintf("%s/%s/%v", scope.Name, column, modifier), func(t *testing.T) {
					t.Parallel()
					times := map[string]any{"since": time.Now(), "expires_at": time.Now(), "revoked_at": time.Now()}
					times[column] = pgtype.Timestamptz{InfinityModifier: modifier, Valid: true}
					_, err := pool.Exec(t.Context(), `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
						VALUES (gen_random_uuid(), $1, $2, $3, $4, 'i', $5)`, times["since"], times["expires_at"], times["revoked_at"],
						string(scope.Name), map[bool]any{true: "id"}[scope.HasID])
					var pgErr *pgconn.PgError
					if !errors.As(err, &pgErr) || pgErr.ConstraintName != "revocations_finite" {
						t.Errorf("the row is written: %v", err)
					}
				})
			}
		}
	}
}

// TestUnavailable makes the database fail in ways in which a real one can.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	t.Run("the table is locked for longer than the timeout", func(t *testing.T) {
		t.Parallel()
		store, pool := testkit.Store(t, revoke.WithCheckTimeout(50*time.Millisecond))
		tx := testkit.Value(pool.Begin(t.Context()))(t)
		defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
		testkit.Value(tx.Exec(t.Context(), "LOCK TABLE revoke.revocations"))(t)
		err := store.Check(t.Context(), testkit.Token())
		testkit.WantError(t, err, revoke.ErrUnavailable)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Check = %v, want the cause in it", err)
		}
	})
	t.Run("no connection is free", func(t *testing.T) {
		t.Parallel()
		pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
		store := testkit.OpenStore(t, pool, revoke.WithCheckTimeout(50*time.Millisecond))
		held := testkit.Value(pool.Acquire(t.Context()))(t)
		testkit.WantError(t, store.Check(t.Context(), testkit.Token()), revoke.ErrUnavailable)
		held.Release()
		testkit.Eventually(t, "checks are answered again", func() bool { return store.Check(t.Context(), testkit.Token()) == nil })
	})
	t.Run("the connection is cut", func(t *testing.T) {
		t.Parallel()
		address := pgserver.Database(t)
		pool := pgserver.Pool(t, address, func(c *pgxpool.Config) { c.MaxConns = 1 })
		store := testkit.OpenStore(t, pool)
		token := testkit.Token()
		testkit.Must(t, store.RevokeToken(t.Context(), token))
		backend := testkit.QueryOne[int](t, pool, "SELECT pg_backend_pid()")
		testkit.Exec(t, pgserver.Pool(t, address), "SELECT pg_terminate_backend($1, 5000)", backend)
		// The first call finds the connection closed, or the pool has noticed already.
		if err := store.Check(t.Context(), token); !errors.Is(err, revoke.ErrRevoked) {
			testkit.WantError(t, err, revoke.ErrUnavailable)
		}
		testkit.Eventually(t, "a new connection answers", func() bool {
			return errors.Is(store.Check(t.Context(), token), revoke.ErrRevoked)
		})
	})
	t.Run("the pool is closed", func(t *testing.T) {
		t.Parallel()
		store, pool := testkit.Store(t)
		pool.Close()
		testkit.WantError(t, store.Check(t.Context(), testkit.Token()), revoke.ErrUnavailable)
		testkit.WantError(t, store.RevokeToken(t.Context(), testkit.Token()), revoke.ErrUnavailable)
	})
	t.Run("the right to read is missing", func(t *testing.T) {
		t.Parallel()
		store, pool := testkit.Store(t)
		token := testkit.Token()
		testkit.Must(t, store.RevokeToken(t.Context(), token))
		// A role that every server has, so that none needs to be made and dropped.
		limited := testkit.OpenStore(t, pgserver.Pool(t, pool.Config().ConnString(), func(c *pgxpool.Config) {
			c.ConnConfig.RuntimeParams["role"] = "pg_monitor"
		}))
		err := limited.Check(t.Context(), token)
		testkit.WantError(t, err, revoke.ErrUnavailable)
		if !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("Check = %v, want the cause in it", err)
		}
	})
}

// TestWriteWithoutEffectIsAnError has a trigger that drops a new row, or the new version of one, as
// a policy may: a write that had no effect is an error, and never a success.
func TestWriteWithoutEffectIsAnError(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := testkit.Store(t)
	db := sqlDB(t, pool)
	ways := []struct {
		name string
		do   func(write func(revoke.Revoker) error) error
	}{
		{"by the store", func(write func(revoke.Revoker) error) error { return write(store) }},
		{"InTx", func(write func(revoke.Revoker) error) error {
			return store.InTx(ctx, func(r revoke.Revoker) error { _ = write(r); return nil })
		}},
		{"WithTx", func(write func(revoke.Revoker) error) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return write(store.WithTx(tx)) })
		}},
		{"WithSQLTx", func(write func(revoke.Revoker) error) error {
			tx := testkit.Value(db.BeginTx(ctx, nil))(t)
			defer func() { _ = tx.Rollback() }()
			return write(store.WithSQLTx(tx))
		}},
	}
	testkit.Exec(t, pool, `CREATE FUNCTION ignore() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
	for _, row := range []struct {
		event  string // of the trigger
		before bool   // the row was there
	}{
		{"INSERT", false},
		{"UPDATE", true},
	} {
		for _, write := range hookedWrites {
			if row.before && write.scope != revoke.ScopeUser && write.scope != revoke.ScopeIssuer {
				continue // its row stands, and a repeat need not change it
			}
			for _, way := range ways {
				t.Run(row.event+"/"+write.name+"/"+way.name, func(t *testing.T) {
					token := testkit.Token()
					token.Issuer += "/" + token.ID
					if row.before {
						testkit.Must(t, write.write(ctx, store, token))
					}
					testkit.Exec(t, pool, `CREATE TRIGGER ignore BEFORE `+row.event+` ON revoke.revocations FOR EACH ROW EXECUTE FUNCTION ignore()`)
					defer testkit.Exec(t, pool, `DROP TRIGGER ignore ON revoke.revocations`)
					testkit.WantError(t, way.do(func(r revoke.Revoker) error { return write.write(ctx, r, token) }), revoke.ErrUnavailable)
				})
			}
		}
	}
	t.Run("one of many rows is dropped", func(t *testing.T) {
		testkit.Exec(t, pool, `CREATE TRIGGER ignore BEFORE INSERT ON revoke.revocations FOR EACH ROW
			WHEN (NEW.id = 'dropped') EXECUTE FUNCTION ignore()`)
		defer testkit.Exec(t, pool, `DROP TRIGGER ignore ON revoke.revocations`)
		good, dropped := testkit.Token(), testkit.Token()
		dropped.ID, dropped.Subject = "dropped", "dropped"
		testkit.WantError(t, store.RevokeTokens(ctx, []revoke.Token{good, dropped}), revoke.ErrUnavailable)
		_, err := store.RevokeUsers(ctx, []revoke.User{good.User(), dropped.User()})
		testkit.WantError(t, err, revoke.ErrUnavailable)
	})
}

// TestAnswerWithoutRows has reads that are answered without the row which each answer has.
func TestAnswerWithoutRows(t *testing.T) {
	t.Parallel()
	ctx, token := t.Context(), testkit.Token()
	for _, queries := range []int{0, 1} {
		store, _ := testkit.Store(t, revoke.WithCheckQueries(queries))
		testkit.Must(t, store.RevokeToken(ctx, token))
		revoke.SwallowRows(store)
		for _, row := range []struct {
			name string
			read func() error
		}{
			{"Check", func() error { return store.Check(ctx, token) }},
			{"Lookup", func() error { _, err := store.Lookup(ctx, token); return err }},
			{"Epochs", func() error { _, err := store.Epochs(ctx, token.User()); return err }},
		} {
			t.Run(fmt.Sprintf("queries=%d/%s", queries, row.name), func(t *testing.T) {
				err := row.read()
				testkit.WantError(t, err, revoke.ErrUnavailable)
				if !strings.Contains(err.Error(), "without a row") {
					t.Errorf("%v, want it to say that there was no row", err)
				}
			})
		}
	}
}

// TestValidateWritesNothing checks with connections on which every write is an error.
func TestValidateWritesNothing(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	pool := pgserver.Pool(t, address)
	dead := testkit.Token()
	testkit.Must(t, testkit.OpenStore(t, pool).RevokeToken(t.Context(), dead))
	readOnly := testkit.OpenStore(t, pgserver.Pool(t, address, func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	}), revoke.WithReadOnlyConnections())
	const versions = `SELECT string_agg(xmin::text || '/' || xmax::text, ',' ORDER BY key) FROM revoke.revocations`
	before := testkit.QueryOne[string](t, pool, versions)
	testkit.Must(t, readOnly.Check(t.Context(), testkit.Token()))
	testkit.WantError(t, readOnly.Check(t.Context(), dead), revoke.ErrRevoked)
	testkit.Value(readOnly.Lookup(t.Context(), dead))(t)
	testkit.Value(readOnly.IssueTime(t.Context(), dead.User()))(t)
	if after := testkit.QueryOne[string](t, pool, versions); after != before {
		t.Error("rows were written")
	}
}

// TestRestartForgetsNothing opens a new pool and a new store, as a service does that was restarted.
func TestRestartForgetsNothing(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	spent, user := testkit.Token(), testkit.Token()
	first := testkit.OpenStore(t, pgserver.Pool(t, address))
	testkit.Must(t, first.Redeem(t.Context(), spent))
	epochs := testkit.Value(first.RevokeUser(t.Context(), user.User()))(t)

	second := testkit.OpenStore(t, pgserver.Pool(t, address))
	testkit.WantError(t, second.Redeem(t.Context(), spent), revoke.ErrRevoked)
	testkit.WantError(t, second.Check(t.Context(), user), revoke.ErrRevoked)
	if read := testkit.Value(second.Epochs(t.Context(), user.User()))(t); read != epochs {
		t.Errorf("after a restart Epochs = %v, want %v", read, epochs)
	}
}

func TestNewPostgresRefuses(t *testing.T) {
	t.Parallel()
	_, pool := testkit.Store(t)
	for _, row := range []struct {
		name string
		pool *pgxpool.Pool
		opt  revoke.PostgresOption
		want string
	}{
		{"no pool", nil, revoke.WithSchema("revoke"), "pool is nil"},
		{"a quote in the schema", pool, revoke.WithSchema(`a"b`), "schema"},
		{"an empty schema", pool, revoke.WithSchema(""), `schema ""`},
		{"a schema in capitals", pool, revoke.WithSchema("A"), `schema "A"`},
		{"no check timeout", pool, revoke.WithCheckTimeout(0), "check timeout"},
		{"a negative number of queries", pool, revoke.WithCheckQueries(-1), "check queries"},
		{"a nil option", pool, nil, "nil"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := revoke.NewPostgres(row.pool, row.opt)
			wantConstructorError(t, "NewPostgres", err, row.want)
		})
	}
}
